// Room trace: what a node's plan makes of a Service's address, in words: what it chose and why, what it refused and what to change.
import type { NftElement } from '../kernel/nft-items.ts';
import { objectKey, refText } from '../objects/types.ts';
import { causeOf, type Frontend, frontendsOf } from '../plan/frontends.ts';
import { refuseAdvice } from './advice.ts';
import { candidatesOf } from './candidates.ts';
import type { TracedCluster } from './cluster.ts';
import type { Hop, Protocol } from './hop.ts';
import { type NodeView, protocolWord } from './node-view.ts';
import type { Flight } from './walker.ts';

interface Found {
  readonly frontend: Frontend;
  /** `namespace/name` of the Service, and how it is told of. */
  readonly key: string;
  readonly name: string;
}

type Words = Pick<Hop, 'says' | 'by' | 'more'>;
type Refusal = Words & { readonly mend: string };

export class ServiceWords {
  readonly #cluster: TracedCluster;
  readonly #protocol: Protocol;

  constructor(cluster: TracedCluster, protocol: Protocol) {
    this.#cluster = cluster;
    this.#protocol = protocol;
  }

  /** The Service that has this address and port on the node. */
  at(view: NodeView, { dst, port }: Flight): Found | undefined {
    const word = protocolWord(this.#protocol);
    for (const service of this.#cluster.parts.services) {
      const key = objectKey(service);
      const all = frontendsOf(service, this.#cluster.slices.get(key) ?? [], view.knows.facts);
      const frontend = all.find((each) => each.ip === dst && each.port === port && each.protocol === word);
      if (frontend) return { frontend, key, name: refText(causeOf(service)) };
    }
    return undefined;
  }

  /** `name`: who got it. */
  chosen(view: NodeView, from: Flight, to: Flight, { name, outside }: { name: string; outside?: boolean }): Words {
    const tuple = `${from.dst}:${from.port} becomes ${to.dst}:${to.port}`;
    const found = this.at(view, from);
    if (!found) return { says: `published port of ${name}: ${tuple}`, by: [name] };
    const { frontend, key } = found;
    const { endpoints } = (outside && frontend.outside) || frontend.inside;
    const { affinitySeconds } = frontend;
    const count = endpoints.length === 1 ? '1 endpoint' : `${endpoints.length} endpoints`;
    const stays = affinitySeconds === undefined ? '' : `; the client stays there for ${affinitySeconds} s (ClientIP)`;
    return {
      says: `${frontend.kind} of ${found.name}, ${count}, here ${name}: ${tuple}${stays}`,
      by: [found.name, name],
      more: candidatesOf(this.#cluster, key, view, frontend, outside),
    };
  }

  /** `how` the sender is told. */
  refused(view: NodeView, flight: Flight, how: string): Refusal {
    const found = this.at(view, flight);
    const mend = refuseAdvice(this.#cluster, this.#protocol, flight, view);
    if (found) {
      const more = candidatesOf(this.#cluster, found.key, view, found.frontend);
      return { says: `${found.name} has no endpoint to go to: ${how}`, by: [found.name], mend, more };
    }
    const service = this.#cluster.serviceAt(flight.dst);
    if (!service) return { says: `no Service has the address ${flight.dst}: ${how}`, by: [], mend };
    const name = refText(causeOf(service));
    return { says: `${name} has no port ${flight.port}/${this.#protocol}: ${how}`, by: [name], mend };
  }

  dropped(view: NodeView, flight: Flight): Refusal {
    const found = this.at(view, flight);
    if (!found) return { says: 'dropped', by: [], mend: `look at the rules of ${view.name}` };
    const { frontend, key, name } = found;
    const more = candidatesOf(this.#cluster, key, view, frontend, true);
    if (frontend.sources) {
      const says = `${name} drops it: ${flight.src} is not in loadBalancerSourceRanges ${frontend.sources.join(', ')}`;
      return { says, by: [name], mend: `add ${flight.src} to spec.loadBalancerSourceRanges of ${name}`, more };
    }
    const policy = frontend.kind === 'clusterIP' ? 'internalTrafficPolicy' : 'externalTrafficPolicy';
    const says = `${name} drops it: ${policy} is Local, and no endpoint is on ${view.name}`;
    const mend = `run a pod of ${name} on ${view.name}, ask by a node that has one, or set ${policy}: Cluster`;
    return { says, by: [name], mend, more };
  }
}

/** What the elements that were found say of who put them there. */
export function causesOf(found: readonly NftElement[]): string[] {
  return [...new Set(found.flatMap(({ comment }) => comment?.replace(/: .*$/, '') ?? []))];
}
