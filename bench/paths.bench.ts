// Pod to pod on a node and between nodes, each overlay and datapath: requests, connections and one stream against a bare veth.
import { execFileSync } from 'node:child_process';
import { probeFastPath } from '../src/kernel/fast-path.ts';
import { supportsIpipByEbpf } from '../src/kernel/ipip-tunnels.ts';
import type { Datapath } from '../src/node/agent.ts';
import { planMasqueradeBase } from '../src/plan/masquerade.ts';
import type { OverlayName, OverlaySettings } from '../src/plan/overlay/backend.ts';
import { planProxyBase } from '../src/plan/proxy-base.ts';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { ClusterNet } from '../test/node/cluster-net.ts';
import { median, printMachine } from './measure.ts';
import { Pair, type Path, ratio } from './pair.ts';
import type { Kind } from './traffic.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 15);
const SLICE_MS = Number(process.env['SLICE_MS'] ?? 60);
const ONLY = process.env['ONLY'];
const ROUTER = '172.30.0.2';
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] },
  { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24'] },
];
const NAMES: Readonly<Record<Kind, string>> = { rr: 'requests/s', crr: 'connects/s', bulk: 'bytes/s' };
const KINDS = (process.env['KINDS']?.split(',') ?? Object.keys(NAMES)) as Kind[];

const stack = new DisposableStack();
const paths: Path[] = [];

function namespace(label: string): string {
  const path = netnsPath(`pwb-${process.pid}-${label}`);
  createNetns(path);
  stack.defer(() => removeNamespace(path));
  inNetns(path, () => execFileSync('ip', ['link', 'set', 'lo', 'up']));
  return path;
}

function ip(netns: string, ...lines: string[]): void {
  inNetns(netns, () => execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') }));
}

const nameOf = (netns: string): string => netns.slice('/run/netns/'.length);

function bareVeth(): void {
  const [a, b] = [namespace('a'), namespace('b')];
  ip(
    a,
    `link add eth0 type veth peer name eth0 netns ${nameOf(b)}`,
    'link set eth0 up',
    'addr add 10.1.0.1/24 dev eth0',
  );
  ip(b, 'link set eth0 up', 'addr add 10.1.0.2/24 dev eth0');
  paths.push({ name: 'bare veth', client: a, server: b, ip: '10.1.0.2' });
}

/** What the kernel gives by hand: pods routed over a VXLAN device or over plain routes, on the same fabric, with no rules at all. */
function kernelByHand(kind: 'vxlan' | 'routes'): void {
  const fabric = namespace(`${kind}-fabric`);
  ip(fabric, 'link add br0 type bridge', 'link set br0 up');
  inNetns(fabric, () => execFileSync('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=0']));
  const pods = [1, 2].map((n) => {
    const other = 3 - n;
    const [node, pod] = [namespace(`${kind}-node${n}`), namespace(`${kind}-pod${n}`)];
    ip(fabric, `link add leg${n} type veth peer name eth0 netns ${nameOf(node)}`, `link set leg${n} master br0 up`);
    const far = kind === 'vxlan' ? `10.3.${other}.0 dev vxlan0` : `172.31.0.${other} dev eth0`;
    ip(node, 'link set eth0 up', `addr add 172.31.0.${n}/24 dev eth0`);
    if (kind === 'vxlan') {
      ip(
        node,
        `link add vxlan0 address 02:00:00:00:00:0${n} mtu 1450 type vxlan id 1 local 172.31.0.${n} dstport 4789 nolearning`,
        'link set vxlan0 up',
        `neigh add 10.3.${other}.0 lladdr 02:00:00:00:00:0${other} dev vxlan0 nud permanent`,
      );
      inNetns(node, () =>
        execFileSync('bridge', ['fdb', 'add', `02:00:00:00:00:0${other}`, 'dev', 'vxlan0', 'dst', `172.31.0.${other}`]),
      );
    }
    ip(
      node,
      `route add 10.3.${other}.0/24 via ${far} onlink`,
      `link add pod type veth peer name eth0 netns ${nameOf(pod)}`,
      'link set pod up',
      `addr add 169.254.1.1/32 dev pod`,
      `route add 10.3.${n}.2/32 dev pod`,
    );
    inNetns(node, () => execFileSync('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0']));
    const mtu = kind === 'vxlan' ? 1450 : 1500;
    ip(
      pod,
      `link set eth0 mtu ${mtu} up`,
      `addr add 10.3.${n}.2/32 dev eth0`,
      'route add default via 169.254.1.1 dev eth0 onlink',
    );
    return pod;
  });
  const name = kind === 'vxlan' ? 'kernel vxlan by hand' : 'kernel routes by hand';
  paths.push({ name, client: pods[0]!, server: pods[1]!, ip: '10.3.2.2' });
}

