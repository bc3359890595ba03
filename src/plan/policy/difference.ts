// Room plan: what a change of policies allows that was denied, and denies that was allowed, in pods and ports.
import type { PolicyEngine } from './engine.ts';
import { type Allowed, allowedText, type Matrix, matrixOf, spokenPorts } from './matrix.ts';

export interface Difference {
  /** Pods that are alike before and after: the first by name, and how many more. */
  readonly from: string;
  readonly to: string;
  readonly before: Allowed;
  readonly after: Allowed;
}

/** Of pods that are there before and after. */
export function differenceOf(before: PolicyEngine, after: PolicyEngine): Difference[] {
  const ports = [...spokenPorts(before), ...spokenPorts(after)];
  const old = new Cells(matrixOf(before, undefined, ports));
  const now = new Cells(matrixOf(after, undefined, ports));
  const pods = [...old.groupOf.keys()].filter((pod) => now.groupOf.has(pod)).sort();
  const alike = Map.groupBy(pods, (pod) => `${old.groupOf.get(pod)}\n${now.groupOf.get(pod)}`);
  const name = ([first, ...more]: readonly string[]) => `${first}${more.length > 0 ? ` (+${more.length})` : ''}`;
  return [...alike.values()].flatMap((from) =>
    [...alike.values()].flatMap((to): Difference[] => {
      if (from === to && from.length === 1) return [];
      const change = { before: old.allowed(from[0]!, to[0]!), after: now.allowed(from[0]!, to[0]!) };
      return allowedText(change.before) === allowedText(change.after)
        ? []
        : [{ from: name(from), to: name(to), ...change }];
    }),
  );
}

class Cells {
  /** Pod to the name of its group. */
  readonly groupOf: ReadonlyMap<string, string>;
  readonly #cells: ReadonlyMap<string, Allowed>;

  constructor({ groups, cells }: Matrix) {
    this.groupOf = new Map(groups.flatMap(({ name, pods }) => pods.map((pod) => [pod, name] as const)));
    this.#cells = new Map(cells.map(({ from, to, allowed }) => [`${from}\n${to}`, allowed]));
  }

  allowed(from: string, to: string): Allowed {
    return this.#cells.get(`${this.groupOf.get(from)}\n${this.groupOf.get(to)}`)!;
  }
}
