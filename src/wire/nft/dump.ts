// Room wire: nf_tables messages of a dump as items.

import { AddressError } from '../../addr/ip.ts';
import { NetlinkFormatError } from '../netlink/message.ts';
import { Attributes, NFGENMSG_LENGTH, userdataText } from '../nfnetlink/reader.ts';
import { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { hasConcatenatedIntervals, readConcatenatedKey } from './concatenation.ts';
import { NftValueError, type NftValueType, readValues, typesOfId } from './datatype.ts';
import { decompileStatements, NftForeignError, readVerdict } from './decompile.ts';
import { COUNTER, DATA, EXPR, NFPROTO } from './expression.ts';
import { boundOf, formatInterval, hasIntervals } from './interval.ts';
import type { NftChain, NftCount, NftDatatype, NftElement, NftHook, NftSet, NftTable, NftValue } from './items.ts';
import {
  CHAIN,
  DESCRIPTION,
  ELEMENT,
  ELEMENT_LIST,
  GENERATION,
  HOOK,
  HOOK_NUMBER,
  INTERVAL_END,
  POLICY_DROP,
  RULE,
  SET,
  SET_FLAG,
  TABLE,
  USERDATA,
  VERDICT_TYPE,
} from './message.ts';
import type { NftFamily, NftRule } from './rule.ts';

/** A dump request's body: of one table, of one set of it, or of all. */
export function dumpBody(of: { family: NftFamily; table: string; set?: string } | undefined): Uint8Array {
  const w = new NfnetlinkWriter(0, 64);
  w.begin(0, 0, of ? NFPROTO[of.family] : 0);
  // NFTA_…_TABLE is 1 and the set's name 2 in every kind of message.
  if (of) w.string(1, of.table);
  if (of?.set !== undefined) w.string(ELEMENT_LIST.SET, of.set);
  return w.bytes.slice(16);
}

const FAMILIES = new Map(Object.entries(NFPROTO).map(([name, number]) => [number as number, name as NftFamily]));

/** Families in which we have no tables (linux/netfilter.h). */
const FOREIGN_FAMILIES = new Map([
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
]);

const INET_HOOKS = [...Object.keys(HOOK_NUMBER), 'ingress'];
const DEVICE_HOOKS = ['ingress', 'egress'];

/** Undefined for families that we have no tables in. */
function familyOf(body: Uint8Array): NftFamily | undefined {
  return FAMILIES.get(body[0]!);
}

function attributes(body: Uint8Array): Attributes {
  return new Attributes(body.subarray(NFGENMSG_LENGTH));
}

export function decodeTable(body: Uint8Array): NftTable | undefined {
  const family = familyOf(body);
  return family && { kind: 'table', family, table: attributes(body).string(TABLE.NAME) };
}

/** What GETGEN answers: undefined when it tells no generation. */
export function decodeGeneration(body: Uint8Array): number | undefined {
  return attributes(body).u32(GENERATION.ID);
}

/** A chain yet without its rules. */
export function decodeChain(body: Uint8Array): NftChain | undefined {
  const family = familyOf(body);
  if (!family) return undefined;
  const found = attributes(body);
  const chain = { kind: 'chain', family, table: found.string(CHAIN.TABLE), chain: found.string(CHAIN.NAME) } as const;
  if (!found.has(CHAIN.HOOK)) return { ...chain, rules: [] };
  const hook = found.nested(CHAIN.HOOK);
  const base: NftHook = {
    type: found.string(CHAIN.TYPE) as NftHook['type'],
    hook: hookOf(hook.u32(HOOK.NUMBER)),
    priority: hook.u32(HOOK.PRIORITY)! | 0,
    ...(found.u32(CHAIN.POLICY) === POLICY_DROP && { policy: 'drop' }),
  };
  return { ...chain, base, rules: [] };
}

/** A chain that packets enter, whoever made it. */
export interface HookedChain {
  readonly family: string;
  readonly table: string;
  readonly hook: string;
  /** What no rule of it accepts. */
  readonly drops: boolean;
}

/** Undefined for a chain that only others lead to. */
export function decodeHook(body: Uint8Array): HookedChain | undefined {
  const found = attributes(body);
  if (!found.has(CHAIN.HOOK)) return undefined;
  const number = found.nested(CHAIN.HOOK).u32(HOOK.NUMBER)!;
  const family = FOREIGN_FAMILIES.get(body[0]!) ?? familyOf(body) ?? `family ${body[0]}`;
  return {
    family,
    table: found.string(CHAIN.TABLE),
    hook: (family === 'netdev' ? DEVICE_HOOKS : INET_HOOKS)[number] ?? `hook ${number}`,
    drops: found.u32(CHAIN.POLICY) === POLICY_DROP,
  };
}

/** Whether a message is about this table: of a dump of all tables the others need not be understood. */
export function isOfTable(body: Uint8Array, { family, table }: Pick<NftTable, 'family' | 'table'>): boolean {
  return familyOf(body) === family && attributes(body).string(CHAIN.TABLE) === table;
}

function hookOf(number: number | undefined): NftHook['hook'] {
  const found = Object.entries(HOOK_NUMBER).find(([, value]) => value === number);
  if (!found) throw new NetlinkFormatError(`a chain on hook number ${number}`);
  return found[0] as NftHook['hook'];
}

/** A rule that is not in our vocabulary comes back without statements, so that it differs from every rule of a plan. */
export function decodeRule(body: Uint8Array): { chain: string; rule: NftRule } {
  const found = attributes(body);
  const chain = found.string(RULE.CHAIN);
  try {
    const family = familyOf(body);
    if (!family) throw new NftForeignError(`a rule of family ${body[0]}`);
    const statements = decompileStatements(found.list(RULE.EXPRESSIONS), family);
    const comment = userdataText(found.raw(RULE.USERDATA), USERDATA.COMMENT);
    return { chain, rule: comment === undefined ? { statements } : { statements, comment } };
  } catch (error) {
    if (!isForeign(error)) throw error;
    return { chain, rule: { statements: [], comment: error.message } };
  }
}

/** Others may write what none of ours does: half an address, a number where we have names. */
function isForeign(error: unknown): error is Error {
  return error instanceof NftForeignError || error instanceof NftValueError || error instanceof AddressError;
}

/** Undefined for the anonymous sets inside rules. */
export function decodeSet(body: Uint8Array): NftSet | undefined {
  const family = familyOf(body);
  const found = attributes(body);
  const bits = found.u32(SET.FLAGS) ?? 0;
  if (!family || bits & SET_FLAG.anonymous) return undefined;
  const flags = (['interval', 'timeout', 'dynamic'] as const).filter((flag) => bits & SET_FLAG[flag]);
  const dataType = found.u32(SET.DATA_TYPE);
  const size = flags.includes('dynamic') ? found.nested(SET.DESCRIPTION).u32(DESCRIPTION.SIZE) : undefined;
  return {
    kind: 'set',
    family,
    table: found.string(SET.TABLE),
    set: found.string(SET.NAME),
    key: datatypes(found.u32(SET.KEY_TYPE)!),
    ...(bits & SET_FLAG.map && { data: dataType === VERDICT_TYPE ? ['verdict'] : datatypes(dataType!) }),
    ...(flags.length > 0 && { flags }),
    ...(size !== undefined && { size }),
    ...(bits & SET_FLAG.expression &&
      found.nested(SET.EXPRESSION).string(EXPR.NAME) === 'counter' && { counter: true }),
  };
}

function datatypes(id: number): NftDatatype[] {
  return (typesOfId(id) ?? []) as NftDatatype[];
}

/** Elements of all messages of a set's GETSETELEM dump. */
export function decodeElements(bodies: readonly Uint8Array[], set: NftSet): NftElement[] {
  const found = bodies.flatMap((body) =>
    attributes(body)
      .list(ELEMENT_LIST.ELEMENTS)
      .map((payload) => new Attributes(payload)),
  );
  return hasIntervals(set) ? decodeIntervals(found, set) : found.map((element) => decodeElement(element, set));
}

function decodeElement(found: Attributes, set: NftSet, key?: NftValue[]): NftElement {
  const { family, table, set: name } = set;
  const comment = userdataText(found.raw(ELEMENT.USERDATA), USERDATA.COMMENT);
  return {
    kind: 'element',
    family,
    table,
    set: name,
    key: key ?? readKey(found, set),
    ...(set.data && { data: decodeData(found.nested(ELEMENT.DATA), set.data) }),
    ...(comment !== undefined && { comment }),
  };
}

function readKey(found: Attributes, set: NftSet): NftValue[] {
  const types = set.key as NftValueType[];
  if (!hasConcatenatedIntervals(set)) return readValues(keyOf(found), types);
  return readConcatenatedKey(keyOf(found), found.nested(ELEMENT.KEY_END).raw(DATA.VALUE), types);
}

/** How many packets and bytes found each element of a set that counts; of all messages of its GETSETELEM dump. */
export function decodeCounts(bodies: readonly Uint8Array[], set: NftSet): NftCount[] {
  return bodies
    .flatMap((body) => attributes(body).list(ELEMENT_LIST.ELEMENTS))
    .map((payload) => {
      const found = new Attributes(payload);
      const counter = found.nested(ELEMENT.EXPRESSION).nested(EXPR.DATA);
      const packets = Number(counter.u64(COUNTER.PACKETS) ?? 0n);
      return { key: readKey(found, set), packets, bytes: Number(counter.u64(COUNTER.BYTES) ?? 0n) };
    });
}

function keyOf(element: Attributes): Uint8Array {
  return element.nested(ELEMENT.KEY).bytes(DATA.VALUE);
}

/** Intervals do not overlap, so each ends at the bound after it. nft itself writes an end at 0 too, which ends nothing. */
function decodeIntervals(found: readonly Attributes[], set: NftSet): NftElement[] {
  const type = set.key[0] as NftValueType;
  const bounds = found
    .map((element) => ({
      element,
      at: boundOf(keyOf(element), type),
      isEnd: ((element.u32(ELEMENT.FLAGS) ?? 0) & INTERVAL_END) !== 0,
    }))
    .toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : Number(b.isEnd) - Number(a.isEnd)));
  return bounds.flatMap(({ element, at, isEnd }, i) => {
    if (isEnd) return [];
    const next = bounds[i + 1];
    const end = next?.isEnd ? next.at : undefined;
    const key = formatInterval(end === undefined ? { start: at } : { start: at, end }, type);
    return [decodeElement(element, set, [key])];
  });
}

function decodeData(data: Attributes, types: readonly NftDatatype[]): NftElement['data'] & {} {
  if (data.has(DATA.VERDICT)) return readVerdict(data.nested(DATA.VERDICT));
  if (types[0] === 'verdict') throw new NetlinkFormatError('an element of a verdict map without a verdict');
  return readValues(data.bytes(DATA.VALUE), types as NftValueType[]);
}
