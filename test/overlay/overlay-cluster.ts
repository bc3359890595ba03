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

/** Asks `to` over `protocol` from within `from` under which address it is seen, for each family that both have. */
export async function whoSees(machine: Machine, from: OverlayPod, to: OverlayPod, protocol: 'http' | 'udp') {
  for (const [family, ip] of to.ips.entries()) {
    const port = protocol === 'http' ? '8080' : '8081';
    const query = new URLSearchParams({ host: ip, port, protocol, request: 'clientip', tries: '1' });
    const answer = await machine.must('curl', ['-s', '--max-time', '20', `http://${from.ips[0]}:8080/dial?${query}`]);
    const { responses } = JSON.parse(answer) as { responses?: string[] };
    const seen = responses?.[0]?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    assert.equal(seen, from.ips[family], `${from.name} -> ${to.name} ${ip} over ${protocol}: ${answer}`);
  }
}

/** All pods to all, over TCP and UDP, of either family, and none is seen under another address than its own. */
export async function everyPodMeetsEvery(machine: Machine, pods: readonly OverlayPod[]): Promise<void> {
  for (const protocol of ['http', 'udp'] as const) {
    await Promise.all(
      pods.map(async (from) => {
        for (const to of pods) await whoSees(machine, from, to, protocol);
      }),
    );
  }
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