interface More {
  readonly sameNode?: boolean;
  /** Frames between nodes go past the fabric's bridge although the nodes have no fast path. */
  readonly fast?: boolean;
}

/** Two nodes as agents set them up, with the rules of Services, and three pods. */
function cluster(label: string, overlay: OverlaySettings, datapath: Datapath, more: More = {}): void {
  const { sameNode, fast } = more;
  const settings = { overlay, datapath, routers: [ROUTER] };
  const net = stack.use(new ClusterNet(`b${process.pid}${paths.length}`, NODES, settings, fast));
  for (const { options, reconciler } of net.nodes) {
    const { nodeName, nodeIPs, serviceCIDRs, podCIDRs: ownPodCIDRs, clusterPodCIDRs: podCIDRs } = options;
    const facts = { nodeName, nodeIPs, serviceCIDRs, dnsIPs: [], ownPodCIDRs, podCIDRs };
    reconciler.update(
      new Map([
        ['proxy/base', planProxyBase(facts)],
        ['masquerade/base', planMasqueradeBase(facts)],
      ]),
    );
  }
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const client = net.addPod(one, `${label}c`);
  const near = net.addPod(one, `${label}n`);
  const far = net.addPod(two, `${label}f`);
  if (sameNode)
    paths.push({ name: `one node, ${datapath.kind}`, client: client.netns, server: near.netns, ip: near.ip });
  const name = `${overlay.backend}${overlay.datapath ? ' by eBPF' : ''}, ${fast ? 'switch + ' : ''}${datapath.kind}`;
  paths.push({ name, client: client.netns, server: far.netns, ip: far.ip });
}

function build(): void {
  bareVeth();
  kernelByHand('routes');
  kernelByHand('vxlan');
  const nftables: Datapath = { kind: 'nftables' };
  const probed = probeFastPath();
  const datapaths: Datapath[] =
    'numbers' in probed ? [nftables, { kind: 'ebpf', numbers: probed.numbers }] : [nftables];
  if ('missing' in probed) console.log(`no eBPF fast path: ${probed.missing}`);
  else byDefault = 'vxlan, ebpf';
  const backends: OverlayName[] = ['host-gw', 'none', 'vxlan', 'ipip', 'udp'];
  for (const backend of backends) {
    if (backend === 'ipip' && !supportsIpipByEbpf()) continue;
    const overlay: OverlaySettings = { backend, directRouting: false, ...(backend === 'ipip' && { datapath: 'ebpf' }) };
    for (const datapath of backend === 'udp' ? [nftables] : datapaths) {
      cluster(`${backend}${datapath.kind}`, overlay, datapath, { sameNode: backend === 'host-gw' });
    }
    // As it is on kernels that take programs, but none that asks conntrack.
    if (backend === 'vxlan' && 'numbers' in probed) cluster('switch', overlay, nftables, { fast: true });
  }
}

const BARE = 'bare veth';
const PEER = 'kernel vxlan by hand';
const ENCAPSULATED = /^(vxlan|ipip|udp)/;

/** What a cluster has on this kernel whose owner says nothing. */
let byDefault = 'vxlan, nftables';
const marked = (name: string) => (name === byDefault ? `${name} (default)` : name);

type Ratios = ReadonlyMap<string, Partial<Record<Kind, number>>>;

