// Three nodes of a real cluster of both families, pods on each, the machine, and a host outside: all of them ask Services with curl and ncat.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../../src/cluster/programs.ts';
import { kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { type OutsideHost, outsideHost } from '../cluster/outside.ts';
import type { Mode } from './one-node.ts';

export const NETWORK = {
  nodeCIDRs: ['172.30.0.0/24', 'fd00:172:30::/64'],
  podCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'],
  nodePrefixLengths: [24, 64],
  serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  serviceCounters: true,
  nodePortAddresses: ['172.30.0.0/16', 'fd00:172:30::/48'],
};
export const OUTSIDE = ['172.30.0.100', 'fd00:172:30::100'] as const;
export const NODES = ['node-1', 'node-2', 'node-3'] as const;
/** The first two are what Services select; each asks too. */
export const PODS = ['web-1', 'web-2', 'client'] as const;
export type Pod = (typeof PODS)[number];
export type Asker = Pod | 'node-1' | 'node-3' | 'machine' | 'outside';
/** Of each pod's netexec. */
export const HTTP = 9376;
export const UDP = 9377;
export const REFUSED = 'exit 7';
export const SILENT = 'exit 28';

export const EVERYBODY: readonly Asker[] = ['client', 'web-1', 'node-1', 'node-3', 'machine'];
export const BOTH = ['web-1', 'web-2'];
export const DOMAIN = 'default.svc.cluster.local';

/** What the parts of the suite share. */
export interface ClusterPart {
  readonly mode: Mode;
  readonly skip: string | false;
  /** Once the tests run. */
  readonly world: World;
  fromEverybody(hosts: readonly string[], port: number, expected: readonly string[]): Promise<void>;
}

/** Why such a cluster cannot run here, or undefined. */
export function worldSkip(): string | undefined {
  const missing = ['curl', 'ncat', 'dig', 'conntrack'].filter((program) => !findProgram(program));
  return kubectlSkip() ?? (missing.length > 0 ? `needs ${missing.join(', ')}` : undefined);
}

/** web-2's port of that name is another one. */
function podManifest(name: Pod, node: string): object {
  const netexec = (http: number, udp: number, portName?: string) => ({
    name: `at-${http}`,
    image: 'podwire.io/agnhost',
    args: ['netexec', `--http-port=${http}`, `--udp-port=${udp}`],
    readinessProbe: { httpGet: { path: '/healthz', port: http }, periodSeconds: 1 },
    ...(portName && { ports: [{ containerPort: http, name: portName }] }),
  });
  const named = 'http-web-svc';
  const containers = name === 'web-2' ? [netexec(HTTP, UDP), netexec(8080, 8081, named)] : [netexec(HTTP, UDP, named)];
  const labels: Record<string, string> = { pod: name, ...(name !== 'client' && { 'app.kubernetes.io/name': 'MyApp' }) };
  // As on the page about adding entries to a pod's /etc/hosts.
  const hostAliases = [{ ip: '10.1.2.3', hostnames: ['foo.remote', 'bar.remote'] }];
  const spec = { nodeName: node, terminationGracePeriodSeconds: 0, hostAliases, containers };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec };
}

export interface Addresses {
  readonly v4: string;
  readonly v6: string;
}

export class World implements AsyncDisposable {
  readonly machine: Machine;
  readonly pods: Readonly<Record<Pod, Addresses>>;
  readonly nodes: Readonly<Record<string, Addresses>>;
  readonly outside: OutsideHost;

