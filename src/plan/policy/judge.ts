// Room plan: may this flow pass, and who says so: the words of the APIs over the engine's indexes.
import type { IP } from '../../addr/ip.ts';
import { inBlock } from './address-block.ts';
import type { PolicyEngine } from './engine.ts';
import { namedPort, type PolicyPod } from './pod.ts';
import type { AtomicPeer, Direction, FlowProtocol, Peer, PolicyRules, PortMatch, Rule } from './rules.ts';
import { isPlain, type Stage, stagesOf } from './tiers.ts';
import { type Decision, type Step, walk } from './walk.ts';

/** The first packet of a connection, after DNAT and before SNAT. */
export interface Flow {
  readonly from: IP;
  readonly to: IP;
  /** Those without ports: only rules that name none, or the protocol alone, apply to them. */
  readonly protocol: FlowProtocol;
  readonly port: number;
}

/** A rule that applies to the flow, and by which of its peers and ports; no peer: the rule is for everybody; no port: for any. */
export interface Match {
  readonly rule: Rule;
  readonly peer: Peer | undefined;
  readonly port: PortMatch | undefined;
}

/** How a walk through the tiers ends. */
export type Ruling =
  /** `matches` begins with the rule that decides (action allow or deny) and is counted in the kernel; others would allow the same. */
  | {
      readonly allowed: boolean;
      readonly because: 'rule';
      /** Name of its tier: `kube-admin`, `default`, `kube-baseline`, or one of Calico's. */
      readonly tier: string;
      readonly matches: readonly [Match, ...Match[]];
    }
  /** The end of a tier that lets nothing through; `isolatedBy` are the tier's policies that select the pod. */
  | {
      readonly allowed: false;
      readonly because: 'no rule';
      readonly tier: string;
      readonly isolatedBy: readonly PolicyRules[];
    }
  /** Policies select the pod, and none of them decides. */
  | { readonly allowed: true; readonly because: 'nothing decides' };

type Outcome = Ruling | { readonly allowed: true; readonly because: 'no pod' | 'not isolated' | 'itself' | 'own node' };

/** What the policies of one of the two pods say. */
export type Side = Outcome & {
  readonly direction: Direction;
  readonly pod: PolicyPod | undefined;
  /** Rules that applied and ends of tiers, in order; the last one decided. */
  readonly steps: readonly Step[];
  /** What the ruling would be if the policies in dry run were in force; absent where none has a say here. */
  readonly staged?: Ruling;
};

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
  const free = (because: 'no pod' | 'not isolated' | 'itself' | 'own node'): Side => {
    return { direction, pod, steps: [], allowed: true, because };
  };
  if (!pod) return free('no pod');
  const stages = stagesOf(engine.tiers, pod, direction);
  const dryRun = [...pod.policies].some(({ staged, directions }) => staged && directions.includes(direction));
  if (stages.length === 0 && !dryRun) return free('not isolated');
  const peer = engine.podAt(other);
  if (peer === pod) return free('itself');
  if (engine.nodeIPs(pod.node).includes(other)) return free('own node');
  const view: View = { engine, flow, ip: other, peer, server: direction === 'ingress' ? pod : peer };
  const steps: Step[] = [];
  const ruling = ruleOn(view, pod, direction, stages, steps);
  const outcome: Outcome = stages.length === 0 ? { allowed: true, because: 'not isolated' } : ruling;
  const staged = dryRun && ruleOn(view, pod, direction, stagesOf(engine.tiers, pod, direction, true), []);
  return { direction, pod, steps, ...outcome, ...(staged && { staged }) };
}

/** The other end, as rules look at it; `server` is the pod that is spoken to. */
interface View {
  readonly engine: PolicyEngine;
  readonly flow: Flow;
  readonly ip: IP;
  readonly peer: PolicyPod | undefined;
  readonly server: PolicyPod | undefined;
}

function ruleOn(view: View, pod: PolicyPod, direction: Direction, stages: readonly Stage[], steps: Step[]): Ruling {
  const rulesOf = (stage: Stage) => stage.policies.flatMap(({ rules }) => rules[direction]);
  const decision = walk(
    stages,
    (rule) => matchesOf(view, rule)[0],
    rulesOf,
    (step) => steps.push(step),
  );
  return rulingOf(decision, (first) => {
    // A union: all that allow it are told, in the order in which the kernel asks. A stable sort: among equals names decide.
    if (!isPlain(pod)) return [first];
    const all = stages.flatMap(rulesOf).flatMap((rule) => matchesOf(view, rule));
    return all.sort((a, b) => rank(a) - rank(b)) as [Match, ...Match[]];
  });
}

