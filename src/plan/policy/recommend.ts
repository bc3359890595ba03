// Room plan: NetworkPolicies that allow the flows that were seen, and nothing else.
import { familyOf, type IP } from '../../addr/ip.ts';
import { addressesOf, type Directory } from './ends.ts';
import type { PolicyEngine } from './engine.ts';
import type { PolicyPod } from './pod.ts';
import type { Direction, Protocol } from './rules.ts';
import { type Labels, type Workload, workloadsOf } from './workloads.ts';

/** After the translation of Services, with the client as the pod that is spoken to sees it. */
export interface SeenFlow {
  readonly from: IP;
  readonly to: IP;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface Recommendation {
  /** `shop/web`; a note for whom it is and what it rests on. */
  readonly workload: string;
  readonly notes: readonly string[];
  readonly policy: RecommendedPolicy;
}

export interface RecommendedPolicy {
  readonly apiVersion: 'networking.k8s.io/v1';
  readonly kind: 'NetworkPolicy';
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: {
    readonly podSelector: { readonly matchLabels: Labels };
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly RecommendedRule[];
    readonly egress?: readonly RecommendedRule[];
  };
}

interface RecommendedRule {
  readonly from?: readonly object[];
  readonly to?: readonly object[];
  readonly ports: readonly RecommendedPort[];
}

interface RecommendedPort {
  readonly protocol: Protocol;
  readonly port: number;
  readonly endPort?: number;
}

export interface Recommended {
  readonly policies: readonly Recommendation[];
  /** What cannot be said by policies, and why. */
  readonly warnings: readonly string[];
}

export interface RecommendOptions {
  /** Only workloads of these; absent: of all but kube-system. */
  readonly namespaces?: readonly string[];
  /** Where names are asked for: `kube-system/kube-dns` gets a rule in every egress. */
  readonly dns: boolean;
}

/** More addresses than these outside are nobody's list any more. */
const MOST_ADDRESSES = 32;
const NAME_LABEL = 'kubernetes.io/metadata.name';

export function recommend(
  engine: PolicyEngine,
  directory: Directory,
  flows: readonly SeenFlow[],
  { namespaces, dns }: RecommendOptions,
): Recommended {
  const all = workloadsOf(engine, directory);
  const wanted = all.filter(({ namespace }) =>
    namespaces ? namespaces.includes(namespace) : namespace !== 'kube-system',
  );
  const owners = new Map(all.flatMap((workload) => workload.pods.map(({ key }) => [key, workload] as const)));
  const sides = { ingress: new Sides(engine, owners), egress: new Sides(engine, owners) };
  for (const flow of flows) {
    const from = engine.podAt(flow.from);
    const to = engine.podAt(flow.to);
    if (from && from === to) continue;
    if (to && !isOwnNode(engine, to, flow.from)) sides.ingress.add(to, flow.from, from, flow);
    if (from && !isOwnNode(engine, from, flow.to)) sides.egress.add(from, flow.to, to, flow);
  }
  const nameless = wanted.filter(({ selector }) => !selector);
  return {
    policies: wanted.flatMap((workload) => {
      if (!workload.selector) return [];
      return [policyFor(workload, workload.selector, sides, dns)];
    }),
    warnings: [
      ...nameless.map(({ name }) => `${name} has no labels: no policy can be for it alone; label it`),
      ...sides.ingress.warnings,
      ...sides.egress.warnings,
    ],
  };
}

function isOwnNode(engine: PolicyEngine, pod: PolicyPod, ip: IP): boolean {
  return engine.nodeIPs(pod.node).includes(ip);
}

function policyFor(
  { name, namespace, pods }: Workload,
  selector: Labels,
  sides: Readonly<Record<Direction, Sides>>,
  dns: boolean,
): Recommendation {
  const ingress = sides.ingress.rulesOf(name, 'from');
  const seenDns = sides.egress.peersOf(name).some(({ key }) => key === DNS_KEY);
  const egress = [...sides.egress.rulesOf(name, 'to'), ...(dns && !seenDns ? [DNS_RULE] : [])];
  const counts = [sides.ingress.count(name), sides.egress.count(name)];
  const [first] = pods;
  const notes = [
    `${name}: ${pods.length === 1 ? 'pod' : `${pods.length} pods, among them`} ${first!.key}; seen: ${counts[0]} in, ${counts[1]} out`,
    ...(counts[0] === 0 && counts[1] === 0 ? ['nothing was seen of it: is it at work? This denies it everything'] : []),
  ];
  return {
    workload: name,
    notes:
      dns && !seenDns
        ? [...notes, 'names: queries are not tracked, every workload may ask (--no-dns leaves it out)']
        : notes,
    policy: {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { namespace, name: `recommended-${name.slice(namespace.length + 1)}` },
      spec: {
        podSelector: { matchLabels: selector },
        policyTypes: ['Ingress', 'Egress'],
        ...(ingress.length > 0 && { ingress }),
        ...(egress.length > 0 && { egress }),
      },
    },
  };
}

const DNS_PEER = {
  namespaceSelector: { matchLabels: { [NAME_LABEL]: 'kube-system' } },
  podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
};
const DNS_KEY = JSON.stringify(DNS_PEER);
const DNS_RULE: RecommendedRule = {
  to: [DNS_PEER],
  ports: [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ],
};

interface SeenPeer {
  readonly key: string;
  readonly peer: object;
  /** `TCP 80` */
  readonly ports: Set<string>;
}

/** What was seen of each workload in one direction. */
class Sides {
  readonly warnings: string[] = [];
  readonly #engine: PolicyEngine;
  readonly #owners: ReadonlyMap<string, Workload>;
  readonly #seen = new Map<string, Map<string, SeenPeer>>();
  readonly #flows = new Map<string, Set<string>>();

