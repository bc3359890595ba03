// Room trace: what the kernel told of packets, put together: a packet's visits to nodes, how it came, how it left or where it ended.
import type { LinkedEvent } from '../kernel/packet-trace.ts';
import type { TracedPacket } from '../wire/nft/trace.ts';

export interface Visit {
  readonly node: string;
  /** The way from who asks, or back. */
  readonly direction: 'request' | 'answer';
  readonly came: TracedPacket;
  /** By which link; absent: the node itself sent it. */
  readonly over?: string;
  /** As it left, or was taken in by the node itself (`by` absent). */
  readonly left?: { readonly packet: TracedPacket; readonly by?: string };
  /** Where a rule ended it. */
  readonly ended?: { readonly table: string; readonly chain: string };
}

export interface Told {
  readonly node: string;
  readonly event: LinkedEvent;
  /** Of the chains that say how a packet comes and goes, which have no say. */
  readonly mark?: 'first' | 'last';
}

/** `port`: the client's. Of packets that are alike (sent again, or later ones of the flow) the first counts. */
export function visitsOf(told: readonly Told[], port: number): Visit[] {
  const visits = new Map<string, Visit>();
  for (const group of Map.groupBy(told, ({ node, event }) => `${node} ${event.id}`).values()) {
    const visit = visitOf(group, port);
    if (!visit) continue;
    const key = [visit.node, visit.direction, visit.over, visit.came.dst].join(' ');
    if (!visits.has(key)) visits.set(key, visit);
  }
  return [...visits.values()];
}

function visitOf(group: readonly Told[], port: number): Visit | undefined {
  const first = group.find(({ event }) => event.packet);
  if (!first) return undefined;
  const came = first.event.packet!;
  if (came.srcPort !== port && came.dstPort !== port) return undefined;
  const last = group.find(({ mark, event }) => mark === 'last' && event.packet)?.event;
  const ended = group.find(({ event, mark }) => event.drops && mark === undefined)?.event;
  return {
    node: first.node,
    direction: came.srcPort === port ? 'request' : 'answer',
    came,
    ...(first.event.came && { over: first.event.came }),
    ...(last && { left: { packet: last.packet!, ...(last.leaves && { by: last.leaves }) } }),
    ...(ended && { ended: { table: ended.table, chain: ended.chain } }),
  };
}
