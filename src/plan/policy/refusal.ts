// Room plan: a refused packet in words: who, whom, on what, and which policies say so.
import type { IP } from '../../addr/ip.ts';
import type { PolicyEngine } from './engine.ts';
import { type Flow, judgeSide } from './judge.ts';
import { type Direction, flowProtocol, ruleText } from './rules.ts';

/** One line of the log of refused packets; plain data. */
export interface Refusal {
  /** RFC 3339 */
  readonly time: string;
  readonly node: string;
  readonly verdict: 'drop';
  readonly direction: Direction;
  /** `namespace/name` of the pod whose policies refused it. */
  readonly pod: string;
  /** `namespace/name` of the other end where it is a pod, else its address. */
  readonly peer: string;
  readonly from: IP;
  readonly to: IP;
  readonly protocol: string;
  readonly port?: number;
  /** Those that isolate the pod where no rule allows: `NetworkPolicy/shop/web`. */
  readonly isolatedBy: readonly string[];
  /** The rule that denies it: `ClusterNetworkPolicy/guard egress[0]`. Neither this nor isolatedBy: the policies changed since. */
  readonly deniedBy?: string;
}

export interface RefusedFlow {
  readonly direction: Direction;
  readonly from: IP;
  readonly to: IP;
  /** By number where it has no ports. */
  readonly protocol: string;
  readonly port: number | undefined;
}

export function refusalOf(engine: PolicyEngine, node: string, time: string, refused: RefusedFlow): Refusal {
  const { direction, from, to, protocol, port } = refused;
  const [own, other] = direction === 'egress' ? [from, to] : [to, from];
  const flow: Flow = { from, to, protocol: flowProtocol(protocol), port: port ?? 0 };
  const side = judgeSide(engine, direction, flow);
  return {
    time,
    node,
    verdict: 'drop',
    direction,
    pod: engine.podAt(own)?.key ?? own,
    peer: engine.podAt(other)?.key ?? other,
    from,
    to,
    protocol,
    ...(port !== undefined && { port }),
    isolatedBy: side.because === 'no rule' ? side.isolatedBy.map(({ id }) => id) : [],
    ...(side.because === 'rule' && !side.allowed && { deniedBy: ruleText(side.matches[0].rule) }),
  };
}

/** `drop ingress x/a <- y/b TCP 80: isolated by NetworkPolicy/x/deny, no rule allows` */
export function refusalText({ direction, pod, peer, protocol, port, isolatedBy, deniedBy }: Refusal): string {
  const arrow = direction === 'egress' ? '->' : '<-';
  const what = port === undefined ? protocol : `${protocol} ${port}`;
  const isolated = isolatedBy.length > 0 && `isolated by ${isolatedBy.join(', ')}, no rule allows`;
  const why = isolated || (deniedBy ? `denied by ${deniedBy}` : 'refused by policies that have changed since');
  return `drop ${direction} ${pod} ${arrow} ${peer} ${what}: ${why}`;
}
