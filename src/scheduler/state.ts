// Room scheduler: nodes and what the pods on them hold, as the scheduler knows and assumes it.
import { type PodHostPort, podHostPorts } from '../objects/pod-ports.ts';
import type { Node, Pod } from '../objects/types.ts';
import { objectKey } from '../objects/types.ts';
import { type Amounts, addTo, allocatable, podRequests } from './resources.ts';

/** A pod with what is asked again and again about it. */
export interface PodInfo {
  readonly pod: Pod;
  readonly key: string;
  readonly requests: Amounts;
  readonly hostPorts: readonly PodHostPort[];
}

export interface NodeInfo {
  readonly name: string;
  readonly node: Node;
  readonly allocatable: Amounts;
  readonly requested: Amounts;
  readonly pods: ReadonlyMap<string, PodInfo>;
}

interface Place {
  readonly name: string;
  /** Undefined while only pods tell that there is such a node. */
  node: Node | undefined;
  allocatable: Amounts;
  readonly requested: Map<string, number>;
  readonly pods: Map<string, PodInfo>;
}

export function podInfo(pod: Pod): PodInfo {
  return { pod, key: objectKey(pod), requests: podRequests(pod), hostPorts: podHostPorts(pod) };
}

export class ClusterState {
  readonly #places = new Map<string, Place>();
  /** Pod key to the node that it is on. */
  readonly #placed = new Map<string, string>();

  /** Nodes that exist, in no order. */
  nodes(): NodeInfo[] {
    return [...this.#places.values()].filter((place): place is Place & NodeInfo => place.node !== undefined);
  }

  setNode(node: Node): void {
    const place = this.#place(node.metadata.name);
    place.node = node;
    place.allocatable = allocatable(node);
  }

  removeNode(name: string): void {
    const place = this.#places.get(name);
    if (!place) return;
    if (place.pods.size === 0) this.#places.delete(name);
    else place.node = undefined;
  }

  /** The pod is on this node, or will be: what it held elsewhere or before is given back. */
  assign(info: PodInfo, nodeName: string): void {
    this.release(info.key);
    const place = this.#place(nodeName);
    place.pods.set(info.key, info);
    addTo(place.requested, info.requests);
    this.#placed.set(info.key, nodeName);
  }

  release(key: string): void {
    const place = this.#places.get(this.#placed.get(key) ?? '');
    const info = place?.pods.get(key);
    if (!place || !info) return;
    this.#placed.delete(key);
    place.pods.delete(key);
    addTo(place.requested, info.requests, -1);
    if (!place.node && place.pods.size === 0) this.#places.delete(place.name);
  }

  #place(name: string): Place {
    let place = this.#places.get(name);
    if (!place) {
      place = { name, node: undefined, allocatable: new Map(), requested: new Map(), pods: new Map() };
      this.#places.set(name, place);
    }
    return place;
  }
}
