// Room scheduler: what a pod asks for and what a node has, as numbers: CPU in thousandths, all else in whole units.
import { milli, units } from '../objects/quantity.ts';
import type { Node, Pod } from '../objects/types.ts';

/** Resource name to amount: `cpu` in thousandths of a core, `memory` in bytes, `pods` and others in units. */
export type Amounts = ReadonlyMap<string, number>;

type Container = Pod['spec']['containers'][number];
type Quantities = Readonly<Record<string, string>> | undefined;

export function amounts(quantities: Quantities): Map<string, number> {
  return new Map(
    Object.entries(quantities ?? {}).map(([name, text]) => [name, name === 'cpu' ? milli(text) : units(text)]),
  );
}

/** What is left for pods of the node. */
export function allocatable(node: Node | undefined): Amounts {
  return amounts((node?.status?.allocatable ?? node?.status?.capacity) as Quantities);
}

/**
 * What the pod holds at its worst moment (KEP-753): all containers and sidecars together, or an init container with the
 * sidecars that were started before it; and the overhead of its sandbox.
 */
export function podRequests(pod: Pod): Amounts {
  const sidecars = new Map<string, number>();
  const worst = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const requests = requestsOf(container);
    if (container.restartPolicy === 'Always') addTo(sidecars, requests);
    else raiseTo(worst, sum(sidecars, requests));
  }
  for (const container of pod.spec.containers) addTo(sidecars, requestsOf(container));
  raiseTo(worst, sidecars);
  return sum(worst, amounts(pod.spec.overhead as Quantities));
}

/** A limit without a request is a request. */
function requestsOf({ resources }: Container): Amounts {
  return amounts({ ...(resources?.limits as Quantities), ...(resources?.requests as Quantities) });
}

export function addTo(total: Map<string, number>, more: Amounts, sign: 1 | -1 = 1): void {
  for (const [name, amount] of more) total.set(name, (total.get(name) ?? 0) + sign * amount);
}

function sum(a: Amounts, b: Amounts): Map<string, number> {
  const total = new Map(a);
  addTo(total, b);
  return total;
}

function raiseTo(total: Map<string, number>, other: Amounts): void {
  for (const [name, amount] of other) total.set(name, Math.max(total.get(name) ?? 0, amount));
}
