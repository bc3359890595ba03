// Room trace: a packet's way through planned nftables rules: the same answer as the kernel's, without the kernel.
import { ipToBigInt } from '../addr/ip.ts';
import { prefixContains } from '../addr/prefix.ts';
import type {
  NftChain,
  NftElement,
  NftHook,
  NftItem,
  NftRule,
  NftSelector,
  NftSet,
  NftStatement,
  NftValue,
  NftVerdict,
} from '../kernel/nft-items.ts';
import { parseInterval } from '../wire/nft/interval.ts';
import type { NftKeyPart } from '../wire/nft/rule.ts';

/** What selectors give for the packet; one that is absent ends the rule that asks for it, as in the kernel. */
export type Packet = Readonly<Partial<Record<NftSelector, NftValue>>>;

export interface Walk {
  readonly verdict: 'accept' | 'drop' | 'reject';
  /** Elements that were found on the way, in order; the last one decided. */
  readonly found: readonly NftElement[];
  /** Chains that the packet came through, the base chain first. */
  readonly chains: readonly string[];
  readonly nat?: Translation;
  /** The largest number of ways between which chance chose. */
  readonly ways: number;
}

/** `masquerade` takes an address of the link by which the packet leaves. */
export type Translation =
  | { readonly kind: 'dnat' | 'snat'; readonly ip: string; readonly port?: number }
  | { readonly kind: 'masquerade' };

/** Which of `mod` ways chance takes. */
export type Chance = (mod: number) => number;

/** The items of one table, ready to be walked. */
export class Ruleset {
  readonly #chains = new Map<string, readonly NftRule[]>();
  readonly #sets = new Map<string, NftSet>();
  readonly #exact = new Map<string, NftElement>();
  readonly #intervals = new Map<string, NftElement[]>();
  readonly #bases: NftChain[] = [];

