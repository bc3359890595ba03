// Room objects: what the parts of an OpenAPI document agree on: how schemas are named and referred to.
import type { GeneratedModel } from './models.ts';

export type Json = { [key: string]: unknown };

/** A generated model with its texts. */
export interface Documented extends GeneratedModel {
  readonly description: string;
  readonly descriptions: Readonly<Record<string, string>>;
}
/** Fields written by hand. */
export type Fields = Readonly<Record<string, readonly [type: string, description: string]>>;

/** A model written by hand. */
export function model(name: string, description: string, fields: Fields): Documented {
  return {
    name,
    description,
    fields: Object.fromEntries(Object.entries(fields).map(([field, [type]]) => [field, type])),
    descriptions: Object.fromEntries(Object.entries(fields).map(([field, [, text]]) => [field, text])),
  };
}

export type Models = ReadonlyMap<string, Documented>;

/** Where the two versions of OpenAPI differ. */
export interface Dialect {
  readonly version: 2 | 3;
  ref(schemaName: string): string;
}

/** `io.k8s.api.core.v1.Pod` for `core.v1.Pod`; our own kinds are under `io.podwire`. */
export function fullName(schemaName: string): string {
  if (schemaName.startsWith('podwire.')) return `io.${schemaName}`;
  if (schemaName.startsWith('io.') || schemaName.startsWith('org.')) return schemaName;
  return schemaName.startsWith('meta.v1.') ? `io.k8s.apimachinery.pkg.apis.${schemaName}` : `io.k8s.api.${schemaName}`;
}
