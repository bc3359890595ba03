// Room plan: a packet that policies refused, let pass or would refuse, in words: who, whom, on what, and which rule says so.
import type { IP } from '../../addr/ip.ts';
import type { PolicyEngine } from './engine.ts';
import { matchText } from './explain.ts';
import { type Flow, judgeSide, type Ruling, type Side } from './judge.ts';
import { type Direction, flowProtocol } from './rules.ts';

export type FlowVerdict = 'drop' | 'allow' | 'would-deny';

/** One line of the log; plain data. */
export interface FlowLine {
  /** RFC 3339 */
  readonly time: string;
  readonly node: string;
  readonly verdict: FlowVerdict;
  readonly direction: Direction;
  /** `namespace/name` of the pod whose policies say so. */
  readonly pod: string;
  /** `namespace/name` of the other end where it is a pod, else its address. */
  readonly peer: string;
  readonly from: IP;
  readonly to: IP;
  readonly protocol: string;
  readonly port?: number;
  /** Name of the tier that decides. */
  readonly tier?: string;
  /** The policy whose rule decides: `ClusterNetworkPolicy/guard`. */
  readonly policy?: string;
  /** Its place in spec.ingress or spec.egress. */
  readonly rule?: number;
  /** Which of the rule's peers matched; `everybody` for a rule without. */
  readonly selector?: string;
  /** Those that isolate the pod where no rule allows: `NetworkPolicy/shop/web`. */
  readonly isolatedBy: readonly string[];
  /** What decides, as one text. */
  readonly says: string;
}

export interface LoggedFlow {
  readonly verdict: FlowVerdict;
  readonly direction: Direction;
  readonly from: IP;
  readonly to: IP;
  /** By number where it has no ports. */
  readonly protocol: string;
  readonly port: number | undefined;
}

/** Finds by the policies of now what the kernel told of: where they changed meanwhile, it says so. */
export function flowLine(engine: PolicyEngine, node: string, time: string, logged: LoggedFlow): FlowLine {
  const { verdict, direction, from, to, protocol, port } = logged;
  const [own, other] = direction === 'egress' ? [from, to] : [to, from];
  const flow: Flow = { from, to, protocol: flowProtocol(protocol), port: port ?? 0 };
  const side = judgeSide(engine, direction, flow);
  return {
    time,
    node,
    verdict,
    direction,
    pod: engine.podAt(own)?.key ?? own,
    peer: engine.podAt(other)?.key ?? other,
    from,
    to,
    protocol,
    ...(port !== undefined && { port }),
    ...deciding(verdict, side),
  };
}

type Deciding = Pick<FlowLine, 'tier' | 'policy' | 'rule' | 'selector' | 'isolatedBy' | 'says'>;

function deciding(verdict: FlowVerdict, side: Side): Deciding {
  const ruling: Ruling | Side | undefined = verdict === 'would-deny' ? side.staged : side;
  if (!ruling || ruling.allowed !== (verdict === 'allow')) {
    return { isolatedBy: [], says: 'policies have changed since' };
  }
  if (ruling.because === 'no rule') {
    const isolatedBy = ruling.isolatedBy.map(({ id }) => id);
    return { tier: ruling.tier, isolatedBy, says: `isolated by ${isolatedBy.join(', ')}, no rule allows` };
  }
  if (ruling.because !== 'rule') return { isolatedBy: [], says: 'no policy decides' };
  const [match] = ruling.matches;
  const { policy, index } = match.rule;
  const says = `${ruling.allowed ? 'allowed' : 'denied'} by ${matchText(match)}`;
  const selector = match.peer?.key ?? 'everybody';
  return { tier: ruling.tier, policy: policy.id, rule: index, selector, isolatedBy: [], says };
}

/** `drop ingress x/a <- y/b TCP 80: isolated by NetworkPolicy/x/deny, no rule allows` */
export function flowLineText({ verdict, direction, pod, peer, protocol, port, says }: FlowLine): string {
  const arrow = direction === 'egress' ? '->' : '<-';
  const what = port === undefined ? protocol : `${protocol} ${port}`;
  return `${verdict} ${direction} ${pod} ${arrow} ${peer} ${what}: ${says}`;
}
