// Makes /generated from the models of the installed @kubernetes/client-node: structural schemas, and the OpenAPI documents.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KINDS } from '../src/objects/kinds.ts';
import { QUANTITIES, sharedPackage } from '../src/objects/schema/annotations.ts';
import type { Documented } from '../src/objects/schema/dialect.ts';
import { buildV2, buildV3, buildV3Index } from '../src/objects/schema/documents.ts';
import { encodeOpenapiV2 } from '../src/objects/schema/openapi-protobuf.ts';
import { OWN_MODELS } from '../src/objects/schema/own-models.ts';

const MODELS = join(dirname(fileURLToPath(import.meta.resolve('@kubernetes/client-node'))), 'gen', 'models');
const OUTPUT = join(import.meta.dirname, '..', 'generated');

/** Models besides those of the table of kinds: what subresources and requests carry. */
const OTHERS: readonly (readonly [packageName: string, model: string])[] = [
  ['meta.v1', 'V1Status'],
  ['meta.v1', 'V1DeleteOptions'],
  ['core.v1', 'V1Binding'],
  ['autoscaling.v1', 'V1Scale'],
  ['policy.v1', 'V1Eviction'],
  ['authentication.v1', 'AuthenticationV1TokenRequest'],
];

const SCALARS: Readonly<Record<string, string>> = {
  string: 'string',
  boolean: 'boolean',
  any: 'any',
  object: 'any',
  IntOrString: 'intOrString',
  V1MicroTime: 'microtime',
  Date: 'time',
};
const NUMBERS: Readonly<Record<string, string>> = { int32: 'int32', int64: 'int64', double: 'double' };

interface Attribute {
  name: string;
  baseName: string;
  type: string;
  format: string;
}

function typeText(path: string, type: string, format: string): string {
  const list = /^Array<(.*)>$/.exec(type);
  if (list) return `[]${typeText(path, list[1]!, format)}`;
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type);
  if (map) return `{}${typeText(path, map[1]!, format)}`;
  if (format === 'date-time-micro') return 'microtime';
  if (type === 'number') return NUMBERS[format] ?? 'double';
  if (type === 'string' && QUANTITIES.has(path)) return 'quantity';
  if (type === 'string' && format === 'byte') return 'bytes';
  return SCALARS[type] ?? type;
}

/** JSDoc text: escaped quotes undone. */
function plainText(text: string): string {
  return text.replace(/\\(["'`\\])/g, '$1').trim();
}

function readModel(model: string, packageName: string): Documented {
  const own = OWN_MODELS.get(model);
  if (own) return own;
  const script = readFileSync(join(MODELS, `${model}.js`), 'utf8');
  const types = readFileSync(join(MODELS, `${model}.d.ts`), 'utf8');
  const map = /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(script);
  if (!map) throw new Error(`${model}.js has no attributeTypeMap`);
  const attributes = JSON.parse(map[1]!) as Attribute[];
  const fields: Record<string, string> = {};
  const descriptions: Record<string, string> = {};
  for (const { name, baseName, type, format } of attributes) {
    const declared = new RegExp(`(?:/\\*\\*\\s*\\*? ?([^\\n]*)\\n\\s*\\*/\\s*)?'${name}'(\\??):`).exec(types);
    if (!declared) throw new Error(`${model}.d.ts does not declare ${name}`);
    fields[baseName] = typeText(`${model}.${baseName}`, type, format) + (declared[2] === '' ? '!' : '');
    if (declared[1]) descriptions[baseName] = plainText(declared[1]);
  }
  const about = /\/\*\*\s*\*? ?([^\n]*)\n\s*\*\/\s*export declare class/.exec(types);
  const goName = model.replace(/^(Core|Discovery|Authentication)?V1/, '');
  return { name: `${packageName}.${goName}`, fields, description: plainText(about?.[1] ?? ''), descriptions };
}

/** Every model that the kinds reach. A model that is not shared belongs to the group that reaches it first, and core goes first. */
function collect(): Map<string, Documented> {
  const models = new Map<string, Documented>();
  const visit = (model: string, packageName: string): void => {
    if (models.has(model)) return;
    const read = readModel(model, sharedPackage(model) ?? packageName);
    models.set(model, read);
    for (const type of Object.values(read.fields)) {
      const reached = /[A-Z]\w*/.exec(type.replace('intOrString', ''));
      if (reached) visit(reached[0], packageName);
    }
  };
  for (const kind of KINDS) {
    const packageName = `${(kind.group || 'core').split('.')[0]}.${kind.version}`;
    visit(kind.model, packageName);
    visit(`${kind.model}List`, packageName);
  }
  for (const [packageName, model] of OTHERS) visit(model, packageName);
  return models;
}

function write(file: string, content: unknown): void {
  const ready = typeof content === 'string' || Buffer.isBuffer(content);
  writeFileSync(join(OUTPUT, file), ready ? content : JSON.stringify(content));
}

const models = collect();
mkdirSync(join(OUTPUT, 'openapi'), { recursive: true });
const documents = new Map<string, string>();
for (const [path, document] of buildV3(models)) documents.set(path, JSON.stringify(document));
for (const [path, text] of documents) write(join('openapi', `${path.replaceAll('/', '__')}.json`), text);
write(join('openapi', 'v3.json'), buildV3Index(documents));
const v2 = buildV2(models);
write(join('openapi', 'v2.json'), v2);
write(join('openapi', 'v2.pb'), encodeOpenapiV2(v2));
const schemas = [...models].map(([model, { name, fields }]) => [model, { name, fields }]);
write('schemas.json', Object.fromEntries(schemas));
