// Room objects: the generated models, loaded when first asked for, as typed fields that decoding, patching and documents walk.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../observe/fault.ts';
import { installed } from '../../observe/install.ts';
import { LIST_RULES, type ListRule, RETAIN_KEYS } from './annotations.ts';

export type Scalar =
  | 'string'
  | 'boolean'
  | 'int32'
  | 'int64'
  | 'double'
  | 'time'
  | 'microtime'
  | 'bytes'
  | 'quantity'
  | 'intOrString'
  | 'any';

export type FieldType =
  | { readonly is: Scalar }
  | { readonly is: 'object'; readonly model: string }
  | { readonly is: 'list'; readonly of: FieldType }
  | { readonly is: 'map'; readonly of: FieldType };

export interface Field {
  readonly type: FieldType;
  readonly required: boolean;
  /** How a list merges; undefined where a patch replaces it. */
  readonly list: ListRule | undefined;
  /** An object with $retainKeys. */
  readonly retainKeys: boolean;
}

export interface Model {
  readonly name: string;
  /** `core.v1.Pod`: the package of the Go type and its name. */
  readonly schemaName: string;
  readonly fields: ReadonlyMap<string, Field>;
  /** What required fields of a plain type are when they are left out: Go has no "missing" for them. */
  readonly zeros: readonly (readonly [field: string, zero: string | number | boolean])[];
}

/** generated/schemas.json: per model its Go name and its fields as text: `[]V1Container!` is a required list of V1Container. */
export interface GeneratedModel {
  readonly name: string;
  readonly fields: Readonly<Record<string, string>>;
}

const GENERATED = installed('generated');

/** A file that `npm run generate` made. */
export function readGenerated(file: string): string {
  return readGeneratedBytes(file).toString('utf8');
}

export function readGeneratedBytes(file: string): Buffer {
  try {
    return readFileSync(join(GENERATED, file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Fault(`generated/${file} is missing`, { mend: 'npm run generate', cause: error });
  }
}

let generated: Readonly<Record<string, GeneratedModel>> | undefined;
const models = new Map<string, Model>();

export function modelNames(): string[] {
  generated ??= JSON.parse(readGenerated('schemas.json')) as Record<string, GeneratedModel>;
  return Object.keys(generated);
}

/** The model of that name (`V1Pod`). Throws when the generator did not reach it. */
export function modelOf(name: string): Model {
  const known = models.get(name);
  if (known) return known;
  generated ??= JSON.parse(readGenerated('schemas.json')) as Record<string, GeneratedModel>;
  const raw = generated[name];
  if (!raw) throw new Error(`no model ${name} among the generated schemas`);
  const model = readModel(name, raw);
  models.set(name, model);
  return model;
}

const ZEROS: Readonly<Record<string, string | number | boolean>> = {
  string: '',
  boolean: false,
  int32: 0,
  int64: 0,
  double: 0,
  intOrString: 0,
};

export function readModel(name: string, raw: GeneratedModel): Model {
  const fields = new Map<string, Field>();
  const zeros: [string, string | number | boolean][] = [];
  for (const [field, text] of Object.entries(raw.fields)) {
    const required = text.endsWith('!');
    const path = `${name}.${field}`;
    fields.set(field, {
      type: parseType(required ? text.slice(0, -1) : text),
      required,
      list: LIST_RULES.get(path),
      retainKeys: RETAIN_KEYS.has(path),
    });
    const zero = required ? ZEROS[text.slice(0, -1)] : undefined;
    if (zero !== undefined) zeros.push([field, zero]);
  }
  return { name, schemaName: raw.name, fields, zeros };
}

function parseType(text: string): FieldType {
  if (text.startsWith('[]')) return { is: 'list', of: parseType(text.slice(2)) };
  if (text.startsWith('{}')) return { is: 'map', of: parseType(text.slice(2)) };
  if (/^[A-Z]/.test(text)) return { is: 'object', model: text };
  return { is: text as Scalar };
}