  static async create(label: string, flags: readonly string[]): Promise<World> {
    const machine = await Machine.create(label);
    try {
      const file = join(machine.state, 'config.json');
      writeFileSync(file, JSON.stringify({ network: NETWORK }));
      await machine.mustPodwire('up', '--config', file, ...flags);
      const pods = PODS.map((name, i) => podManifest(name, NODES[i]!));
      await machine.apply(pods.map((pod) => JSON.stringify(pod)).join('\n'));
      const outside = await outsideHost(machine, ...OUTSIDE);
      await machine.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
      const listed = await machine.kubectl('get', 'pods,nodes', '-o', 'json');
      return new World(machine, outside, JSON.parse(listed).items);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  constructor(machine: Machine, outside: OutsideHost, items: readonly Listed[]) {
    this.machine = machine;
    this.outside = outside;
    const found = (kind: string) =>
      Object.fromEntries(
        items.filter((each) => each.kind === kind).map((each) => [each.metadata.name, addressesOf(each)]),
      );
    this.pods = found('Pod') as Record<Pod, Addresses>;
    this.nodes = found('Node');
  }

  /** A line of sh, where the asker is. What it prints, whatever its exit code. */
  async sh(asker: Asker, line: string): Promise<string> {
    const words = ['-c', line];
    if (asker === 'outside') return this.outside.run('sh', [...words.slice(0, 1), `${line}; true`]);
    if (asker === 'machine') return (await this.machine.run('sh', words)).stdout;
    if (asker in this.nodes) {
      const netns = `--net=/run/netns/pw-${this.machine.cluster}-${asker}`;
      return (await this.machine.run('nsenter', [netns, '--', 'sh', ...words])).stdout;
    }
    const pod = this.pods[asker as Pod];
    const url = `http://${pod.v4}:${HTTP}/shell`;
    const answer = await this.machine.must('curl', ['-sf', '--max-time', '60', '--data-urlencode', `cmd=${line}`, url]);
    return (JSON.parse(answer) as { output?: string }).output ?? '';
  }

  /** What so many requests in a row are answered: the text, or `exit 7` where nobody listens, `exit 28` after `seconds` without an answer. */
  async http(
    asker: Asker,
    host: string,
    port: number,
    { path = 'hostname', count = 1, seconds = 20 }: { path?: string; count?: number; seconds?: number } = {},
  ): Promise<string[]> {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}/${path}`;
    const curl = `curl -sg --max-time ${seconds} '${url}' && echo || echo "exit $?"`;
    const text = await this.sh(asker, `for i in $(seq ${count}); do ${curl}; done`);
    return text.split('\n').filter((line) => line !== '');
  }

  /** Whose address the endpoint sees. */
  async seen(asker: Asker, host: string, port: number): Promise<string> {
    const [text = ''] = await this.http(asker, host, port, { path: 'clientip' });
    return text
      .replace(/:\d+$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .replace(/^::ffff:/, '');
  }

  /** Answer to one datagram; empty when it is refused. */
  async udp(asker: Asker, host: string, port: number): Promise<string> {
    const talk = 'printf hostname; dd bs=1500 count=1 status=none >&2';
    return (await this.sh(asker, `ncat -u -w 10 ${host} ${port} --sh-exec '${talk}' 2>&1`)).trim();
  }

  /** Until each of the answers has come, and no other since the first of them. */
  async reaches(asker: Asker, host: string, port: number, expected: readonly string[]): Promise<void> {
    let heard = new Set<string>();
    let last: string[] = [];
    const what = `${asker} reaches ${expected} at ${host} port ${port}`;
    await until(what, async () => {
      last = await this.http(asker, host, port, { count: expected.length > 1 ? 4 : 1, seconds: 5 });
      heard = last.every((answer) => expected.includes(answer)) ? new Set([...heard, ...last]) : new Set();
      return heard.size === expected.length;
    }).catch((error: Error) => {
      throw new Error(`${error.message}; last: ${last}`, { cause: error.cause });
    });
  }

  async service(name: string): Promise<{ spec: ServiceSpec; status: ServiceStatus }> {
    return JSON.parse(await this.machine.kubectl('get', 'service', name, '-o', 'json'));
  }

  /** Addresses of a Service, IPv4 first. */
  async clusterIPs(name: string): Promise<string[]> {
    const { spec } = await this.service(name);
    assert.ok(spec.clusterIPs?.length, `${name} has addresses`);
    return spec.clusterIPs.toSorted((a, b) => Number(a.includes(':')) - Number(b.includes(':')));
  }

  /** Answers of a pod's resolver, sorted. */
  async dig(name: string, type = 'A', asker: Asker = 'client'): Promise<string[]> {
    const text = await this.sh(asker, `dig +search +short ${name} ${type}`);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.outside[Symbol.asyncDispose]();
    await this.machine[Symbol.asyncDispose]();
  }
}

interface ServiceSpec {
  readonly clusterIPs?: string[];
  readonly healthCheckNodePort?: number;
  readonly ports: { port: number; nodePort?: number }[];
}
interface ServiceStatus {
  readonly loadBalancer: { ingress?: { ip: string }[] };
}
interface Listed {
  readonly kind: string;
  readonly metadata: { name: string };
  readonly status: { podIPs?: { ip: string }[]; addresses?: { type: string; address: string }[] };
}

function addressesOf({ status }: Listed): Addresses {
  const internal = status.addresses?.filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
  const all = status.podIPs?.map(({ ip }) => ip) ?? internal ?? [];
  return { v4: all.find((ip) => !ip.includes(':'))!, v6: all.find((ip) => ip.includes(':'))! };
}
