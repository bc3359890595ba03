// Room plan: may this flow pass, and who says so: the words of the API over the engine's indexes.
import type { IP } from '../../addr/ip.ts';
import type { PolicyEngine } from './engine.ts';
import { namedPort, type PolicyPod } from './pod.ts';
import {
  type Direction,
  inBlock,
  type Peer,
  type PolicyRules,
  type PortMatch,
  type Protocol,
  type Rule,
} from './rules.ts';

/** The first packet of a connection, after DNAT and before SNAT. */
export interface Flow {
  readonly from: IP;
  readonly to: IP;
  /** Another one has no ports: only rules that name none allow it. */
  readonly protocol: Protocol | 'other';
  readonly port: number;
}

/** A rule that lets the flow pass, and which of its peers did; no peer: the rule is for everybody. */
export interface Match {
  readonly rule: Rule;
  readonly peer: Peer | undefined;
  readonly port: PortMatch | undefined;
}

/** What one of the two pods' policies say. */
export type Side = { readonly direction: Direction; readonly pod: PolicyPod | undefined } & (
  | { readonly allowed: true; readonly because: 'no pod' | 'not isolated' | 'itself' | 'own node' }
  /** `matches` has every rule that allows it; the first is the one that is counted in the kernel. */
  | { readonly allowed: true; readonly because: 'rule'; readonly matches: readonly Match[] }
  | { readonly allowed: false; readonly because: 'no rule'; readonly isolatedBy: readonly PolicyRules[] }
);

export interface Verdict {
  readonly allowed: boolean;
  readonly egress: Side;
  readonly ingress: Side;
}

export function judge(engine: PolicyEngine, flow: Flow): Verdict {
  const egress = judgeSide(engine, 'egress', flow);
  const ingress = judgeSide(engine, 'ingress', flow);
  return { allowed: egress.allowed && ingress.allowed, egress, ingress };
}

export function judgeSide(engine: PolicyEngine, direction: Direction, flow: Flow): Side {
  const [own, other] = direction === 'egress' ? [flow.from, flow.to] : [flow.to, flow.from];
  const pod = engine.podAt(own);
  if (!pod) return { direction, pod, allowed: true, because: 'no pod' };
  const isolatedBy = isolating(pod, direction);
  if (isolatedBy.length === 0) return { direction, pod, allowed: true, because: 'not isolated' };
  const peer = engine.podAt(other);
  if (peer === pod) return { direction, pod, allowed: true, because: 'itself' };
  if (engine.nodeIPs(pod.node).includes(other)) return { direction, pod, allowed: true, because: 'own node' };
  const matches = isolatedBy
    .flatMap((policy) => policy.rules[direction])
    .flatMap((rule) => matchesOf(rule, other, peer, direction === 'ingress' ? pod : peer, flow));
  if (matches.length === 0) return { direction, pod, allowed: false, because: 'no rule', isolatedBy };
  // A stable sort: among equals the order of policies and rules decides.
  return { direction, pod, allowed: true, because: 'rule', matches: matches.toSorted((a, b) => rank(a) - rank(b)) };
}

/** Policies that isolate the pod, in the order of their names. */
export function isolating(pod: PolicyPod, direction: Direction): PolicyRules[] {
  const policies = [...pod.policies].filter(({ isolates }) => isolates.includes(direction));
  return policies.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function matchesOf(
  rule: Rule,
  ip: IP,
  peer: PolicyPod | undefined,
  server: PolicyPod | undefined,
  flow: Flow,
): Match[] {
  const ports = rule.ports ? rule.ports.filter((port) => portMatches(port, server, flow)) : [undefined];
  const peers = rule.peers ? rule.peers.filter((each) => isPeer(each, ip, peer)) : [undefined];
  return peers.flatMap((each) => ports.map((port) => ({ rule, peer: each, port })));
}

/** Rules of a pod's isolation; undefined where it is not isolated. */
export function isolationRules(pod: PolicyPod, direction: Direction): Rule[] | undefined {
  const policies = isolating(pod, direction);
  return policies.length > 0 ? policies.flatMap(({ rules }) => rules[direction]) : undefined;
}

/** Whether any of the rules lets the peer pass; `server` is the pod that is spoken to. */
export function anyAllows(
  rules: readonly Rule[],
  peer: PolicyPod,
  server: PolicyPod,
  flow: Pick<Flow, 'protocol' | 'port'>,
): boolean {
  return rules.some(
    ({ peers, ports }) =>
      (!peers || peers.some((each) => isPeer(each, peer.ips[0]!, peer))) &&
      (!ports || ports.some((each) => portMatches(each, server, flow))),
  );
}

function isPeer(peer: Peer, ip: IP, pod: PolicyPod | undefined): boolean {
  return peer.kind === 'block' ? inBlock(peer, ip) : pod?.peers.has(peer.key) === true;
}

/** A name means what the pod that is spoken to calls so. */
function portMatches(
  match: PortMatch,
  server: PolicyPod | undefined,
  { protocol, port }: Pick<Flow, 'protocol' | 'port'>,
): boolean {
  if (match.protocol !== protocol) return false;
  if (match.kind === 'all') return true;
  if (match.kind === 'range') return match.first <= port && port <= match.last;
  return server?.ports.get(namedPort(match.protocol, match.name)) === port;
}

/** The order in which the kernel asks (nft-base.ts): who first, everybody, pods, namespaces, blocks; then the widest ports. */
function rank({ peer, port, rule }: Match): number {
  const named = port?.kind === 'name' && rule.direction === 'egress';
  const who = !peer ? (named ? 1 : 0) : peer.kind === 'block' ? (named ? 1 : 3) : peer.podSelector || named ? 1 : 2;
  const ports = !port ? 0 : port.kind === 'all' ? 1 : port.kind === 'name' || port.first === port.last ? 2 : 3;
  return 4 * who + ports;
}
