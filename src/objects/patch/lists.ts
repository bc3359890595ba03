// Room objects: how a strategic merge patch merges one list into another.
import { failure } from '../status.ts';
import { isJsonObject, type JsonObject } from './merge.ts';

/** Merges a patch into an element, which it may change. */
export type MergeElement = (element: JsonObject, patch: JsonObject) => JsonObject;

export function badPatch(why: string): Error {
  return failure(400, 'BadRequest', `error applying strategic merge patch: ${why}`);
}

/** Merges a patch's list: objects by the merge key, plain values as a set when there is none. `old` is not used afterwards. */
export function mergeList(
  key: string | undefined,
  old: readonly unknown[],
  patch: readonly unknown[],
  mergeElement: MergeElement,
): unknown[] {
  return key === undefined ? mergeSet(old, patch) : mergeByKey(key, old, patch, mergeElement);
}

function mergeSet(old: readonly unknown[], patch: readonly unknown[]): unknown[] {
  return [...new Set([...old, ...patch.filter((value) => value !== null)])];
}

function mergeByKey(
  key: string,
  old: readonly unknown[],
  patch: readonly unknown[],
  mergeElement: MergeElement,
): unknown[] {
  if (patch.some((element) => isJsonObject(element) && element['$patch'] === 'replace' && element[key] === undefined)) {
    return withoutDeleteMarks(patch);
  }
  let result = [...old];
  for (const element of patch) {
    if (!isJsonObject(element)) throw badPatch(`the elements of a list that merges by ${key} are objects`);
    const value = element[key];
    if (value === undefined)
      throw badPatch(`map: ${JSON.stringify(element)} does not contain declared merge key: ${key}`);
    if (element['$patch'] === 'delete') {
      result = result.filter((each) => !isJsonObject(each) || each[key] !== value);
      continue;
    }
    const at = result.findIndex((each) => isJsonObject(each) && each[key] === value);
    const merged = mergeElement(at < 0 ? {} : (result[at] as JsonObject), element);
    if (at < 0) result.push(merged);
    else result[at] = merged;
  }
  return result;
}

/** A list that is replaced whole, without the elements that only say so or that say to delete something. */
export function withoutDeleteMarks(list: readonly unknown[]): unknown[] {
  return list
    .filter((element) => !isJsonObject(element) || element['$patch'] === undefined || Object.keys(element).length > 1)
    .filter((element) => !isJsonObject(element) || element['$patch'] !== 'delete')
    .map((element) => {
      if (!isJsonObject(element) || element['$patch'] === undefined) return element;
      const { $patch: _, ...rest } = element;
      return rest;
    });
}

export function removePrimitives(list: readonly unknown[], removed: readonly unknown[]): unknown[] {
  const gone = new Set(removed);
  return list.filter((value) => !gone.has(value));
}

/**
 * `$setElementOrder`: the named elements take the given order. One that only the server knows keeps its place before the next named
 * element that it stood before in the list as it was; new elements go first.
 */
export function orderList(
  key: string | undefined,
  list: readonly unknown[],
  order: readonly unknown[],
  before: readonly unknown[],
): unknown[] {
  const identity = (element: unknown): unknown => (key !== undefined && isJsonObject(element) ? element[key] : element);
  const wanted = new Map(order.map((element, i) => [identity(element), i]));
  const stood = new Map(before.map((element, i) => [identity(element), i]));
  const place = (element: unknown): number => wanted.get(identity(element))!;
  const named = list.filter((element) => wanted.has(identity(element))).sort((a, b) => place(a) - place(b));
  const others = list.filter((element) => !wanted.has(identity(element)));
  const result: unknown[] = [];
  for (const element of named) {
    const at = stood.get(identity(element));
    while (at !== undefined && others.length > 0 && stood.get(identity(others[0]))! < at) result.push(others.shift());
    result.push(element);
  }
  return [...result, ...others];
}
