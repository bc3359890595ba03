// Room trace: a packet's way as plain data: hops in order, each with the objects that made it, and how it ends.
import type { IP } from '../addr/ip.ts';

export type Stage =
  | 'name'
  | 'source'
  | 'socket'
  | 'service'
  | 'egress'
  | 'route'
  | 'overlay'
  | 'snat'
  | 'ingress'
  | 'delivery'
  | 'reply';

export interface Addresses {
  readonly src: IP;
  readonly dst: IP;
  readonly port: number;
}

/** One decision. */
export interface Hop {
  /** Name of the node where it is made; absent: before or beyond any. */
  readonly node?: string;
  readonly stage: Stage;
  /** False: here it ends. */
  readonly ok: boolean;
  readonly says: string;
  /** Objects that made it: `Service/shop/web`. */
  readonly by: readonly string[];
  /** The packet after it, where that is another than before. */
  readonly packet?: Addresses;
  /** What more there is to know, a line each: endpoints and why they are or are not chosen. */
  readonly more?: readonly string[];
}

/**
 * `delivered`: to whom it was sent, who answers. `refused`: the sender is told at once. `unreachable`: told that there is no way. `lost`: nobody
 * tells anybody.
 */
export interface Ending {
  readonly kind: 'delivered' | 'refused' | 'unreachable' | 'lost';
  /** Where it ended: `shop/web-1`, a node's name, or an address outside. */
  readonly at: string;
  /** As the receiver sees it, or would have. */
  readonly packet: Addresses;
  /** Which stage ended it; absent: delivered. */
  readonly stage?: Stage;
  /** What to change. */
  readonly mend?: string;
}

/** One way that the packet may take. */
export interface Way {
  readonly hops: readonly Hop[];
  readonly ending: Ending;
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface Question {
  readonly from: string;
  readonly to: string;
  readonly packet: Addresses & { readonly protocol: Protocol };
}

/** Chance chooses between the ways where there are several: the endpoints of a Service. */
export interface Trace extends Question {
  readonly ways: readonly Way[];
}
