// Room dns: the order in which handlers are asked; the first that answers has the word.
import type { CIDR } from '../addr/prefix.ts';
import { RCODE } from '../wire/dns/message.ts';
import { autopath, type SearchesOf } from './autopath.ts';
import { chasing } from './chase.ts';
import { clusterZone } from './cluster-zone.ts';
import { type Answer, failed, type Handler, type Query } from './query.ts';
import { ready } from './ready.ts';
import type { ClusterRecords } from './records.ts';
import { reverseZones } from './reverse-zones.ts';
import { rewriting } from './rewrite.ts';
import type { ServerSettings } from './settings.ts';

export interface ChainOptions {
  readonly records: ClusterRecords;
  readonly isSynced: () => boolean;
  /** Ranges whose addresses nobody else can name: Services, pods, nodes. */
  readonly reverseCIDRs: readonly CIDR[];
  readonly forward: Handler;
  /** Whether the question is our own, come back. */
  readonly isLoop?: (query: Query) => boolean;
  readonly hosts?: Handler;
  readonly stubs?: Handler;
  readonly rewrites?: ServerSettings['rewrites'];
  /** Absent: nobody's search list is walked. */
  readonly searchesOf?: SearchesOf;
}

export type Resolver = (query: Query) => Answer | Promise<Answer>;

export function chain(options: ChainOptions): Resolver {
  const nobody: Handler = () => undefined;
  const handlers: readonly Handler[] = [
    (query) => (options.isLoop?.(query) ? failed(RCODE.REFUSED) : undefined),
    // What the config says wins over everything.
    options.hosts ?? nobody,
    // While the lists are not in, silence about the cluster is the only truth.
    ready(options.isSynced, options.records.zone),
    // Before any forwarding: search lists make five questions of one, and those within the zone must cost nothing.
    clusterZone(options.records),
    // Addresses outside our ranges fall through unless they have a name here.
    reverseZones(options.records, options.reverseCIDRs),
    options.stubs ?? nobody,
    // All the rest of the world.
    options.forward,
  ];
  const chased = chasing((query) => {
    for (const handler of handlers) {
      const answer = handler(query);
      if (answer) return answer;
    }
    return undefined;
  });
  const resolve = rewriting(options.rewrites ?? {}, (query) => chased(query) ?? failed(RCODE.REFUSED));
  return options.searchesOf ? autopath(options.searchesOf, resolve) : resolve;
}
