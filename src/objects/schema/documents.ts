// Room objects: OpenAPI documents (v3 per group version, v2 in one) built from the models; run at set-up by the generator.
import { createHash } from 'node:crypto';
import { apiVersionOf, KINDS, type KindRow } from '../kinds.ts';
import { ATOMIC_FIELDS, ATOMIC_MODELS, DEFAULTS } from './annotations.ts';
import { type Dialect, fullName, type Json, type Models } from './dialect.ts';
import { type Field, type FieldType, type Model, readModel, type Scalar } from './models.ts';
import { operations } from './operations.ts';

const V3: Dialect = { version: 3, ref: (name) => `#/components/schemas/${name}` };
const V2: Dialect = { version: 2, ref: (name) => `#/definitions/${name}` };

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const SCALARS: Readonly<Record<Scalar, Json>> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
  time: { type: 'string', format: 'date-time' },
  microtime: { type: 'string', format: 'date-time' },
  quantity: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  intOrString: { oneOf: [{ type: 'integer' }, { type: 'string' }], format: 'int-or-string' },
  any: { type: 'object' },
};
/** Scalars that have a schema of their own in Kubernetes' documents. */
const NAMED: Readonly<Partial<Record<Scalar, string>>> = {
  time: `${META}.Time`,
  microtime: `${META}.MicroTime`,
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  intOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  any: `${META}.FieldsV1`,
};
/** OpenAPI v2 has no oneOf. */
const V2_SCALARS: Readonly<Partial<Record<Scalar, Json>>> = {
  quantity: { type: 'string' },
  intOrString: { type: 'string', format: 'int-or-string' },
};

function typeSchema(models: Models, type: FieldType, dialect: Dialect): Json {
  if (type.is === 'list') return { type: 'array', items: typeSchema(models, type.of, dialect) };
  if (type.is === 'map') return { type: 'object', additionalProperties: typeSchema(models, type.of, dialect) };
  if (type.is === 'object') return { $ref: dialect.ref(fullName(models.get(type.model)!.name)) };
  const named = NAMED[type.is];
  return named ? { $ref: dialect.ref(named) } : SCALARS[type.is];
}

function fieldSchema(models: Models, model: string, name: string, field: Field, dialect: Dialect): Json {
  const path = `${model}.${name}`;
  const type = typeSchema(models, field.type, dialect);
  const schema: Json = {};
  const own = models.get(model)!.descriptions[name];
  // The models say nothing about a field that holds another model: what that is says more than nothing.
  const about = field.type.is === 'object' ? models.get(field.type.model)!.description : undefined;
  const description = own ?? about;
  if (description) schema['description'] = description;
  // OpenAPI 3.0 ignores what stands beside a $ref, so a described reference is wrapped. Not where the description is that of
  // the model itself: kubectl explain reads it beside the $ref, and would print it twice.
  if ('$ref' in type && dialect.version === 3 && (own || field.retainKeys)) schema['allOf'] = [type];
  else Object.assign(schema, type);
  const value = DEFAULTS.get(path);
  if (value !== undefined) schema['default'] = value;
  if (ATOMIC_FIELDS.has(path)) schema['x-kubernetes-map-type'] = 'atomic';
  if (field.retainKeys) schema['x-kubernetes-patch-strategy'] = 'retainKeys';
  if (field.list) {
    const { type: listType, keys, merge, retainKeys } = field.list;
    schema['x-kubernetes-list-type'] = listType;
    if (listType === 'map') schema['x-kubernetes-list-map-keys'] = keys;
    if (merge && keys[0]) schema['x-kubernetes-patch-merge-key'] = keys[0];
    if (merge) schema['x-kubernetes-patch-strategy'] = retainKeys ? 'merge,retainKeys' : 'merge';
  } else if (field.type.is === 'list' && name !== 'items') schema['x-kubernetes-list-type'] = 'atomic';
  return schema;
}

function groupVersionKind(kind: KindRow, suffix = ''): Json {
  return { group: kind.group, kind: `${kind.apiKind}${suffix}`, version: kind.version };
}

