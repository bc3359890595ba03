// Room plan: which labels a policy asks for, whatever language it asks in: the selectors of Kubernetes here, Calico's in calico/expression.ts.
import { type LabelSelector, type Labels, matchesSelector, selectorText } from '../../objects/select.ts';

/** A label and the value that it must have. */
export type Pair = readonly [name: string, value: string];

export interface Selector {
  /** Equal texts select equally. Empty: whatever there is. */
  readonly text: string;
  matches(labels: Labels): boolean;
  /** Whoever is selected has one of these labels; absent: no such label can be named. */
  readonly oneOf: readonly Pair[] | undefined;
}

export const EVERYTHING: Selector = { text: '', matches: () => true, oneOf: undefined };

export function labelSelector(selector: LabelSelector | undefined): Selector {
  const text = selector ? selectorText(selector) : '';
  if (!selector || text === '') return EVERYTHING;
  return { text, matches: (labels) => matchesSelector(selector, labels), oneOf: neededLabels(selector) };
}

/** A label that is asked for, the same one of equal texts: of a key with several values a pod has at most one. */
function neededLabels({ matchLabels, matchExpressions }: LabelSelector): Pair[] | undefined {
  const [name] = Object.keys(matchLabels ?? {}).sort();
  if (name !== undefined) return [[name, matchLabels![name]!]];
  const oneOf = (matchExpressions ?? [])
    .filter(({ operator }) => operator === 'In')
    .map(({ key, values }) => [...new Set(values ?? [])].sort().map((value): Pair => [key, value]));
  return oneOf.sort((a, b) => (String(a) < String(b) ? -1 : 1))[0];
}

/** Whoever both select. */
export function both(a: Selector, b: Selector): Selector {
  if (a.text === '') return b;
  if (b.text === '') return a;
  return {
    text: `(${a.text}) && (${b.text})`,
    matches: (labels) => a.matches(labels) && b.matches(labels),
    oneOf: a.oneOf ?? b.oneOf,
  };
}
