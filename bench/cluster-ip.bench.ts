// Pod to ClusterIP at 10, 1,000 and 10,000 Services, by nftables and at the socket: requests and connections against the pod's address.
import { execFileSync } from 'node:child_process';
import { makeCgroup, removeCgroup } from '../src/kernel/cgroup.ts';
import { probeFastPath } from '../src/kernel/fast-path.ts';
import { socketLbLacks } from '../src/kernel/socket-lb.ts';
import type { Datapath } from '../src/node/agent.ts';
import { SocketServices } from '../src/node/socket-services.ts';
import type { EndpointSlice, Service } from '../src/objects/types.ts';
import { frontendsOf } from '../src/plan/frontends.ts';
import { planMasqueradeBase } from '../src/plan/masquerade.ts';
import type { Fragment } from '../src/plan/plan.ts';
import { planProxyBase } from '../src/plan/proxy-base.ts';
import type { NodeFacts } from '../src/plan/proxy-names.ts';
import { planService } from '../src/plan/services.ts';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { ClusterNet, type TestNode } from '../test/node/cluster-net.ts';
import { median, printMachine } from './measure.ts';
import { Pair, type Path, ratio } from './pair.ts';
import type { Kind } from './traffic.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 15);
const SLICE_MS = Number(process.env['SLICE_MS'] ?? 50);
const COUNTS = [10, 1000, 10_000] as const;
const ENDPOINTS = 10;
const PORT = 7000;
const KINDS: readonly (readonly [Kind, string])[] = [
  ['rr', 'requests/s'],
  ['crr', 'connects/s'],
];
const metadata = (name: string) => ({
  name,
  namespace: 'bench',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});
const vip = (n: number) => `10.96.${n >> 8}.${n & 255}`;

function serviceAt(n: number): Service {
  const spec = { clusterIPs: [vip(n)], ports: [{ port: 80 }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: metadata(`s${n}`), spec };
}

function sliceAt(n: number, ips: readonly string[], port: number): EndpointSlice {
  const endpoints = ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } }));
  const ports = [{ name: '', port, protocol: 'TCP' as const }];
  const kind = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' } as const;
  return { ...kind, metadata: metadata(`s${n}-a`), addressType: 'IPv4', ports, endpoints };
}