  constructor(engine: PolicyEngine, owners: ReadonlyMap<string, Workload>) {
    this.#engine = engine;
    this.#owners = owners;
  }

  add(own: PolicyPod, ip: IP, other: PolicyPod | undefined, { protocol, port }: SeenFlow): void {
    const workload = this.#owners.get(own.key);
    if (!workload) return;
    const peer = other ? this.#podPeer(workload, other) : blockOf(ip);
    const key = JSON.stringify(peer);
    const peers = this.#seen.get(workload.name) ?? new Map<string, SeenPeer>();
    const known = peers.get(key) ?? { key, peer, ports: new Set() };
    known.ports.add(`${protocol} ${port}`);
    this.#seen.set(workload.name, peers.set(key, known));
    const flows = this.#flows.get(workload.name) ?? new Set();
    this.#flows.set(workload.name, flows.add(`${key} ${protocol} ${port}`));
  }

  #podPeer({ namespace }: Workload, other: PolicyPod): object {
    const owner = this.#owners.get(other.key);
    const away = other.namespace !== namespace && {
      namespaceSelector: { matchLabels: { [NAME_LABEL]: other.namespace } },
    };
    if (owner?.selector) return { ...away, podSelector: { matchLabels: owner.selector } };
    const ips = addressesOf(other, this.#engine);
    const said = `${other.key} has no labels: its whole namespace is allowed in its place`;
    if (ips.length > 0 && !this.warnings.includes(said)) this.warnings.push(said);
    return { ...away, podSelector: {} };
  }

  peersOf(workload: string): SeenPeer[] {
    return [...(this.#seen.get(workload)?.values() ?? [])].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  count(workload: string): number {
    return this.#flows.get(workload)?.size ?? 0;
  }

  /** One rule for peers that are allowed the same ports. */
  rulesOf(workload: string, word: 'from' | 'to'): RecommendedRule[] {
    const alike = Map.groupBy(this.peersOf(workload), ({ ports }) => [...ports].sort(comparePorts).join(','));
    return [...alike]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([ports, peers]) => ({ [word]: this.#gathered(workload, peers, ports), ports: portsOf(ports) }));
  }

  #gathered(workload: string, peers: readonly SeenPeer[], ports: string): object[] {
    const blocks = peers.filter(({ peer }) => 'ipBlock' in peer);
    if (blocks.length <= MOST_ADDRESSES) return peers.map(({ peer }) => peer);
    this.warnings.push(
      `${workload}: ${blocks.length} addresses outside on ${ports}: all addresses are allowed in their place`,
    );
    const families = new Set(blocks.map(({ key }) => (key.includes('/128') ? '::/0' : '0.0.0.0/0')));
    const others = peers.filter(({ peer }) => !('ipBlock' in peer)).map(({ peer }) => peer);
    return [...others, ...[...families].map((cidr) => ({ ipBlock: { cidr } }))];
  }
}

function blockOf(ip: IP): object {
  return { ipBlock: { cidr: `${ip}/${familyOf(ip) === 6 ? 128 : 32}` } };
}

function comparePorts(a: string, b: string): number {
  const [[protocol = '', port], [other = '', second]] = [a.split(' '), b.split(' ')] as [string[], string[]];
  return protocol === other ? Number(port) - Number(second) : protocol < other ? -1 : 1;
}

/** Ports that follow each other are a range. */
function portsOf(text: string): RecommendedPort[] {
  const ports: RecommendedPort[] = [];
  for (const each of text.split(',')) {
    const [protocol, number] = each.split(' ') as [Protocol, string];
    const port = Number(number);
    const last = ports.at(-1);
    if (last?.protocol === protocol && (last.endPort ?? last.port) === port - 1) {
      ports[ports.length - 1] = { ...last, endPort: port };
    } else ports.push({ protocol, port });
  }
  return ports;
}
