// Room cache: the objects of one kind by key and by index.
import { objectKey } from '../objects/types.ts';

type IndexFunctions<T> = Record<string, (object: T) => readonly string[]>;

export class IndexedObjects<T extends { metadata: { name: string; namespace?: string } }> {
  readonly #functions: IndexFunctions<T>;
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();

  constructor(functions: IndexFunctions<T>) {
    this.#functions = functions;
    for (const name of Object.keys(functions)) this.#indexes.set(name, new Map());
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  byIndex(index: string, value: string): Iterable<T> {
    const values = this.#indexes.get(index);
    if (!values) throw new Error(`this informer has no index "${index}"`);
    return values.get(value)?.values() ?? [];
  }

  /** Returns what was there under the same key. */
  set(object: T): T | undefined {
    const key = objectKey(object);
    const old = this.delete(key);
    this.#objects.set(key, object);
    for (const [name, values] of this.#indexes) {
      for (const value of this.#functions[name]!(object)) {
        const found = values.get(value) ?? new Map<string, T>();
        values.set(value, found.set(key, object));
      }
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#objects.delete(key);
    for (const [name, values] of this.#indexes) {
      for (const value of this.#functions[name]!(old)) {
        const found = values.get(value);
        found?.delete(key);
        if (found?.size === 0) values.delete(value);
      }
    }
    return old;
  }
}