/** Which kinds a model stands for: shared ones such as DeleteOptions stand for every group's. */
function kindsOf(model: string): Json[] {
  if (model === 'V1Status') return [{ group: '', kind: 'Status', version: 'v1' }];
  if (model === 'V1Scale') return [{ group: 'autoscaling', kind: 'Scale', version: 'v1' }];
  if (model === 'V1Eviction') return [{ group: 'policy', kind: 'Eviction', version: 'v1' }];
  if (model === 'V1Binding') return [{ group: '', kind: 'Binding', version: 'v1' }];
  if (model === 'V1DeleteOptions') {
    const groupVersions = new Map(KINDS.map((kind) => [apiVersionOf(kind), kind]));
    return [...groupVersions.values()].map(({ group, version }) => ({ group, kind: 'DeleteOptions', version }));
  }
  return KINDS.flatMap((kind) => {
    if (kind.model === model) return [groupVersionKind(kind)];
    return `${kind.model}List` === model ? [groupVersionKind(kind, 'List')] : [];
  });
}

function modelSchema(models: Models, name: string, model: Model, dialect: Dialect): Json {
  const schema: Json = { type: 'object' };
  const { description } = models.get(name)!;
  if (description) schema['description'] = description;
  const required: string[] = [];
  const properties: Json = {};
  for (const [fieldName, field] of model.fields) {
    properties[fieldName] = fieldSchema(models, name, fieldName, field, dialect);
    if (field.required) required.push(fieldName);
  }
  if (model.fields.size > 0) schema['properties'] = properties;
  if (required.length > 0) schema['required'] = required;
  if (ATOMIC_MODELS.has(name)) schema['x-kubernetes-map-type'] = 'atomic';
  const kinds = kindsOf(name);
  if (kinds.length > 0) schema['x-kubernetes-group-version-kind'] = kinds;
  return schema;
}

function reach(models: Models, start: string, seen: Set<string>): void {
  if (seen.has(start)) return;
  seen.add(start);
  for (const type of Object.values(models.get(start)!.fields)) {
    const model = type.replace(/^(\[\]|\{\})*|!$/g, '');
    if (models.has(model)) reach(models, model, seen);
  }
}

/** The schemas of the models that the given ones reach, under their full names, in order of name. */
function schemasOf(models: Models, roots: Iterable<string>, dialect: Dialect): Json {
  const seen = new Set<string>();
  for (const root of roots) reach(models, root, seen);
  const schemas: [string, Json][] = [];
  for (const name of seen) {
    const raw = models.get(name)!;
    schemas.push([fullName(raw.name), modelSchema(models, name, readModel(name, raw), dialect)]);
  }
  for (const [scalar, name] of Object.entries(NAMED) as [Scalar, string][]) {
    schemas.push([name, (dialect.version === 2 && V2_SCALARS[scalar]) || SCALARS[scalar]]);
  }
  if (dialect.version === 3) schemas.push([`${META}.Patch`, { type: 'object' }]);
  return Object.fromEntries(schemas.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function rootsOf(kinds: readonly KindRow[]): string[] {
  const roots = ['V1Status', 'V1DeleteOptions'];
  for (const kind of kinds) {
    roots.push(kind.model, `${kind.model}List`);
    if (kind.subresources.includes('scale')) roots.push('V1Scale');
    if (kind.subresources.includes('eviction')) roots.push('V1Eviction');
    if (kind.subresources.includes('binding')) roots.push('V1Binding');
    if (kind.subresources.includes('token')) roots.push('AuthenticationV1TokenRequest');
  }
  return roots;
}

const INFO = { title: 'Kubernetes', version: 'v1.36.0' };

/** Document per path of the index: `api/v1`, `apis/apps/v1`. */
export function buildV3(models: Models): Map<string, Json> {
  const documents = new Map<string, Json>();
  const groups = Map.groupBy(KINDS, (kind) =>
    kind.group ? `apis/${kind.group}/${kind.version}` : `api/${kind.version}`,
  );
  for (const [path, kinds] of groups) {
    const schemas = schemasOf(models, rootsOf(kinds), V3);
    documents.set(path, {
      openapi: '3.0.0',
      info: INFO,
      paths: operations(models, kinds, V3),
      components: { schemas },
    });
  }
  return documents;
}

/** `/openapi/v3`: the hash in each URL changes with the document, so that clients may cache it for ever. */
export function buildV3Index(documents: ReadonlyMap<string, string>): Json {
  const paths: Json = {};
  for (const [path, text] of documents) {
    const hash = createHash('sha256').update(text).digest('hex').toUpperCase();
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

export function buildV2(models: Models): Json {
  const definitions = schemasOf(models, rootsOf(KINDS), V2);
  return { swagger: '2.0', info: INFO, paths: operations(models, KINDS, V2), definitions };
}
