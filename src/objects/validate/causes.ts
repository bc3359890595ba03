// Room objects: the causes for which an object is refused, in the words of Kubernetes' field errors.
import type { StatusCause } from '../status.ts';

/** What is collected while an object is validated. */
export type Causes = StatusCause[];

export const IMMUTABLE = 'field is immutable';
export const NOT_NEGATIVE = 'must be greater than or equal to 0';

/** As Go prints it: text quoted, numbers bare, objects as JSON. */
function printed(value: unknown): string {
  return JSON.stringify(value ?? null);
}

function tail(detail: string | undefined): string {
  return detail ? `: ${detail}` : '';
}

export function required(field: string, detail?: string): StatusCause {
  return { reason: 'FieldValueRequired', message: `Required value${tail(detail)}`, field };
}

export function invalidValue(field: string, value: unknown, detail: string): StatusCause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${printed(value)}${tail(detail)}`, field };
}

export function typeInvalid(field: string, value: unknown, detail: string): StatusCause {
  return { reason: 'FieldValueTypeInvalid', message: `Invalid value: ${printed(value)}${tail(detail)}`, field };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): StatusCause {
  const values = [...supported].sort().map(printed).join(', ');
  const message = `Unsupported value: ${printed(value)}: supported values: ${values}`;
  return { reason: 'FieldValueNotSupported', message, field };
}

export function duplicate(field: string, value: unknown): StatusCause {
  return { reason: 'FieldValueDuplicate', message: `Duplicate value: ${printed(value)}`, field };
}

export function forbidden(field: string, detail: string): StatusCause {
  return { reason: 'FieldValueForbidden', message: `Forbidden${tail(detail)}`, field };
}

export function notFound(field: string, value: unknown): StatusCause {
  return { reason: 'FieldValueNotFound', message: `Not found: ${printed(value)}`, field };
}

export function tooLong(field: string, limit: number): StatusCause {
  return { reason: 'FieldValueTooLong', message: `Too long: may not be more than ${limit} bytes`, field };
}

export function tooMany(field: string, count: number, limit: number): StatusCause {
  const message = `Too many: ${count}: must have at most ${limit} ${limit === 1 ? 'item' : 'items'}`;
  return { reason: 'FieldValueTooMany', message, field };
}

/** One cause per problem of syntax (validate/names.ts). */
export function checkSyntax(causes: Causes, field: string, value: string, problems: readonly string[]): void {
  for (const problem of problems) causes.push(invalidValue(field, value, problem));
}

/** One of a fixed set of words; missing is a cause of its own. */
export function checkOneOf(
  causes: Causes,
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (!value) causes.push(required(field));
  else if (!supported.includes(value)) causes.push(notSupported(field, value, supported));
}

/** Like checkOneOf, but the field may be left out. */
export function checkOptionalOneOf(
  causes: Causes,
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (value !== undefined && !supported.includes(value)) causes.push(notSupported(field, value, supported));
}

export function checkNotNegative(causes: Causes, field: string, value: number | undefined): void {
  if (value !== undefined && value < 0) causes.push(invalidValue(field, value, NOT_NEGATIVE));
}

/** True when a value was changed that may not change; the cause is noted. */
export function checkImmutable(causes: Causes, field: string, value: unknown, old: unknown): boolean {
  if (sameJson(value, old)) return false;
  causes.push(invalidValue(field, value, IMMUTABLE));
  return true;
}

/** Deep equality of JSON values, where a missing field equals undefined. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((each, i) => sameJson(each, b[i]));
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    if (!sameJson(left[key], right[key])) return false;
  }
  return true;
}
