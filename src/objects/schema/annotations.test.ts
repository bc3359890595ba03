// Room objects: the generated OpenAPI documents against those of Kubernetes itself, where a folder of them is at hand.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { apiVersionOf, KINDS } from '../kinds.ts';
import { openapiV2, openapiV3, openapiV3Index } from '../openapi.ts';
import { LIST_RULES, QUANTITIES, RETAIN_KEYS } from './annotations.ts';
import { modelNames, modelOf } from './models.ts';

type Schema = { [key: string]: unknown };
type Schemas = Record<string, { properties?: Record<string, Schema>; required?: string[] } & Schema>;

interface Document {
  paths: Record<string, unknown>;
  components: { schemas: Schemas };
}

interface Operation {
  parameters: { name: string }[];
  requestBody: { content: Record<string, unknown> };
  'x-kubernetes-group-version-kind': unknown;
}

const paths = Object.keys(openapiV3Index().paths);
const oracle = process.env['PODWIRE_OPENAPI_ORACLE'];
const skip = oracle ? false : 'PODWIRE_OPENAPI_ORACLE names no folder with the OpenAPI documents of Kubernetes';

function ours(): Schemas {
  const all: Schemas = {};
  for (const path of paths) Object.assign(all, (JSON.parse(openapiV3(path)!) as Document).components.schemas);
  return all;
}

function theirs(): Schemas {
  const all: Schemas = {};
  for (const file of readdirSync(oracle!).filter((name) => name.endsWith('.json'))) {
    Object.assign(all, (JSON.parse(readFileSync(join(oracle!, file), 'utf8')) as Document).components.schemas);
  }
  return all;
}

/** What merging, pruning and explaining go by; atomic lists and zero defaults are the same as none. */
function essence(schema: Schema): Schema {
  const kept: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (['description', 'x-kubernetes-unions', 'required', 'properties'].includes(key)) continue;
    if (key === 'x-kubernetes-list-type' && value === 'atomic') continue;
    if (key === 'x-kubernetes-group-version-kind') continue;
    if (key === 'default' && ['', 0, false].includes(value as string)) continue;
    if (key === 'default' && typeof value === 'object') continue;
    if (key === 'allOf') Object.assign(kept, (value as Schema[])[0]);
    else if (key === 'items' || key === 'additionalProperties') kept[key] = essence(value as Schema);
    else kept[key] = value;
  }
  return kept;
}

test('every schema has the fields, types, list types and merge keys of Kubernetes', { skip }, () => {
  const expected = theirs();
  let compared = 0;
  for (const [name, schema] of Object.entries(ours())) {
    const other = expected[name];
    assert.ok(other, `Kubernetes has no schema ${name}`);
    assert.deepEqual(essence(schema), essence(other), name);
    assert.deepEqual(Object.keys(schema.properties ?? {}).sort(), Object.keys(other.properties ?? {}).sort(), name);
    assert.deepEqual([...(schema.required ?? [])].sort(), [...(other.required ?? [])].sort(), `${name}: required`);
    for (const [field, property] of Object.entries(schema.properties ?? {})) {
      assert.deepEqual(essence(property), essence(other.properties![field]!), `${name}.${field}`);
      compared++;
    }
  }
  assert.ok(compared > 1000, `only ${compared} fields were compared`);
});

test('every field of the hand-written tables exists in its model and has the type that the table needs', () => {
  for (const path of [...LIST_RULES.keys(), ...QUANTITIES, ...RETAIN_KEYS]) {
    const [model, field] = path.split('.') as [string, string];
    const type = modelOf(model).fields.get(field)?.type;
    assert.ok(type, `${path} is no field`);
    if (LIST_RULES.has(path)) assert.equal(type.is, 'list', path);
    if (QUANTITIES.has(path)) assert.match(JSON.stringify(type), /quantity/, path);
  }
});

test('every kind of the table has a model, a list model, and its paths in the document of its group', () => {
  const names = new Set(modelNames());
  for (const kind of KINDS) {
    assert.ok(names.has(kind.model) && names.has(`${kind.model}List`), kind.kind);
    const path = kind.group ? `apis/${apiVersionOf(kind)}` : `api/${apiVersionOf(kind)}`;
    const document = JSON.parse(openapiV3(path)!) as Document;
    const scope = kind.namespaced ? '/namespaces/{namespace}' : '';
    assert.ok(document.paths[`/${path}${scope}/${kind.plural}/{name}`], `${kind.kind} in ${path}`);
  }
});

test('every kind says that it can be patched strategically and that the server validates fields, or kubectl would do both by itself', () => {
  for (const kind of KINDS) {
    const path = kind.group ? `apis/${apiVersionOf(kind)}` : `api/${apiVersionOf(kind)}`;
    const scope = kind.namespaced ? '/namespaces/{namespace}' : '';
    const { paths: all } = JSON.parse(openapiV3(path)!) as { paths: Record<string, Record<string, Operation>> };
    const { patch } = all[`/${path}${scope}/${kind.plural}/{name}`]!;
    assert.ok(patch?.requestBody.content['application/strategic-merge-patch+json'], kind.kind);
    assert.ok(
      patch.parameters.some(({ name }) => name === 'fieldValidation'),
      kind.kind,
    );
    const { group, version } = kind;
    assert.deepEqual(patch['x-kubernetes-group-version-kind'], { group, version, kind: kind.apiKind });
  }
});

test('no document refers to a schema that it does not hold', () => {
  const documents = paths.map((path) => openapiV3(path)!);
  for (const text of [...documents, openapiV2()]) {
    const document = JSON.parse(text) as { components?: { schemas: Schemas }; definitions?: Schemas };
    const held = document.components?.schemas ?? document.definitions!;
    const refs = [...text.matchAll(/"\$ref":"#\/(?:components\/schemas|definitions)\/([^"]+)"/g)];
    assert.ok(refs.length > 10);
    for (const [, name] of refs) assert.ok(held[name!], name);
  }
});

test('a group version that is not served has no document', () => {
  assert.equal(openapiV3('apis/batch/v1'), undefined);
  assert.equal(openapiV3('../package'), undefined);
});