  constructor(items: Iterable<NftItem>) {
    const all = [...items];
    for (const item of all) {
      if (item.kind === 'chain') {
        this.#chains.set(item.chain, item.rules);
        if (item.base) this.#bases.push(item);
      }
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
  walk(chain: string, packet: Packet, chance: Chance = () => 0): Walk {
    const way = new Way(this, packet, chance);
    const end = way.chain(chain) ?? 'accept';
    const { found, chains, ways, nat } = way;
    return { verdict: end, found, chains, ways, ...(nat && { nat }) };
  }

  /** All base chains of the type at the hook, by priority; where one has translated, no other of type nat is asked. */
  walkHook(type: NftHook['type'], hook: NftHook['hook'], packet: Packet, chance?: Chance): Walk {
    const bases = this.#bases.filter(({ base }) => base!.type === type && base!.hook === hook);
    let all: Walk = { verdict: 'accept', found: [], chains: [], ways: 1 };
    for (const { chain } of bases.sort((a, b) => a.base!.priority - b.base!.priority)) {
      const walk = this.walk(chain, packet, chance);
      all = {
        ...walk,
        found: [...all.found, ...walk.found],
        chains: [...all.chains, ...walk.chains],
        ways: Math.max(all.ways, walk.ways),
      };
      if (walk.verdict !== 'accept' || walk.nat) break;
    }
    return all;
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

type End = 'accept' | 'drop' | 'reject' | undefined;
type RuleEnd = End | 'return' | 'goto end';

class Way {
  readonly found: NftElement[] = [];
  readonly chains: string[] = [];
  ways = 1;
  nat: Translation | undefined;
  readonly #rules: Ruleset;
  readonly #packet: Packet;
  readonly #chance: Chance;
  /** What this packet puts into dynamic maps. */
  readonly #written = new Map<string, NftValue>();
  #mark: NftValue;
  #connectionMark: NftValue | undefined;

  constructor(rules: Ruleset, packet: Packet, chance: Chance) {
    this.#rules = rules;
    this.#packet = packet;
    this.#chance = chance;
    this.#mark = packet['meta mark'] ?? 0;
    this.#connectionMark = packet['ct mark'];
  }

  /** Undefined: the chain's end was reached. */
  chain(name: string): End {
    this.chains.push(name);
    for (const { statements } of this.#rules.rules(name)) {
      const end = this.#rule(statements);
      if (end === 'return' || end === 'goto end') return undefined;
      if (end !== undefined) return end;
    }
    return undefined;
  }

  #rule(statements: readonly NftStatement[]): RuleEnd {
    for (const statement of statements) {
      const end = this.#statement(statement);
      if (end !== 'next') return end === 'no match' ? undefined : end;
    }
    return undefined;
  }

  #statement(statement: NftStatement): RuleEnd | 'next' | 'no match' {
    switch (statement.kind) {
      case 'match':
        return this.#matches(statement.left, statement.right) === (statement.not === true) ? 'no match' : 'next';
      case 'lookup':
        return (this.#find(statement.set, statement.key) === undefined) !== (statement.not === true)
          ? 'no match'
          : 'next';
      case 'vmap': {
        const found = this.#find(statement.map, statement.key)?.data;
        return found && 'verdict' in found ? this.#verdict(found) : 'no match';
      }
      case 'set mark': {
        const mark = 'mark' in statement ? statement.mark : this.#data(statement.map, statement.key)?.[0];
        if (mark === undefined) return 'no match';
        this.#mark = mark;
        return 'next';
      }
      case 'set ct mark': {
        const mark = this.#data(statement.map, statement.key)?.[0];
        if (mark === undefined) return 'no match';
        this.#connectionMark = mark;
        return 'next';
      }
      case 'update': {
        const data = this.#value(statement.data);
        if (data !== undefined) this.#written.set(this.#writtenKey(statement.set, statement.key), data);
        return 'next';
      }
      case 'delete':
        this.#written.delete(this.#writtenKey(statement.set, statement.key));
        return 'next';
      case 'dnat':
      case 'snat': {
        const [ip, port] =
          'map' in statement ? (this.#data(statement.map, statement.key) ?? []) : [statement.to, statement.port];
        if (ip === undefined) return 'no match';
        this.nat = { kind: statement.kind, ip: String(ip), ...(port !== undefined && { port: Number(port) }) };
        return 'accept';
      }
      case 'masquerade':
        this.nat = { kind: 'masquerade' };
        return 'accept';
      case 'reject':
        return 'reject';
      case 'verdict':
        return this.#verdict(statement);
      case 'limit':
      case 'log':
      case 'counter':
      case 'notrack':
        return 'next';
      default:
        throw new Error(`a packet's way through "${statement.kind}" is not known here`);
    }
  }

  #verdict(verdict: NftVerdict): RuleEnd | 'next' {
    if (!('chain' in verdict)) return verdict.verdict;
    const end = this.chain(verdict.chain);
    if (end !== undefined) return end;
    return verdict.verdict === 'goto' ? 'goto end' : 'next';
  }

  #value(part: NftKeyPart): NftValue | undefined {
    if (typeof part === 'object') {
      if (part.compute !== 'random') throw new Error(`a packet's way by "${part.compute}" is not known here`);
      this.ways = Math.max(this.ways, part.mod);
      return (part.offset ?? 0) + (this.#chance(part.mod) % part.mod);
    }
    if (part === 'ct mark') return this.#connectionMark;
    return part === 'meta mark' ? this.#mark : this.#packet[part];
  }

  #matches(left: NftSelector, right: NftValue): boolean {
    const value = this.#value(left);
    if (/^ip6? [sd]addr$/.test(left) && String(right).includes('/')) {
      return value !== undefined && prefixContains(String(right), String(value));
    }
    if (left !== 'ct state' && left !== 'ct status' && left !== 'tcp flags') return value === right;
    const bits = String(value ?? '').split(',');
    return String(right)
      .split(',')
      .some((bit) => bits.includes(bit));
  }

  #find(set: string, parts: readonly NftKeyPart[]): NftElement | undefined {
    const key = parts.map((part) => this.#value(part));
    if (key.some((part) => part === undefined)) return undefined;
    const element = this.#rules.find(set, key as NftValue[]);
    if (element) this.found.push(element);
    return element;
  }

  #data(map: string, parts: readonly NftKeyPart[]): readonly NftValue[] | undefined {
    const written = this.#written.get(this.#writtenKey(map, parts));
    if (written !== undefined) return [written];
    const data = this.#find(map, parts)?.data;
    return Array.isArray(data) ? data : undefined;
  }

  #writtenKey(map: string, parts: readonly NftKeyPart[]): string {
    return `${map} ${parts.map((part) => this.#value(part)).join(' . ')}`;
  }
}
