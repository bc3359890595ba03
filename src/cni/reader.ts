// Room cni: JSON read field by field, so that every complaint names the key.
import { isIP } from '../addr/ip.ts';
import { type CIDR, isPrefix } from '../addr/prefix.ts';
import { CniError, CODE } from './error.ts';

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object of the configuration. Absent and null fields read as undefined; a field of the wrong kind throws a CniError (7). */
export class Reader {
  readonly value: JsonObject;
  readonly #path: string;

  constructor(value: unknown, path = '') {
    this.#path = path;
    if (!isObject(value)) throw invalid(path || 'the configuration', 'must be an object', value);
    this.value = value;
  }

  name(key: string): string {
    return this.#path ? `${this.#path}.${key}` : key;
  }

  /** Throws a CniError (7) about the field. */
  fail(key: string, why: string): never {
    throw invalid(this.name(key), why, this.value[key]);
  }

  string(key: string): string | undefined {
    return this.#typed(key, 'a string', (value) => typeof value === 'string') as string | undefined;
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, 'true or false', (value) => typeof value === 'boolean') as boolean | undefined;
  }

  /** A whole number from `min` to `max`. */
  integer(key: string, min: number, max: number): number | undefined {
    const fits = (value: unknown) =>
      typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
    return this.#typed(key, `a whole number from ${min} to ${max}`, fits) as number | undefined;
  }

  ip(key: string): string | undefined {
    const text = this.string(key);
    if (text === undefined || text === '') return undefined;
    if (!isIP(text)) this.fail(key, 'must be an IP address');
    return text;
  }

  cidr(key: string): CIDR | undefined {
    const text = this.string(key);
    if (text === undefined || text === '') return undefined;
    if (!isPrefix(text)) this.fail(key, 'must be a prefix such as 10.22.0.0/16');
    return text;
  }

  object(key: string): Reader | undefined {
    const value = this.#get(key);
    return value === undefined || value === null ? undefined : new Reader(value, this.name(key));
  }

  list(key: string): readonly unknown[] | undefined {
    return this.#typed(key, 'a list', Array.isArray) as readonly unknown[] | undefined;
  }

  objects(key: string): Reader[] {
    return (this.list(key) ?? []).map((each, i) => new Reader(each, `${this.name(key)}[${i}]`));
  }

  strings(key: string): string[] {
    return (this.list(key) ?? []).map((each, i) => {
      if (typeof each !== 'string') throw invalid(`${this.name(key)}[${i}]`, 'must be a string', each);
      return each;
    });
  }

  /** Go's runtimes write keys in any case, as its decoder reads them: containerd's CRI says HostPort. */
  #get(key: string): unknown {
    if (key in this.value) return this.value[key];
    const lower = key.toLowerCase();
    const found = Object.keys(this.value).find((each) => each.toLowerCase() === lower);
    return found === undefined ? undefined : this.value[found];
  }

  #typed(key: string, what: string, is: (value: unknown) => boolean): unknown {
    const value = this.#get(key);
    if (value === undefined || value === null) return undefined;
    if (!is(value)) this.fail(key, `must be ${what}`);
    return value;
  }
}

function invalid(name: string, why: string, value: unknown): CniError {
  const shown = value === undefined ? 'it is absent' : `it is ${JSON.stringify(value)?.slice(0, 200)}`;
  return new CniError(CODE.invalidConfig, `${name}: ${why}; ${shown}`);
}
