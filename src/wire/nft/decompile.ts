// Room wire: nf_tables expressions back as statements: what compile.ts wrote, whoever reads it.
import { formatIP } from '../../addr/ip.ts';
import { Attributes } from '../nfnetlink/reader.ts';
import { DATATYPES, readValue } from './datatype.ts';
import {
  BITWISE,
  CMP,
  CMP_OP,
  CT,
  DATA,
  DYNSET,
  DYNSET_OP,
  EXPR,
  FIB,
  HASH,
  IMMEDIATE,
  LIMIT,
  LIMIT_SECONDS,
  LOG,
  LOOKUP,
  META,
  NAT,
  NAT_TYPE,
  NUMGEN,
  PAYLOAD,
  REJECT,
  REJECT_CODE,
  REJECT_TYPE,
  VERDICT,
  VERDICT_CODE,
} from './expression.ts';
import type { NftFamily, NftKeyPart, NftSelector, NftStatement, NftVerdict } from './rule.ts';
import { PAYLOAD_BASE, SELECTORS, type SelectorLoad, selectorOf } from './selector.ts';

/** Expressions that none of our statements compiles to: somebody else's rule, or a newer version's. */
export class NftForeignError extends Error {
  override name = 'NftForeignError';
}

/** What has been loaded or set and waits for the expression that uses it. */
interface Pending {
  key: NftKeyPart[];
  /** Bytes of the last payload load: fewer than its type's for a prefix. */
  loaded: number;
  mask?: Uint8Array;
  immediates: Uint8Array[];
  map?: string;
  /** A part was turned into network order. */
  ordered?: true;
}

/** `list` are the payloads of NFTA_RULE_EXPRESSIONS. Throws an NftForeignError. */
export function decompileStatements(list: readonly Uint8Array[], family: NftFamily): NftStatement[] {
  const statements: NftStatement[] = [];
  let pending: Pending = { key: [], loaded: 0, immediates: [] };
  for (const element of list) {
    const expr = new Attributes(element);
    const statement = decompileExpression(expr.string(EXPR.NAME), expr.nested(EXPR.DATA), pending, family);
    if (!statement) continue;
    statements.push(statement);
    pending = { key: [], loaded: 0, immediates: [] };
  }
  return statements;
}

function decompileExpression(
  name: string,
  data: Attributes,
  pending: Pending,
  family: NftFamily,
): NftStatement | undefined {
  switch (name) {
    case 'ct':
      if (data.has(CT.SREG)) return { kind: 'set ct mark', key: pending.key, map: pending.map ?? '' };
      pushKey(name, data, pending, family);
      return undefined;
    case 'payload':
    case 'fib':
    case 'numgen':
    case 'hash':
      pushKey(name, data, pending, family);
      return undefined;
    case 'meta':
      if (data.has(META.SREG)) return decompileSetMark(pending);
      pushKey(name, data, pending, family);
      return undefined;
    case 'bitwise':
      pending.mask = data.nested(BITWISE.MASK).bytes(DATA.VALUE);
      return undefined;
    case 'byteorder':
      pending.ordered = true;
      return undefined;
    case 'cmp':
      return decompileMatch(data, pending);
    case 'lookup':
      return decompileLookup(data, pending);
    case 'immediate': {
      const value = data.nested(IMMEDIATE.DATA);
      if (value.has(DATA.VERDICT)) return { kind: 'verdict', ...readVerdict(value.nested(DATA.VERDICT)) };
      pending.immediates.push(value.bytes(DATA.VALUE));
      return undefined;
    }
    case 'dynset':
      return decompileDynamic(data, pending);
    case 'nat':
      return decompileNat(data, pending);
    case 'masq':
      return { kind: 'masquerade' };
    case 'redir':
      return { kind: 'redirect', port: readValue(taken(pending), 'inet_service') as number };
    case 'reject':
      return decompileReject(data, family);
    case 'notrack':
    case 'counter':
      return { kind: name };
    case 'log':
      return decompileLog(data);
    case 'limit':
      return decompileLimit(data);
    default:
      throw new NftForeignError(`a rule with the expression "${name}"`);
  }
}

function decompileSetMark(pending: Pending): NftStatement {
  if (pending.map !== undefined) {
    const ordered = pending.ordered && { ordered: true as const };
    return { kind: 'set mark', key: pending.key as NftSelector[], map: pending.map, ...ordered };
  }
  return { kind: 'set mark', mark: readValue(taken(pending), 'mark') as number };
}

function decompileLog(data: Attributes): NftStatement {
  const group = data.u16(LOG.GROUP);
  return { kind: 'log', prefix: data.string(LOG.PREFIX), ...(group !== undefined && { group }) };
}

function taken(pending: Pending): Uint8Array {
  const value = pending.immediates.shift();
  if (!value) throw new NftForeignError('a rule that uses a register which was not set');
  return value;
}

function pushKey(name: string, data: Attributes, pending: Pending, family: NftFamily): void {
  if (name === 'numgen') {
    const offset = data.u32(NUMGEN.OFFSET);
    pending.key.push({ compute: 'random', mod: data.u32(NUMGEN.MODULUS)!, ...(offset && { offset }) });
  } else if (name === 'hash') {
    pending.key.push({ compute: 'jhash', of: hashed(pending, data.u32(HASH.LEN)!), mod: data.u32(HASH.MODULUS)! });
  } else {
    pending.loaded = name === 'payload' ? data.u32(PAYLOAD.LEN)! : 0;
    const selector = selectorOf(readLoad(name, data), family, pending.loaded);
    if (!selector) throw new NftForeignError(`a rule with a ${name} expression that has no name here`);
    pending.key.push(selector);
  }
}

