// Room objects: label selectors and field selectors.
import { FIELD_SELECTORS } from './field-selectors.ts';
import type { KindRow } from './kinds.ts';
import { failure } from './status.ts';
import type { DraftObject } from './types.ts';
import { labelKeyProblems, labelValueProblems } from './validate/names.ts';

export type Labels = Readonly<Record<string, string>> | undefined;
export type LabelMatcher = (labels: Labels) => boolean;
export type FieldMatcher = (object: DraftObject) => boolean;

/** metav1.LabelSelector */
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  readonly values: readonly string[];
}

/** The text of `?labelSelector=`: `app=web,tier in (a, b),!canary`. Throws a StatusError (400). */
export function parseLabelSelector(text: string): LabelMatcher {
  const requirements = new LabelParser(text).parse();
  return (labels) => requirements.every((requirement) => meets(requirement, labels));
}

function meets(requirement: Requirement, labels: Labels): boolean {
  const { key } = requirement;
  return requirementHolds(requirement, labels && Object.hasOwn(labels, key) ? labels[key] : undefined);
}

/** One requirement on one value, undefined where there is none: of label selectors, and of node selectors too (Gt, Lt). */
export function requirementHolds(
  { operator, values }: Pick<Requirement, 'operator' | 'values'>,
  value: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return isWholeNumber(value) && isWholeNumber(values[0]) && BigInt(value) > BigInt(values[0]);
    case 'Lt':
      return isWholeNumber(value) && isWholeNumber(values[0]) && BigInt(value) < BigInt(values[0]);
  }
}

function isWholeNumber(value: string | undefined): value is string {
  return value !== undefined && /^-?\d+$/.test(value);
}

/** No selector matches nothing; an empty one matches everything. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (!selector) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels?.[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) =>
    meets({ key, operator: operator as Requirement['operator'], values }, labels),
  );
}

/** A LabelSelector as text: `app=web,tier in (a,b)`, as kubectl prints it. Empty text for an empty selector. */
export function selectorText(selector: LabelSelector): string {
  const parts = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const list = `(${[...values].sort().join(',')})`;
    if (operator === 'In') parts.push(`${key} in ${list}`);
    else if (operator === 'NotIn') parts.push(`${key} notin ${list}`);
    else parts.push(operator === 'Exists' ? key : `!${key}`);
  }
  return parts.sort().join(',');
}

const TOKEN = /\s*(?:([!(),]|==|=|!=|<|>)|([^\s!(),=<>]+))/y;

/** Grammar: requirement { "," requirement }, where requirement is [!] key, key op value, or key in|notin ( values ). */
class LabelParser {
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(text: string) {
    TOKEN.lastIndex = 0;
    const trimmed = text.trimEnd();
    while (TOKEN.lastIndex < trimmed.length) {
      const start = TOKEN.lastIndex;
      const match = TOKEN.exec(trimmed);
      if (!match) throw this.#error(`found '${trimmed.slice(start).trim()}'`);
      this.#tokens.push(match[0].trim() === '!' && trimmed[TOKEN.lastIndex] === '=' ? '!=' : match[0].trim());
      if (this.#tokens.at(-1) === '!=' && match[0].trim() === '!') TOKEN.lastIndex++;
    }
  }

  #error(why: string): Error {
    return failure(400, 'BadRequest', `unable to parse requirement: ${why}`);
  }

