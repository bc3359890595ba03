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
  /** A search list was walked, and something found. */
  readonly onAutopath?: () => void;
}

export type Resolver = (query: Query) => Answer | Promise<Answer>;

export function chain(options: ChainOptions): Resolver {
  const nobody: Handler = () => undefined;
  const handlers: readonly (readonly [plugin: string, handler: Handler])[] = [
    ['loop', (query) => (options.isLoop?.(query) ? failed(RCODE.REFUSED) : undefined)],
    // What the config says wins over everything.
    ['hosts', options.hosts ?? nobody],
    // While the lists are not in, silence about the cluster is the only truth.
    ['kubernetes', ready(options.isSynced, options.records.zone)],
    // Before any forwarding: search lists make five questions of one, and those within the zone must cost nothing.
    ['kubernetes', clusterZone(options.records)],
    // Addresses outside our ranges fall through unless they have a name here.
    ['kubernetes', reverseZones(options.records, options.reverseCIDRs)],
    ['forward', options.stubs ?? nobody],
    // All the rest of the world.
    ['forward', options.forward],
  ];
  const chased = chasing((query) => {
    for (const [plugin, handler] of handlers) {
      const answer = handler(query);
      if (answer) return answer instanceof Promise ? answer.then((later) => by(plugin, later)) : by(plugin, answer);
    }
    return undefined;
  });
  const resolve = rewriting(options.rewrites ?? {}, (query) => chased(query) ?? failed(RCODE.REFUSED));
  return options.searchesOf ? autopath(options.searchesOf, resolve, options.onAutopath) : resolve;
}

function by(plugin: string, answer: Answer): Answer {
  return answer.plugin === undefined ? { ...answer, plugin } : answer;
}
