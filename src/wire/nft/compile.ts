// Room wire: a rule's statements as nf_tables expressions, the same that `nft` makes of the rule's text.
import { familyOf } from '../../addr/ip.ts';
import { parsePrefix } from '../../addr/prefix.ts';
import type { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { DATATYPES, NftValueError, writeValue } from './datatype.ts';
import {
  CMP_OP,
  CT,
  DYNSET,
  DYNSET_OP,
  IMMEDIATE,
  LIMIT,
  LIMIT_SECONDS,
  LOG,
  META,
  NAT,
  NAT_TYPE,
  NFPROTO,
  REDIRECT,
  REJECT,
  REJECT_CODE,
  REJECT_TYPE,
  register,
} from './expression.ts';
import { bitwise, compare, expression, type Fill, immediate, load, loadKey, lookup, writeVerdict } from './load.ts';
import type { NftFamily, NftKeyPart, NftSelector, NftStatement, NftVerdict } from './rule.ts';
import { CT_SET_MARK, META_SET_MARK, META_SET_TRACE, SELECTORS } from './selector.ts';

/** Writes the expressions of one rule, as elements of the open NFTA_RULE_EXPRESSIONS. */
export function compileStatements(w: NfnetlinkWriter, statements: readonly NftStatement[], family: NftFamily): void {
  for (const statement of statements) compileStatement(w, statement, family);
}

function compileStatement(w: NfnetlinkWriter, statement: NftStatement, family: NftFamily): void {
  switch (statement.kind) {
    case 'match':
      compileMatch(w, statement.left, statement.right, statement.not === true);
      break;
    case 'lookup':
      loadKey(w, statement.key, statement.ordered);
      lookup(w, statement.set, { not: statement.not === true });
      break;
    case 'vmap':
      loadKey(w, statement.key);
      lookup(w, statement.map, { dreg: 0 });
      break;
    case 'verdict':
      compileVerdict(w, statement);
      break;
    case 'snat':
    case 'dnat':
      compileNat(w, statement, family);
      break;
    case 'set ct mark':
      compileSetConnectionMark(w, statement.key, statement.map);
      break;
    case 'update':
    case 'delete':
      compileDynamic(w, statement);
      break;
    case 'redirect':
      immediate(w, 0, 2, (bytes, view, at) => writeValue(bytes, view, at, 'inet_service', statement.port));
      expression(w, 'redir', () => w.u32(REDIRECT.PROTO_MIN, register(0)));
      break;
    case 'reject':
      compileReject(w, statement.with, family);
      break;
    case 'masquerade':
      expression(w, 'masq');
      break;
    case 'notrack':
      expression(w, 'notrack');
      break;
    case 'counter':
      expression(w, 'counter', () => {});
      break;
    case 'trace':
      immediate(w, 0, 1, (bytes, _, at) => {
        bytes[at] = 1;
      });
      expression(w, 'meta', () => {
        w.u32(META.KEY, META_SET_TRACE);
        w.u32(META.SREG, register(0));
      });
      break;
    case 'log':
      expression(w, 'log', () => {
        w.string(LOG.PREFIX, statement.prefix);
        if (statement.group !== undefined) w.u16(LOG.GROUP, statement.group);
      });
      break;
    case 'set mark':
      compileSetMark(w, statement);
      break;
    case 'limit':
      compileLimit(w, statement);
  }
}

function compileVerdict(w: NfnetlinkWriter, verdict: NftVerdict): void {
  expression(w, 'immediate', () => {
    w.u32(IMMEDIATE.DREG, 0);
    const data = w.open(IMMEDIATE.DATA);
    writeVerdict(w, verdict);
    w.close(data);
  });
}

function compileSetMark(w: NfnetlinkWriter, statement: Extract<NftStatement, { kind: 'set mark' }>): void {
  if ('map' in statement) {
    loadKey(w, statement.key, statement.ordered);
    lookup(w, statement.map, { dreg: register(0) });
  } else immediate(w, 0, 4, (bytes, view, at) => writeValue(bytes, view, at, 'mark', statement.mark));
  expression(w, 'meta', () => {
    w.u32(META.KEY, META_SET_MARK);
    w.u32(META.SREG, register(0));
  });
}

function compileSetConnectionMark(w: NfnetlinkWriter, key: readonly NftKeyPart[], map: string): void {
  loadKey(w, key);
  lookup(w, map, { dreg: register(0) });
  expression(w, 'ct', () => {
    w.u32(CT.KEY, CT_SET_MARK);
    w.u32(CT.SREG, register(0));
  });
}

function compileDynamic(w: NfnetlinkWriter, statement: Extract<NftStatement, { kind: 'update' | 'delete' }>): void {
  const data = loadKey(w, statement.key);
  load(w, statement.data, data);
  expression(w, 'dynset', () => {
    w.string(DYNSET.SET, statement.set);
    w.u32(DYNSET.OP, DYNSET_OP[statement.kind]);
    w.u32(DYNSET.SREG_KEY, register(0));
    w.u32(DYNSET.SREG_DATA, register(data));
    if (statement.kind === 'update') w.u64(DYNSET.TIMEOUT, BigInt(statement.timeout) * 1000n);
  });
}

function compileLimit(w: NfnetlinkWriter, limit: Extract<NftStatement, { kind: 'limit' }>): void {
  expression(w, 'limit', () => {
    w.u64(LIMIT.RATE, BigInt(limit.rate));
    w.u64(LIMIT.UNIT, BigInt(LIMIT_SECONDS[limit.per]));
    w.u32(LIMIT.BURST, limit.burst);
    w.u32(LIMIT.TYPE, 0);
    w.u32(LIMIT.FLAGS, 0);
  });
}

function compileMatch(w: NfnetlinkWriter, left: NftSelector, right: string | number, not: boolean): void {
  const { type } = SELECTORS[left];
  const { length, bits } = DATATYPES[type];
  const value: Fill = (bytes, view, at) => writeValue(bytes, view, at, type, right);
  if (bits) {
    load(w, left, 0);
    bitwise(w, length, value);
    compare(w, not ? CMP_OP.EQ : CMP_OP.NEQ, length, () => {});
  } else if (typeof right === 'string' && right.includes('/') && (type === 'ipv4_addr' || type === 'ipv6_addr')) {
    matchPrefix(w, left, right, not);
  } else {
    load(w, left, 0);
    compare(w, not ? CMP_OP.NEQ : CMP_OP.EQ, length, value);
  }
}

/** Whole bytes are loaded and compared alone, as nft does; else the address is masked. */
function matchPrefix(w: NfnetlinkWriter, left: NftSelector, right: string, not: boolean): void {
  const prefix = parsePrefix(right);
  const { type } = SELECTORS[left];
  if (prefix.length === 0) throw new NftValueError(`a match on ${right} says nothing: leave it out`);
  const whole = prefix.length % 8 === 0 && prefix.length > 0;
  const length = whole ? prefix.length / 8 : DATATYPES[type].length;
  load(w, left, 0, length);
  if (!whole) bitwise(w, length, (bytes, _view, at) => writeMask(bytes, at, prefix.length));
  const scratch = new Uint8Array(16);
  writeValue(scratch, new DataView(scratch.buffer), 0, type, prefix.ip);
  compare(w, not ? CMP_OP.NEQ : CMP_OP.EQ, length, (bytes, _view, at) => bytes.set(scratch.subarray(0, length), at));
}

function writeMask(bytes: Uint8Array, at: number, prefixLength: number): void {
  for (let bit = 0; bit < prefixLength; bit++) bytes[at + (bit >> 3)]! |= 0x80 >> (bit & 7);
}

function compileNat(
  w: NfnetlinkWriter,
  statement: Extract<NftStatement, { kind: 'snat' | 'dnat' }>,
  family: NftFamily,
): void {
  let protoWord: number | undefined;
  let toFamily = family === 'ip6' ? NFPROTO.ip6 : NFPROTO.ip;
  if ('map' in statement) {
    loadKey(w, statement.key);
    lookup(w, statement.map, { dreg: register(0) });
    if (statement.key.includes('ip6 daddr')) toFamily = NFPROTO.ip6;
    protoWord = toFamily === NFPROTO.ip6 ? 4 : 1;
  } else {
    const type = familyOf(statement.to) === 6 ? 'ipv6_addr' : 'ipv4_addr';
    toFamily = type === 'ipv6_addr' ? NFPROTO.ip6 : NFPROTO.ip;
    const { port } = statement;
    immediate(w, 0, DATATYPES[type].length, (bytes, view, at) => writeValue(bytes, view, at, type, statement.to));
    if (port !== undefined) {
      protoWord = 4;
      immediate(w, protoWord, 2, (bytes, view, at) => writeValue(bytes, view, at, 'inet_service', port));
    }
  }
  expression(w, 'nat', () => {
    w.u32(NAT.TYPE, NAT_TYPE[statement.kind]);
    w.u32(NAT.FAMILY, toFamily);
    w.u32(NAT.ADDR_MIN, register(0));
    if (protoWord !== undefined) w.u32(NAT.PROTO_MIN, register(protoWord));
  });
}

function compileReject(w: NfnetlinkWriter, how: string, family: NftFamily): void {
  expression(w, 'reject', () => {
    if (how === 'tcp reset') {
      w.u32(REJECT.TYPE, REJECT_TYPE.TCP_RESET);
      w.u8(REJECT.CODE, 0);
    } else {
      w.u32(REJECT.TYPE, family === 'inet' ? REJECT_TYPE.ICMPX : REJECT_TYPE.ICMP);
      w.u8(REJECT.CODE, REJECT_CODE[family][how as 'port-unreachable']);
    }
  });
}