function rulingOf(decision: Decision<Match>, all: (first: Match) => [Match, ...Match[]]): Ruling {
  switch (decision.kind) {
    case 'rule': {
      const { allowed, tier, match } = decision;
      return { allowed, because: 'rule', tier: tier.name, matches: all(match) };
    }
    case 'end': {
      const { tier, policies } = decision.stage;
      return { allowed: false, because: 'no rule', tier: tier.name, isolatedBy: policies };
    }
    case 'none':
      return { allowed: true, because: 'nothing decides' };
  }
}

function matchesOf(view: View, rule: Rule): Match[] {
  const ports = rule.ports ? rule.ports.filter((port) => portMatches(port, view.server, view.flow)) : [undefined];
  if (ports.length === 0) return [];
  const peers = rule.peers ? rule.peers.filter((each) => isPeer(view.engine, each, view.ip, view.peer)) : [undefined];
  return peers.flatMap((peer) => ports.map((port) => ({ rule, peer, port })));
}

/** What decides of flows from or to a pod; undefined where no policy in force has a say. */
export function stagesOfPod(engine: PolicyEngine, pod: PolicyPod, direction: Direction): Stage[] | undefined {
  const stages = stagesOf(engine.tiers, pod, direction);
  return stages.length > 0 ? stages : undefined;
}

type PortOfFlow = Pick<Flow, 'protocol' | 'port'>;

interface Remaining {
  readonly rule: Rule;
  /** Ports by name, of which the peer must have one so; absent: the rule is for the port, whoever is spoken to. */
  readonly names: readonly PortMatch[] | undefined;
}

/** Whether the pod's policies let a peer pass on the port: read once, to be asked of many peers. */
export function gateOf(
  engine: PolicyEngine,
  { pod, stages, direction }: { pod: PolicyPod; stages: readonly Stage[]; direction: Direction },
  port: PortOfFlow,
): (peer: PolicyPod) => boolean {
  const remains = (rule: Rule): Remaining[] => {
    const server = direction === 'ingress' ? pod : undefined;
    if (!rule.ports || rule.ports.some((each) => portMatches(each, server, port))) return [{ rule, names: undefined }];
    const names = direction === 'egress' ? rule.ports.filter(({ kind }) => kind === 'name') : [];
    return names.length > 0 ? [{ rule, names }] : [];
  };
  const remaining = stages.map(({ tier, policies }) => {
    return { end: tier.end, rules: policies.flatMap(({ rules }) => rules[direction]).flatMap(remains) };
  });
  const applies = ({ rule: { peers }, names }: Remaining, peer: PolicyPod) =>
    (!names || names.some((each) => portMatches(each, peer, port))) &&
    (!peers || peers.some((each) => isPeer(engine, each, peer.ips[0]!, peer)));
  return (peer) => {
    for (const { end, rules } of remaining) {
      const decides = rules.find((each) => each.rule.action !== 'log' && applies(each, peer));
      const action = decides ? decides.rule.action : end;
      if (action !== 'pass') return action === 'allow';
    }
    return true;
  };
}

function isPeer(engine: PolicyEngine, peer: Peer, ip: IP, pod: PolicyPod | undefined): boolean {
  if (peer.kind !== 'entity') return isAtom(engine, peer, ip, pod);
  return peer.conditions.every(({ not, anyOf }) => not !== anyOf.some((atom) => isAtom(engine, atom, ip, pod)));
}

function isAtom(engine: PolicyEngine, peer: AtomicPeer, ip: IP, pod: PolicyPod | undefined): boolean {
  if (peer.kind === 'block') return inBlock(peer, ip);
  if (peer.kind === 'nodes') return engine.isNode(peer.nodeSelector, ip);
  return pod?.peers.has(peer.key) === true;
}

/** A name means what the pod that is spoken to calls so. */
function portMatches(match: PortMatch, server: PolicyPod | undefined, { protocol, port }: PortOfFlow): boolean {
  if (match.protocol !== protocol) return false;
  if (match.kind === 'all') return true;
  if (match.kind === 'range') return match.first <= port && port <= match.last;
  return server?.ports.get(namedPort(match.protocol, match.name)) === port;
}

/** The order in which the kernel asks (nft-base.ts): who first, everybody, pods, namespaces, blocks; then the widest ports. */
function rank({ peer, port, rule }: Match): number {
  const named = port?.kind === 'name' && rule.direction === 'egress';
  const isBlock = peer?.kind === 'block';
  const who = !peer ? (named ? 1 : 0) : isBlock ? (named ? 1 : 3) : isSome(peer) || named ? 1 : 2;
  const ports = !port ? 0 : port.kind === 'all' ? 1 : port.kind === 'name' || port.first === port.last ? 2 : 3;
  return 4 * who + ports;
}

function isSome(peer: Peer): boolean {
  return peer.kind === 'pods' && peer.podSelector !== undefined;
}
