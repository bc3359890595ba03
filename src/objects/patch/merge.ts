// Room objects: JSON Merge Patch (RFC 7386).
import { failure } from '../status.ts';

export type JsonObject = { [key: string]: unknown };

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Assigns like a parsed object has it: a key named __proto__ is a key. */
export function setKey(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
  else object[key] = value;
}

/** The patched copy; `current` is not changed. Throws a StatusError (400) when the patch is not an object. */
export function mergePatch<T>(current: T, patch: unknown): T {
  if (!isJsonObject(patch)) throw failure(400, 'BadRequest', 'error decoding patch: a merge patch is a JSON object');
  return merge(structuredClone(current), structuredClone(patch)) as T;
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result = isJsonObject(target) ? target : {};
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete result[key];
    else setKey(result, key, merge(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}
