// Room node: what the plans of Services know of their node as it is now, and what of them is stale when that changes.
import type { Informer } from '../cache/informer.ts';
import type { Node, ServiceCIDR } from '../objects/types.ts';
import type { NodeFacts } from '../plan/proxy-names.ts';
import { cidrsOf } from '../plan/service-ways.ts';
import type { NodeOptions } from './agent.ts';
import { factsOf } from './node-facts.ts';

/** What must be planned anew. */
export interface Stale {
  /** What Services share. */
  readonly base: boolean;
  /** Every Service. */
  readonly services: boolean;
}

export class KnownFacts {
  readonly #options: NodeOptions;
  readonly #ranges: Informer<ServiceCIDR> | undefined;
  #facts: NodeFacts;

  constructor(options: NodeOptions, ranges: Informer<ServiceCIDR> | undefined) {
    this.#options = options;
    this.#ranges = ranges;
    this.#facts = factsOf(options, undefined);
  }

  get current(): NodeFacts {
    return this.#facts;
  }

  /** `node`: this one's object, undefined while there is none. */
  look(node: Node | undefined): Stale {
    const before = this.#facts;
    const now = factsOf(this.#options, node, [...(this.#ranges?.list() ?? [])].flatMap(cidrsOf));
    this.#facts = now;
    const differ = (field: 'ownPodCIDRs' | 'serviceCIDRs' | 'nodePortIPs') =>
      before[field]?.join() !== now[field]?.join();
    return {
      base: differ('ownPodCIDRs') || differ('serviceCIDRs'),
      // Where this node is decides which endpoints are near.
      services: before.zone !== now.zone || differ('nodePortIPs'),
    };
  }
}