  #next(): string | undefined {
    return this.#tokens[this.#at++];
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    while (this.#at < this.#tokens.length) {
      requirements.push(this.#requirement());
      const separator = this.#next();
      if (separator === undefined) break;
      if (separator !== ',') throw this.#error(`found '${separator}', expected: ',' or 'end of string'`);
      if (this.#peek() === undefined) throw this.#error("found '', expected: identifier after ','");
    }
    return requirements;
  }

  #requirement(): Requirement {
    const negated = this.#peek() === '!';
    if (negated) this.#at++;
    const key = this.#next() ?? '';
    if (/^[!(),=<>]|^$/.test(key)) throw this.#error(`found '${key}', expected: !, identifier, or 'end of string'`);
    const problem = labelKeyProblems(key)[0];
    if (problem) throw this.#error(`<nil>: Invalid value: ${JSON.stringify(key)}: ${problem}`);
    const operator = this.#peek();
    if (negated) return { key, operator: 'DoesNotExist', values: [] };
    if (operator === undefined || operator === ',') return { key, operator: 'Exists', values: [] };
    this.#at++;
    switch (operator) {
      case '=':
      case '==':
        return { key, operator: 'In', values: [this.#value(key)] };
      case '!=':
        return { key, operator: 'NotIn', values: [this.#value(key)] };
      case 'in':
        return { key, operator: 'In', values: this.#values(key) };
      case 'notin':
        return { key, operator: 'NotIn', values: this.#values(key) };
      case '<':
      case '>':
        return { key, operator: operator === '<' ? 'Lt' : 'Gt', values: [this.#number(key)] };
      default:
        throw this.#error(`found '${operator}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }

  /** A value may be empty: `app=` and `app=,b`. */
  #value(key: string): string {
    const token = this.#peek();
    if (token === undefined || token === ',' || token === ')') return '';
    if (/^[!(=<>]/.test(token)) throw this.#error(`found '${token}', expected: identifier`);
    this.#at++;
    const problem = labelValueProblems(token)[0];
    if (problem) {
      throw this.#error(`values[0][${key}]: Invalid value: ${JSON.stringify(token)}: ${problem}`);
    }
    return token;
  }

  #number(key: string): string {
    const value = this.#value(key);
    if (!isWholeNumber(value)) {
      throw this.#error(
        `values[0]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
    return value;
  }

  #values(key: string): string[] {
    if (this.#next() !== '(') throw this.#error(`found '${this.#tokens[this.#at - 1] ?? ''}' expected: '('`);
    const values: string[] = [];
    for (;;) {
      values.push(this.#value(key));
      const separator = this.#next();
      if (separator === ')') return values;
      if (separator !== ',') throw this.#error(`found '${separator ?? ''}', expected: ',' or ')'`);
    }
  }
}

/** The text of `?fieldSelector=`: `spec.nodeName=n1,status.phase!=Failed`. Throws a StatusError (400) for a field that the kind has not. */
export function parseFieldSelector(kind: KindRow, text: string): FieldMatcher {
  const terms = text
    .split(/(?<!\\),/)
    .filter((term) => term !== '')
    .map((term) => fieldTerm(kind, term));
  return (object) => terms.every((term) => term(object));
}

function fieldTerm(kind: KindRow, term: string): FieldMatcher {
  const match = /^([^!=]*)(!=|==|=)(.*)$/s.exec(term);
  if (!match) throw failure(400, 'BadRequest', `invalid selector: '${term}'; can't understand '${term}'`);
  const [, field = '', operator, escaped = ''] = match;
  const wanted = escaped.replace(/\\([\\,=])/g, '$1');
  const read =
    field === 'metadata.name' || (field === 'metadata.namespace' && kind.namespaced)
      ? byPath(field)
      : fieldOf(kind, field);
  return operator === '!=' ? (object) => read(object) !== wanted : (object) => read(object) === wanted;
}

function fieldOf(kind: KindRow, field: string): (object: DraftObject) => string {
  const fields = FIELD_SELECTORS[kind.kind];
  const known = fields?.[field];
  if (known === undefined) {
    const why = fields
      ? `field label not supported: ${field}`
      : `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`;
    throw failure(400, 'BadRequest', why);
  }
  return known === true ? byPath(field) : known;
}

function byPath(field: string): (object: DraftObject) => string {
  const path = field.split('.');
  return (object) => {
    let value: unknown = object;
    for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
    return value === undefined ? '' : String(value);
  };
}
