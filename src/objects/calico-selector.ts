// Room objects: Calico's expression language for selectors: `app == "web" && tier in {"a", "b"} || !has(old)`.
import type { Labels } from './select.ts';

export interface CalicoSelector {
  /** One text for what is written alike; empty for `all()` and for nothing. */
  readonly text: string;
  matches(labels: Labels): boolean;
  /** Whoever is selected has one of these labels; absent: no such label can be named. */
  readonly oneOf: readonly Pair[] | undefined;
}

type Pair = readonly [name: string, value: string];

/** Says what is wrong, and where in the text. */
export class ExpressionError extends Error {}

type Node =
  | { readonly is: 'all' | 'none' }
  | { readonly is: 'has'; readonly label: string }
  | { readonly is: 'equals' | 'contains' | 'starts' | 'ends'; readonly label: string; readonly value: string }
  | { readonly is: 'in'; readonly label: string; readonly values: readonly string[] }
  | { readonly is: 'not'; readonly of: Node }
  | { readonly is: 'and' | 'or'; readonly of: readonly Node[] };

/** `rename` is asked for every label's name: what the selector is held against may have others. Throws an ExpressionError. */
export function calicoSelector(text: string, rename = (label: string) => label): CalicoSelector {
  const root = new Parser(text).parse(rename);
  const matches = (labels: Labels) => holds(root, labels);
  return { text: root.is === 'all' ? '' : printed(root), matches, oneOf: neededLabels(root) };
}

function holds(node: Node, labels: Labels): boolean {
  switch (node.is) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'not':
      return !holds(node.of, labels);
    case 'and':
      return node.of.every((each) => holds(each, labels));
    case 'or':
      return node.of.some((each) => holds(each, labels));
    default:
      return holdsValue(node, labels && Object.hasOwn(labels, node.label) ? labels[node.label] : undefined);
  }
}

/** A label that is not there has no value: nothing holds of it. */
function holdsValue(node: Extract<Node, { label: string }>, value: string | undefined): boolean {
  if (value === undefined) return false;
  switch (node.is) {
    case 'has':
      return true;
    case 'equals':
      return value === node.value;
    case 'contains':
      return value.includes(node.value);
    case 'starts':
      return value.startsWith(node.value);
    case 'ends':
      return value.endsWith(node.value);
    case 'in':
      return node.values.includes(value);
  }
}

function neededLabels(node: Node): Pair[] | undefined {
  if (node.is === 'equals') return [[node.label, node.value]];
  if (node.is === 'in') return node.values.map((value): Pair => [node.label, value]);
  if (node.is !== 'and') return undefined;
  return node.of.map(neededLabels).find((pairs) => pairs !== undefined);
}

/** One text for what is written alike. */
function printed(node: Node): string {
  switch (node.is) {
    case 'all':
      return 'all()';
    case 'none':
      return 'global()';
    case 'has':
      return `has(${node.label})`;
    case 'equals':
      return `${node.label} == "${node.value}"`;
    case 'contains':
      return `${node.label} contains "${node.value}"`;
    case 'starts':
    case 'ends':
      return `${node.label} ${node.is} with "${node.value}"`;
    case 'in':
      return `${node.label} in {${node.values.map((value) => `"${value}"`).join(', ')}}`;
    case 'not':
      return `!${inner(node.of)}`;
    default:
      return node.of.map(inner).join(node.is === 'and' ? ' && ' : ' || ');
  }
}

function inner(node: Node): string {
  return node.is === 'has' || node.is === 'all' || node.is === 'none' ? printed(node) : `(${printed(node)})`;
}

const TOKEN = /\s*(?:"([^"]*)"|'([^']*)'|(==|!=|&&|\|\||[!(){},])|([a-zA-Z0-9_./-]+))/y;
const LONGEST_LABEL = 512;

interface Token {
  readonly kind: 'text' | 'sign' | 'word' | 'end';
  readonly text: string;
}

