// Room trace: a packet's way through planned nftables rules: the same answer as the kernel's, without the kernel.
import { ipToBigInt } from '../addr/ip.ts';
import type { NftElement, NftItem, NftRule, NftSelector, NftSet, NftStatement, NftValue } from '../kernel/nft-items.ts';
import { parseInterval } from '../wire/nft/interval.ts';

/** What selectors give for the packet; one that is absent ends the rule that asks for it, as in the kernel. */
export type Packet = Readonly<Partial<Record<NftSelector, NftValue>>>;

export interface Walk {
  readonly verdict: 'accept' | 'drop';
  /** Elements that were found on the way, in order; the last one decided. */
  readonly found: readonly NftElement[];
}

/** The items of one table, ready to be walked. */
export class Ruleset {
  readonly #chains = new Map<string, readonly NftRule[]>();
  readonly #sets = new Map<string, NftSet>();
  readonly #exact = new Map<string, NftElement>();
  readonly #intervals = new Map<string, NftElement[]>();

  constructor(items: Iterable<NftItem>) {
    const all = [...items];
    for (const item of all) {
      if (item.kind === 'chain') this.#chains.set(item.chain, item.rules);
      if (item.kind === 'set') this.#sets.set(item.set, item);
    }
    for (const item of all) {
      if (item.kind !== 'element') continue;
      if (this.#sets.get(item.set)?.flags?.includes('interval')) {
        this.#intervals.set(item.set, [...(this.#intervals.get(item.set) ?? []), item]);
      } else this.#exact.set(`${item.set} ${item.key.join(' . ')}`, item);
    }
  }

  /** Begins in a base chain whose policy is accept. */
  walk(chain: string, packet: Packet): Walk {
    const way = new Way(this, packet);
    return { verdict: way.chain(chain) ?? 'accept', found: way.found };
  }

  rules(chain: string): readonly NftRule[] {
    const rules = this.#chains.get(chain);
    if (!rules) throw new Error(`there is no chain ${chain}`);
    return rules;
  }

  find(set: string, key: readonly NftValue[]): NftElement | undefined {
    const of = this.#sets.get(set);
    if (!of) throw new Error(`there is no set ${set}`);
    if (!of.flags?.includes('interval')) return this.#exact.get(`${set} ${key.join(' . ')}`);
    return this.#intervals.get(set)?.find((each) => each.key.every((part, i) => holds(of.key[i]!, part, key[i]!)));
  }
}

function holds(type: NftSet['key'][number], held: NftValue, value: NftValue): boolean {
  if (type !== 'ipv4_addr' && type !== 'ipv6_addr' && type !== 'inet_service') return held === value;
  const { start, end } = parseInterval(held, type);
  const number = type === 'inet_service' ? BigInt(value) : ipToBigInt(String(value));
  return start <= number && (end === undefined || number < end);
}

type End = 'accept' | 'drop' | undefined;

class Way {
  readonly found: NftElement[] = [];
  readonly #rules: Ruleset;
  readonly #packet: Packet;
  #mark: NftValue;

  constructor(rules: Ruleset, packet: Packet) {
    this.#rules = rules;
    this.#packet = packet;
    this.#mark = packet['meta mark'] ?? 0;
  }

  /** Undefined: the chain's end was reached. */
  chain(name: string): End {
    for (const { statements } of this.#rules.rules(name)) {
      const end = this.#rule(statements);
      if (end === 'return') return undefined;
      if (end === 'goto end' || end === 'accept' || end === 'drop') return end === 'goto end' ? undefined : end;
    }
    return undefined;
  }

  #rule(statements: readonly NftStatement[]): End | 'return' | 'goto end' {
    for (const statement of statements) {
      switch (statement.kind) {
        case 'match':
          if (this.#matches(statement.left, statement.right) === (statement.not === true)) return undefined;
          break;
        case 'lookup':
          if ((this.#find(statement.set, statement.key) === undefined) !== (statement.not === true)) return undefined;
          break;
        case 'set mark': {
          if ('mark' in statement) this.#mark = statement.mark;
          else {
            const element = this.#find(statement.map, statement.key);
            if (!element || !Array.isArray(element.data)) return undefined;
            this.#mark = element.data[0]!;
          }
          break;
        }
        case 'verdict': {
          if (!('chain' in statement)) return statement.verdict;
          const end = this.chain(statement.chain);
          if (end !== undefined) return end;
          if (statement.verdict === 'goto') return 'goto end';
          break;
        }
        case 'limit':
        case 'log':
        case 'counter':
          break;
        default:
          throw new Error(`a packet's way through "${statement.kind}" is not known here`);
      }
    }
    return undefined;
  }

  #value(selector: NftSelector): NftValue | undefined {
    return selector === 'meta mark' ? this.#mark : this.#packet[selector];
  }

  #matches(left: NftSelector, right: NftValue): boolean {
    const value = this.#value(left);
    if (left !== 'ct state' && left !== 'tcp flags') return value === right;
    const bits = String(value ?? '').split(',');
    return String(right)
      .split(',')
      .some((bit) => bits.includes(bit));
  }

  #find(set: string, selectors: readonly NftSelector[]): NftElement | undefined {
    const key = selectors.map((selector) => this.#value(selector));
    if (key.some((part) => part === undefined)) return undefined;
    const element = this.#rules.find(set, key as NftValue[]);
    if (element) this.found.push(element);
    return element;
  }
}
