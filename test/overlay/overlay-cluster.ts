// A running cluster with two pods a node, asked and listened to from within the pods' own namespaces: for tests of overlays.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Machine, until } from '../cluster/machine.ts';

export interface OverlayPod {
  readonly name: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly netns: string;
}

/** Starts the cluster with this config and waits for its pods. */
export async function startCluster(machine: Machine, network: object, nodes: number): Promise<OverlayPod[]> {
  const file = join(machine.state, 'config.yaml');
  writeFileSync(file, JSON.stringify({ network }));
  await machine.mustPodwire('up', '--nodes', String(nodes), '--config', file);
  const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
  const manifests = names.flatMap((node) => [1, 2].map((i) => podManifest(`${node}-${i}`, node)));
  await machine.apply(manifests.map((each) => JSON.stringify(each)).join('\n'));
  await machine.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
  return readPods(machine);
}

/** Another pod, once it is Ready. */
export async function podOn(machine: Machine, node: string, name: string): Promise<OverlayPod> {
  await machine.apply(JSON.stringify(podManifest(name, node)));
  await machine.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
  return (await readPods(machine)).find((pod) => pod.name === name)!;
}

function podManifest(name: string, nodeName: string): object {
  const container = {
    name: 'agnhost',
    image: 'podwire.io/agnhost',
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
  };
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', labels: { app: 'echo' } }, spec };
}

interface PodObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly podIPs: readonly { readonly ip: string }[] };
}

async function readPods(machine: Machine): Promise<OverlayPod[]> {
  const { items } = JSON.parse(await machine.kubectl('get', 'pods', '-o', 'json')) as { items: PodObject[] };
  const namespaces = podNamespaces(machine);
  return items.map((pod) => {
    const ips = pod.status.podIPs.map(({ ip }) => ip);
    return { name: pod.metadata.name, node: pod.spec.nodeName, ips, netns: namespaces.get(ips[0]!)! };
  });
}

/** Pods' namespaces by the address that is on their eth0. */
function podNamespaces(machine: Machine): Map<string, string> {
  const names = readdirSync('/run/netns').filter((name) => name.startsWith(`pw-${machine.cluster}-`));
  const found = names.flatMap((name) => {
    const text = execFileSync('ip', ['-n', name, '-j', '-4', 'addr', 'show', 'scope', 'global'], { encoding: 'utf8' });
    const links = JSON.parse(text) as { addr_info?: { local: string; prefixlen: number }[] }[];
    return links.flatMap((link) => (link.addr_info ?? []).map(({ local }) => [local, `/run/netns/${name}`] as const));
  });
  return new Map(found);
}

export function nodeNetns(machine: Machine, node: string): string {
  return `pw-${machine.cluster}-${node}`;
}

/** What a program prints inside a namespace. */
export function inside(netns: string, ...words: string[]): string {
  const path = netns.startsWith('/') ? netns : `/run/netns/${netns}`;
  return execFileSync('nsenter', [`--net=${path}`, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

type Protocol = 'http' | 'udp';

/** Asks pods from within `from` under which address it is seen by each, over either protocol and each family that both have. */
async function whoSeeMe(
  machine: Machine,
  from: OverlayPod,
  targets: readonly OverlayPod[],
  protocols: readonly Protocol[],
): Promise<void> {
  const asked = targets.flatMap((to) =>
    protocols.flatMap((protocol) => to.ips.map((host, family) => ({ to, host, protocol, own: from.ips[family] }))),
  );
  const urls = asked.map(({ host, protocol }) => {
    const port = protocol === 'http' ? '8080' : '8081';
    // UDP may lose one on a busy machine.
    const tries = protocol === 'http' ? '1' : '3';
    const query = new URLSearchParams({ host, port, protocol, request: 'clientip', tries });
    return `http://${from.ips[0]}:8080/dial?${query}`;
  });
  // One curl for all: starting one costs more than asking.
  const answers = (await machine.must('curl', ['-s', '--max-time', '60', '-w', '\n', ...urls])).trim().split(/\n+/);
  assert.equal(answers.length, asked.length);
  for (const [i, { to, host, protocol, own }] of asked.entries()) {
    const { responses } = JSON.parse(answers[i]!) as { responses?: string[] };
    const seen = responses?.[0]?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    assert.equal(seen, own, `${from.name} -> ${to.name} ${host} over ${protocol}: ${answers[i]}`);
  }
}

export function whoSees(machine: Machine, from: OverlayPod, to: OverlayPod, protocol: Protocol): Promise<void> {
  return whoSeeMe(machine, from, [to], [protocol]);
}

/** All pods to all, over TCP and UDP, of either family, and none is seen under another address than its own. */
export async function everyPodMeetsEvery(machine: Machine, pods: readonly OverlayPod[]): Promise<void> {
  await Promise.all(pods.map((from) => whoSeeMe(machine, from, pods, ['http', 'udp'])));
}

/** A ping that may not be cut passes with a packet of `mtu` bytes, and one byte more is refused. */
export function fitsExactly(from: OverlayPod, to: OverlayPod, mtu: number): void {
  const ping = (bytes: number) => {
    try {
      inside(from.netns, 'ping', '-c1', '-W5', '-M', 'do', '-s', String(bytes - 28), to.ips[0]!);
      return true;
    } catch {
      return false;
    }
  };
  assert.equal(ping(mtu), true, `${mtu} bytes pass from ${from.name} to ${to.name}`);
  assert.equal(ping(mtu + 1), false, `${mtu + 1} bytes do not pass from ${from.name} to ${to.name}`);
}

/** Waits for a line of the daemon's log. */
export function logged(machine: Machine, pattern: RegExp): Promise<string> {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.log');
  return until(`a line of the log like ${pattern}`, async () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .find((line) => pattern.test(line)),
  );
}
