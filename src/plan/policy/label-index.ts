// Room plan: selectors found by the labels that they ask for, so that a change of labels looks at few of many selectors.
import type { Labels } from '../../objects/select.ts';
import type { Selector } from './selector.ts';

interface Entry<T> {
  readonly selector: Selector;
  readonly value: T;
}

/** Values under a selector within a scope (a namespace, or whatever text tells one group of selectors from another). */
export class LabelIndex<T> {
  /** `scope`, or `scope\nlabel=value` for a selector that needs one of these, to what stands there. */
  readonly #buckets = new Map<string, Map<T, Entry<T>>>();

  add(scope: string, selector: Selector, value: T): void {
    for (const key of bucketsOf(scope, selector)) {
      const bucket = this.#buckets.get(key) ?? new Map<T, Entry<T>>();
      this.#buckets.set(key, bucket.set(value, { selector, value }));
    }
  }

  remove(scope: string, selector: Selector, value: T): void {
    for (const key of bucketsOf(scope, selector)) {
      const bucket = this.#buckets.get(key);
      bucket?.delete(value);
      if (bucket?.size === 0) this.#buckets.delete(key);
    }
  }

  /** Values of the scope whose selector matches. */
  *matching(scope: string, labels: Labels): Iterable<T> {
    for (const key of [scope, ...Object.entries(labels ?? {}).map(([name, value]) => labelKey(scope, name, value))]) {
      for (const { selector, value } of this.#buckets.get(key)?.values() ?? []) {
        if (selector.matches(labels)) yield value;
      }
    }
  }
}

function labelKey(scope: string, name: string, value: string): string {
  return `${scope}\n${name}=${value}`;
}

function bucketsOf(scope: string, { oneOf }: Selector): string[] {
  return oneOf ? oneOf.map(([name, value]) => labelKey(scope, name, value)) : [scope];
}