/** The selectors that were loaded for the hash: the last ones, as many as fill its length. */
function hashed(pending: Pending, length: number): NftSelector[] {
  const of: NftSelector[] = [];
  for (let rest = length; rest > 0; ) {
    const selector = pending.key.pop();
    if (typeof selector !== 'string') throw new NftForeignError('a rule with a hash of something else than selectors');
    of.unshift(selector);
    rest -= (DATATYPES[SELECTORS[selector].type].length + 3) & ~3;
  }
  return of;
}

function readLoad(name: string, data: Attributes): SelectorLoad {
  if (name === 'payload') {
    const base = data.u32(PAYLOAD.BASE) === PAYLOAD_BASE.network ? 'network' : 'transport';
    return { expr: 'payload', base, offset: data.u32(PAYLOAD.OFFSET)! };
  }
  if (name === 'fib') return { expr: 'fib', flags: data.u32(FIB.FLAGS)!, result: data.u32(FIB.RESULT)! };
  if (name === 'meta') return { expr: 'meta', key: data.u32(META.KEY)! };
  const direction = data.u8(CT.DIRECTION);
  return { expr: 'ct', key: data.u32(CT.KEY)!, ...(direction !== undefined && { direction }) };
}

function decompileMatch(data: Attributes, pending: Pending): NftStatement {
  const left = pending.key.pop();
  const value = data.nested(CMP.DATA).bytes(DATA.VALUE);
  const equal = data.u32(CMP.OP) === CMP_OP.EQ;
  if (typeof left !== 'string') throw new NftForeignError('a rule that compares what is not a selector');
  const { type } = SELECTORS[left];
  const { length, bits } = DATATYPES[type];
  if (bits && pending.mask) return match(left, equal, readValue(pending.mask, type));
  if (pending.mask) return match(left, !equal, `${formatIP(value)}/${maskLength(pending.mask)}`);
  if (pending.loaded > 0 && pending.loaded < length) {
    const address = new Uint8Array(length);
    address.set(value);
    return match(left, !equal, `${formatIP(address)}/${8 * value.length}`);
  }
  return match(left, !equal, readValue(value, type));
}

function match(left: NftSelector, not: boolean, right: string | number): NftStatement {
  return not ? { kind: 'match', left, not: true, right } : { kind: 'match', left, right };
}

function maskLength(mask: Uint8Array): number {
  return mask.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
}

function decompileLookup(data: Attributes, pending: Pending): NftStatement | undefined {
  const set = data.string(LOOKUP.SET);
  if (!data.has(LOOKUP.DREG)) {
    const key = pending.key as NftSelector[];
    const ordered = pending.ordered && { ordered: true as const };
    return { kind: 'lookup', key, ...(data.u32(LOOKUP.FLAGS) && { not: true as const }), set, ...ordered };
  }
  if (data.u32(LOOKUP.DREG) === 0) return { kind: 'vmap', key: pending.key, map: set };
  pending.map = set;
  return undefined;
}

/** `bytes` are the attributes of an NFTA_DATA_VERDICT. */
export function readVerdict(data: Attributes): NftVerdict {
  const code = data.u32(VERDICT.CODE)! | 0;
  const verdict = Object.entries(VERDICT_CODE).find(([, value]) => value === code)?.[0] as NftVerdict['verdict'];
  if (verdict === 'jump' || verdict === 'goto') return { verdict, chain: data.string(VERDICT.CHAIN) };
  if (!verdict) throw new NftForeignError(`a verdict of number ${code}`);
  return { verdict };
}

function decompileDynamic(data: Attributes, pending: Pending): NftStatement {
  const key = [...pending.key] as NftSelector[];
  const held = key.pop();
  if (held === undefined) throw new NftForeignError('a rule that adds nothing to a set');
  const common = { set: data.string(DYNSET.SET), key, data: held };
  if (data.u32(DYNSET.OP) === DYNSET_OP.delete) return { kind: 'delete', ...common };
  return { kind: 'update', ...common, timeout: Number(data.u64(DYNSET.TIMEOUT) ?? 0n) / 1000 };
}

function decompileNat(data: Attributes, pending: Pending): NftStatement {
  const kind = data.u32(NAT.TYPE) === NAT_TYPE.snat ? 'snat' : 'dnat';
  if (pending.map !== undefined) {
    if (kind === 'snat') throw new NftForeignError('a rule with snat to a map');
    return { kind, key: pending.key, map: pending.map };
  }
  const to = formatIP(taken(pending));
  if (!data.has(NAT.PROTO_MIN)) return { kind, to };
  return { kind, to, port: readValue(taken(pending), 'inet_service') as number };
}

function decompileReject(data: Attributes, family: NftFamily): NftStatement {
  if (data.u32(REJECT.TYPE) === REJECT_TYPE.TCP_RESET) return { kind: 'reject', with: 'tcp reset' };
  const code = data.u8(REJECT.CODE);
  for (const [name, value] of Object.entries(REJECT_CODE[family])) {
    if (value === code) return { kind: 'reject', with: name as 'port-unreachable' };
  }
  throw new NftForeignError(`a rule that rejects with ICMP code ${code}`);
}

function decompileLimit(data: Attributes): NftStatement {
  const unit = Number(data.u64(LIMIT.UNIT));
  const per = Object.entries(LIMIT_SECONDS).find(([, seconds]) => seconds === unit)?.[0] as 'second' | undefined;
  if (!per) throw new NftForeignError(`a rule with a limit per ${unit} s`);
  return { kind: 'limit', rate: Number(data.u64(LIMIT.RATE)), per, burst: data.u32(LIMIT.BURST)! };
}
