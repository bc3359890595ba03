// Room lb: what a node does for load balancer addresses, as Prometheus's text, under MetalLB's names where they match. Loaded when it is asked for.
import type { IP } from '../addr/ip.ts';
import { Metrics, type Sample } from '../observe/metrics.ts';
import type { ClaimReport } from './speaker.ts';

export interface LbCounts {
  /** Announcements that nobody asked for: gratuitous ARP, unsolicited neighbour advertisements. */
  readonly announced: ReadonlyMap<IP, number>;
  readonly claims: ReadonlyMap<IP, number>;
  readonly releases: ReadonlyMap<IP, number>;
}

export interface LbMetricSources {
  readonly node: string;
  readonly claims: readonly ClaimReport[];
  readonly counts: LbCounts;
  /** Nodes of the segment: all, and those that are heard; with this one. */
  readonly members: { readonly all: number; readonly live: number };
}

export function lbMetricsText({ node, claims, counts, members }: LbMetricSources): Promise<string> {
  const metrics = new Metrics();
  const byAddress = (counted: ReadonlyMap<IP, number>): Sample[] =>
    Array.from(counted, ([ip, value]) => ({ value, labels: { ip } }));
  const announced = claims.flatMap(({ ip, services }) =>
    services.map((service) => ({ value: 1, labels: { service, protocol: 'layer2', node, ip } })),
  );
  metrics.gauge('metallb_speaker_announced', 'Services for whose address this node answers.', announced);
  const sent = byAddress(counts.announced);
  metrics.counter('metallb_layer2_gratuitous_sent', 'Gratuitous ARP and unsolicited neighbour advertisements.', sent);
  metrics.counter('podwire_lb_claims_total', 'How often this node began to answer.', byAddress(counts.claims));
  metrics.counter('podwire_lb_releases_total', 'How often it ceased to answer.', byAddress(counts.releases));
  metrics.gauge('podwire_lb_nodes', 'Nodes of the segment, as this one hears them.', [
    { value: members.live, labels: { state: 'live' } },
    { value: members.all - members.live, labels: { state: 'silent' } },
  ]);
  return metrics.text();
}