/** Service 1 is the one that is asked, its endpoint the server; the others have ten nobody asks. */
function slicesOf(n: number, server: string): EndpointSlice[] {
  if (n === 1) return [sliceAt(n, [server], PORT)];
  const ips = Array.from({ length: ENDPOINTS }, (_, i) => {
    const index = n * ENDPOINTS + i;
    return `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  });
  return [sliceAt(n, ips, 8080)];
}

/** One node with a client and a server, and Services in rules and in the maps of sockets. */
class World implements Disposable {
  readonly net: ClusterNet;
  readonly client: string;
  readonly server: string;
  readonly ip: string;
  readonly #node: TestNode;
  readonly #facts: NodeFacts;
  #count = 0;

  constructor(role: string, datapath: Datapath) {
    const node = { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] };
    this.net = new ClusterNet(`c${process.pid}${role}`, [node], { datapath });
    this.#node = this.net.nodes[0]!;
    const { nodeName, nodeIPs, serviceCIDRs, podCIDRs: ownPodCIDRs, clusterPodCIDRs: podCIDRs } = this.#node.options;
    this.#facts = { nodeName, nodeIPs, serviceCIDRs, dnsIPs: [], ownPodCIDRs, podCIDRs };
    this.#node.reconciler.update(
      new Map([
        ['proxy/base', planProxyBase(this.#facts)],
        ['masquerade/base', planMasqueradeBase(this.#facts)],
      ]),
    );
    const [client, server] = [this.net.addPod(this.#node, `${role}c`), this.net.addPod(this.#node, `${role}s`)];
    [this.client, this.server, this.ip] = [client.netns, server.netns, server.ip];
  }

  grow(count: number, sockets: SocketServices | undefined): void {
    const fragments = new Map<string, Fragment | undefined>();
    for (let n = this.#count + 1; n <= count; n++) {
      const slices = slicesOf(n, this.ip);
      fragments.set(`service/bench/s${n}`, planService(serviceAt(n), slices, this.#facts));
      sockets?.set(`bench/s${n}`, frontendsOf(serviceAt(n), slices, this.#facts));
      if (fragments.size < 500 && n < count) continue;
      this.#node.reconciler.update(fragments);
      fragments.clear();
    }
    this.#count = count;
  }

  path(name: string, more: Partial<Path> = {}): Path {
    const clear = () =>
      inNetns(this.#node.options.netns!, () => execFileSync('conntrack', ['-F'], { stdio: 'ignore' }));
    return { name, client: this.client, server: this.server, ip: this.ip, clear, ...more };
  }

  [Symbol.dispose](): void {
    this.net[Symbol.dispose]();
  }
}

function bareVeth(stack: DisposableStack): Path {
  const [a, b] = ['a', 'b'].map((label) => {
    const path = netnsPath(`pwb-${process.pid}-${label}`);
    createNetns(path);
    stack.defer(() => removeNamespace(path));
    return path;
  }) as [string, string];
  const run = (netns: string, lines: readonly string[]) =>
    inNetns(netns, () => execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') }));
  const far = b.slice('/run/netns/'.length);
  run(a, [`link add eth0 type veth peer name eth0 netns ${far}`, 'link set eth0 up', 'addr add 10.1.0.1/24 dev eth0']);
  run(b, ['link set eth0 up', 'addr add 10.1.0.2/24 dev eth0']);
  return { name: 'bare veth', client: a, server: b, ip: '10.1.0.2' };
}

async function main(stack: DisposableStack): Promise<void> {
  printMachine();
  const bare = bareVeth(stack);
  const nftables = stack.use(new World('n', { kind: 'nftables' }));
  const probed = probeFastPath();
  const fast = 'numbers' in probed ? stack.use(new World('e', { kind: 'ebpf', numbers: probed.numbers })) : undefined;
  const lacks = socketLbLacks();
  if (lacks) console.log(`no Services at the socket: ${lacks}`);
  const cgroup = lacks ? undefined : makeCgroup(CGROUP);
  const sockets = cgroup ? new SocketServices({ cgroup, namespaces: () => [] }) : undefined;
  sockets?.attach();
  const pair = stack.use(new Pair(cgroup));
  // Both worlds have the same addresses, so one set of maps serves the sockets of both.
  const to = { ip: vip(1), port: 80 };
  const service = { to };
  const atSocket = { to, atSocket: true };
  const direct = 'pod address, nftables';
  const fastDirect = 'pod address, ebpf';
  const paths = [
    [bare, bare.name],
    [nftables.path(direct), direct],
    [nftables.path('ClusterIP by nftables', service), direct],
    ...(sockets ? [[nftables.path('ClusterIP at the socket', atSocket), direct] as const] : []),
    ...(fast ? [[fast.path(fastDirect), fastDirect] as const] : []),
    ...(fast && sockets ? [[fast.path('ClusterIP at the socket, ebpf', atSocket), fastDirect] as const] : []),
  ] as const;
  console.log(`median ratios in the same round, ${ROUNDS} rounds of ${SLICE_MS} ms, both ends on one CPU`);
  console.log(
    `${'Services'.padEnd(9)}${'path'.padEnd(32)}${'what'.padEnd(12)}${'per s'.padStart(9)}   bare veth   pod address`,
  );
  for (const count of COUNTS) {
    nftables.grow(count, sockets);
    fast?.grow(count, undefined);
    for (const [kind, what] of KINDS) {
      const samples = await pair.rounds(
        paths.map(([path]) => path),
        kind,
        ROUNDS,
        SLICE_MS,
      );
      for (const [{ name }, base] of paths) {
        const values = samples.get(name)!;
        const ratios = [samples.get(bare.name)!, samples.get(base)!].map((other) => ratio(values, other).toFixed(3));
        const figures = [
          Math.round(median(values)).toLocaleString('en').padStart(9),
          ...ratios.map((each) => each.padStart(12)),
        ];
        console.log(`${String(count).padEnd(9)}${name.padEnd(32)}${what.padEnd(12)}${figures.join('')}`);
      }
    }
  }
  sockets?.close();
}

const CGROUP = `pwb-${process.pid}`;
const stack = new DisposableStack();
try {
  await main(stack);
} finally {
  stack.dispose();
  await removeCgroup(CGROUP);
}
