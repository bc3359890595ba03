// Room objects: strategic merge patch, which merges lists by the keys of their schema.
import type { KindRow } from '../kinds.ts';
import { type Field, type Model, modelOf } from '../schema/models.ts';
import { failure } from '../status.ts';
import { badPatch, mergeList, orderList, removePrimitives, withoutDeleteMarks } from './lists.ts';
import { isJsonObject, type JsonObject, setKey } from './merge.ts';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const SET_ORDER = '$setElementOrder/';
const DELETE_PRIMITIVES = '$deleteFromPrimitiveList/';

/** The patched copy; `current` is not changed. Throws a StatusError (400 or 422) when the patch cannot be applied. */
export function strategicMergePatch<T>(kind: KindRow, current: T, patch: unknown): T {
  if (!isJsonObject(patch))
    throw failure(400, 'BadRequest', 'error decoding patch: a strategic merge patch is a JSON object');
  return mergeObject(modelOf(kind.model), structuredClone(current) as JsonObject, structuredClone(patch)) as T;
}

/** Merges into `target`, which is changed and returned. Without a model (maps, unknown fields) lists are replaced. */
function mergeObject(model: Model | undefined, target: JsonObject, patch: JsonObject): JsonObject {
  const directive = patch[DIRECTIVE];
  if (directive === 'replace') return withoutDirectives(patch);
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') throw badPatch(`unknown patch type: ${String(directive)}`);
  retainKeys(target, patch);
  const orders: { name: string; order: unknown[]; before: unknown }[] = [];
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (key === DIRECTIVE || key === RETAIN_KEYS) continue;
    if (key.startsWith(SET_ORDER)) {
      const name = key.slice(SET_ORDER.length);
      orders.push({ name, order: asList(value, key), before: target[name] });
    } else if (key.startsWith(DELETE_PRIMITIVES)) {
      const name = key.slice(DELETE_PRIMITIVES.length);
      if (Array.isArray(target[name])) target[name] = removePrimitives(target[name], asList(value, key));
    } else if (value === null) delete target[key];
    else mergeField(model?.fields.get(key), target, key, value);
  }
  for (const { name, order, before } of orders) {
    const list = target[name];
    const key = model?.fields.get(name)?.list?.keys[0];
    if (Array.isArray(list)) target[name] = orderList(key, list, order, Array.isArray(before) ? before : []);
  }
  return target;
}

function mergeField(field: Field | undefined, target: JsonObject, key: string, value: unknown): void {
  const old = Object.hasOwn(target, key) ? target[key] : undefined;
  if (isJsonObject(value)) {
    const inner = mergeObject(modelBelow(field), isJsonObject(old) ? old : {}, value);
    // An object that the patch deletes whole is gone, not empty.
    if (value[DIRECTIVE] === 'delete') delete target[key];
    else setKey(target, key, inner);
  } else if (Array.isArray(value) && field?.list?.merge) {
    const model = modelBelow(field);
    const mergeElement = (element: JsonObject, patch: JsonObject) => mergeObject(model, element, patch);
    setKey(target, key, mergeList(field.list.keys[0], Array.isArray(old) ? old : [], value, mergeElement));
  } else setKey(target, key, Array.isArray(value) ? withoutDeleteMarks(value) : value);
}

/** The model of an object field, or of the elements of a list. */
function modelBelow(field: Field | undefined): Model | undefined {
  const type = field?.type.is === 'list' ? field.type.of : field?.type;
  return type?.is === 'object' ? modelOf(type.model) : undefined;
}

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([key, value]) => key !== DIRECTIVE && value !== null));
}

/** `$retainKeys` names the fields of a union that stay; the rest goes before the patch is merged. */
function retainKeys(target: JsonObject, patch: JsonObject): void {
  const keep = patch[RETAIN_KEYS];
  if (keep === undefined) return;
  const keys = new Set(asList(keep, RETAIN_KEYS));
  for (const key of Object.keys(patch)) {
    if (key.startsWith('$') || patch[key] === null || keys.has(key)) continue;
    throw badPatch(`wrong format for $retainKeys: it does not name ${key}, which the patch sets`);
  }
  for (const key of Object.keys(target)) if (!keys.has(key)) delete target[key];
}

function asList(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw badPatch(`${name} is not a list`);
  return value;
}