/** By path and kind, against what `base` did in the same rounds. */
function ratios(samples: ReadonlyMap<Kind, ReadonlyMap<string, readonly number[]>>, base: string): Ratios {
  const found = new Map<string, Partial<Record<Kind, number>>>();
  for (const [kind, of] of samples) {
    const others = of.get(base);
    for (const [name, values] of others ? of : [])
      found.set(name, { ...found.get(name), [kind]: ratio(values, others!) });
  }
  return found;
}

function printTable(ofBare: Ratios, ofPeer: Ratios): void {
  const cell = (value: number | undefined) => (value === undefined ? '' : value.toFixed(2)).padStart(11);
  const heads = KINDS.map((kind) => NAMES[kind].padStart(11)).join('');
  console.log(`${'path'.padEnd(26)}${heads}   |${heads}  of ${PEER}`);
  for (const [name, row] of ofBare) {
    const peer = name.startsWith('vxlan') ? ofPeer.get(name) : undefined;
    const right = peer ? `   |${KINDS.map((kind) => cell(peer[kind])).join('')}` : '';
    console.log(`${marked(name).padEnd(26)}${KINDS.map((kind) => cell(row[kind])).join('')}${right}`);
  }
}

/** Of the paths whose names match, the best at requests. */
function best(ofBare: Ratios, isMeant: (name: string) => boolean): [value: number, name: string] {
  const meant = [...ofBare].filter(([name, row]) => isMeant(name) && row.rr !== undefined);
  const [name, row] = meant.toSorted(([, a], [, b]) => b.rr! - a.rr!)[0] ?? ['not measured', {}];
  return [row.rr ?? Number.NaN, name];
}

/** What the project asks of itself: ratios at least. */
function printGoals(ofBare: Ratios, ofPeer: Ratios): void {
  const isOurs = (name: string) => /(nftables|ebpf)$/.test(name);
  const isBetween = (name: string) => isOurs(name) && !name.startsWith('one node');
  const goals: [text: string, goal: number, seen: number, path: string][] = [
    ['requests on a node, best datapath', 0.95, ...best(ofBare, (name) => name.startsWith('one node'))],
    ['requests between nodes, best backend', 0.88, ...best(ofBare, isBetween)],
    ['the same, encapsulated', 0.85, ...best(ofBare, (name) => isBetween(name) && ENCAPSULATED.test(name))],
  ];
  for (const [name, row] of ofPeer) {
    if (!name.startsWith('vxlan')) continue;
    for (const kind of KINDS) goals.push([`${NAMES[kind]} of ${PEER}`, 1, row[kind]!, name]);
  }
  console.log(`\n${'goal'.padEnd(40)}${'asked'.padStart(7)}${'seen'.padStart(7)}`);
  for (const [text, goal, seen, path] of goals) {
    const verdict = Number.isNaN(seen) ? '' : Math.round(seen * 100) >= Math.round(goal * 100) ? 'reached' : 'missed';
    console.log(
      `${text.padEnd(40)}${goal.toFixed(2).padStart(7)}${seen.toFixed(2).padStart(7)}  ${verdict.padEnd(8)} ${marked(path)}`,
    );
  }
}

async function main(): Promise<void> {
  printMachine();
  build();
  const isBase = (name: string) => name === BARE || name === PEER;
  const chosen = ONLY ? paths.filter(({ name }) => isBase(name) || new RegExp(ONLY).test(name)) : paths;
  using pair = new Pair();
  const samples = new Map<Kind, ReadonlyMap<string, readonly number[]>>();
  for (const kind of KINDS) {
    samples.set(kind, await pair.rounds(chosen, kind, ROUNDS, SLICE_MS));
    const bare = Math.round(median(samples.get(kind)!.get(BARE)!));
    console.log(`${BARE}: ${bare.toLocaleString('en')} ${NAMES[kind]}`);
  }
  console.log(`median ratio to a ${BARE} in the same round, ${ROUNDS} rounds of ${SLICE_MS} ms, both ends on one CPU`);
  const [ofBare, ofPeer] = [ratios(samples, BARE), ratios(samples, PEER)];
  printTable(ofBare, ofPeer);
  printGoals(ofBare, ofPeer);
}

try {
  await main();
} finally {
  stack.dispose();
}