function* tokensOf(text: string): Iterable<Token> {
  const end = text.trimEnd().length;
  for (let at = 0; at < end; ) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) throw new ExpressionError(`unexpected "${text.slice(at).trim()}" in selector "${text}"`);
    const [whole, double, single, sign, word] = match;
    const kind = sign !== undefined ? 'sign' : word !== undefined ? 'word' : 'text';
    yield { kind, text: double ?? single ?? sign ?? word ?? '' };
    at += whole.length;
  }
}

class Parser {
  readonly #text: string;
  readonly #tokens: Token[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = [...tokensOf(text), { kind: 'end', text: 'its end' }];
  }

  parse(rename: (label: string) => string): Node {
    if (this.#next().kind === 'end') return { is: 'all' };
    const node = this.#or(rename);
    if (this.#next().kind !== 'end') throw this.#unexpected('&&, || or the end');
    return node;
  }

  #next(): Token {
    return this.#tokens[this.#at]!;
  }

  #unexpected(expected: string): ExpressionError {
    const { kind, text } = this.#next();
    const found = kind === 'end' ? text : `"${text}"`;
    return new ExpressionError(`expected ${expected}, found ${found} in selector "${this.#text}"`);
  }

  #takes(text: string, kind: Token['kind'] = 'sign'): boolean {
    if (this.#next().kind !== kind || this.#next().text !== text) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#takes(text)) throw this.#unexpected(`"${text}"`);
  }

  #or(rename: (label: string) => string): Node {
    const parts = [this.#and(rename)];
    while (this.#takes('||')) parts.push(this.#and(rename));
    return parts.length === 1 ? parts[0]! : { is: 'or', of: parts };
  }

  #and(rename: (label: string) => string): Node {
    const parts = [this.#not(rename)];
    while (this.#takes('&&')) parts.push(this.#not(rename));
    return parts.length === 1 ? parts[0]! : { is: 'and', of: parts };
  }

  #not(rename: (label: string) => string): Node {
    if (this.#takes('!')) return { is: 'not', of: this.#not(rename) };
    if (this.#takes('(')) {
      const node = this.#or(rename);
      this.#expect(')');
      return node;
    }
    return this.#term(rename);
  }

  #term(rename: (label: string) => string): Node {
    const word = this.#word('a label');
    if (this.#next().text === '(' && this.#next().kind === 'sign' && ['all', 'global', 'has'].includes(word)) {
      this.#at++;
      const node: Node =
        word === 'has' ? { is: 'has', label: rename(this.#word('a label')) } : { is: word === 'all' ? 'all' : 'none' };
      this.#expect(')');
      return node;
    }
    return this.#comparison(rename(word));
  }

  #comparison(label: string): Node {
    if (this.#takes('==')) return { is: 'equals', label, value: this.#string() };
    if (this.#takes('!=')) return { is: 'not', of: { is: 'equals', label, value: this.#string() } };
    if (this.#takes('contains', 'word')) return { is: 'contains', label, value: this.#string() };
    for (const is of ['starts', 'ends'] as const) {
      if (!this.#takes(is, 'word')) continue;
      if (!this.#takes('with', 'word')) throw this.#unexpected('"with"');
      return { is, label, value: this.#string() };
    }
    if (this.#takes('in', 'word')) return { is: 'in', label, values: this.#strings() };
    if (this.#takes('not', 'word')) {
      if (!this.#takes('in', 'word')) throw this.#unexpected('"in"');
      return { is: 'not', of: { is: 'in', label, values: this.#strings() } };
    }
    throw this.#unexpected('==, !=, in, not in, contains, starts with or ends with');
  }

  #word(what: string): string {
    const { kind, text } = this.#next();
    if (kind !== 'word' || text.length > LONGEST_LABEL) throw this.#unexpected(what);
    this.#at++;
    return text;
  }

  #string(): string {
    const { kind, text } = this.#next();
    if (kind !== 'text') throw this.#unexpected('a value in quotes');
    this.#at++;
    return text;
  }

  #strings(): string[] {
    this.#expect('{');
    const values = new Set<string>();
    while (this.#next().kind === 'text') {
      values.add(this.#string());
      if (!this.#takes(',')) break;
    }
    this.#expect('}');
    return [...values].sort();
  }
}
