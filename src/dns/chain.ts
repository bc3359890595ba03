// Room dns: the order in which handlers are asked; the first that answers has the word.
import type { CIDR } from '../addr/prefix.ts';
import { RCODE } from '../wire/dns/message.ts';
import { chasing } from './chase.ts';
import { clusterZone } from './cluster-zone.ts';
import { type Answer, failed, type Handler, type Query } from './query.ts';
import { ready } from './ready.ts';
import type { ClusterRecords } from './records.ts';
import { reverseZones } from './reverse-zones.ts';

export interface ChainOptions {
  readonly records: ClusterRecords;
  readonly isSynced: () => boolean;
  /** Ranges whose addresses nobody else can name: Services, pods, nodes. */
  readonly reverseCIDRs: readonly CIDR[];
  readonly forward: Handler;
}

export type Resolver = (query: Query) => Answer | Promise<Answer>;

export function chain(options: ChainOptions): Resolver {
  const handlers: readonly Handler[] = [
    // First: while the lists are not in, silence about the cluster is the only truth.
    ready(options.isSynced, options.records.zone),
    // Before any forwarding: search lists make five questions of one, and those within the zone must cost nothing.
    clusterZone(options.records),
    // Addresses outside our ranges fall through unless they have a name here.
    reverseZones(options.records, options.reverseCIDRs),
    // All the rest of the world.
    options.forward,
  ];
  const resolve = chasing((query) => {
    for (const handler of handlers) {
      const answer = handler(query);
      if (answer) return answer;
    }
    return undefined;
  });
  return (query) => resolve(query) ?? failed(RCODE.REFUSED);
}
