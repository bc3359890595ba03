// Room wire: arbitrary tables, sets, chains, rules and elements for property tests, within what nft 1.0.6 accepts as text.
import fc from 'fast-check';
import { formatIP } from '../../addr/ip.ts';
import { DATATYPES, type NftValueType } from './datatype.ts';
import { formatInterval } from './interval.ts';
import type { NftChain, NftDatatype, NftElement, NftItem, NftSet, NftValue } from './items.ts';
import type { NftRule, NftSelector, NftStatement } from './rule.ts';

const FAMILIES = ['ip', 'ip6'] as const;
type Family = (typeof FAMILIES)[number];

const port = fc.integer({ min: 1, max: 65535 });
const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatIP);
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatIP);
const protocol = fc.constantFrom('tcp', 'udp', 'sctp');
const u32 = fc.nat(0xffff_ffff);
const addressOf = (family: Family) => (family === 'ip' ? ipv4 : ipv6);

/** A prefix with its host bits zero; not /0, and not the whole address, which nft lists without its length. */
function prefixOf(family: Family): fc.Arbitrary<string> {
  const size = family === 'ip' ? 4 : 16;
  return fc
    .tuple(fc.uint8Array({ minLength: size, maxLength: size }), fc.integer({ min: 1, max: 8 * size - 1 }))
    .map(([bytes, length]) => {
      const masked = bytes.map((byte, i) => {
        const bits = Math.min(8, Math.max(0, length - 8 * i));
        return byte & (0xff << (8 - bits));
      });
      return `${formatIP(masked)}/${length}`;
    });
}

const maybeNot = fc.option(fc.constant(true as const), { nil: undefined });
const withNot = <T extends object>(not: true | undefined, rest: T) => (not ? { ...rest, not } : rest);

function match(family: Family): fc.Arbitrary<NftStatement> {
  const address = (selector: NftSelector) =>
    fc.oneof(addressOf(family), prefixOf(family)).map((right) => ({ left: selector, right }));
  const pair = (left: NftSelector, values: fc.Arbitrary<string | number>) => values.map((right) => ({ left, right }));
  const bits = (...names: string[]) => fc.subarray(names, { minLength: 1 }).map((some) => some.join(','));
  const both = fc.oneof(
    address(`${family} saddr`),
    address(`${family} daddr`),
    pair('meta mark', u32),
    pair('ct mark', u32),
    pair('iifname', fc.constantFrom('eth0', 'pw0123456789abc')),
    pair('oifname', fc.constantFrom('lo', 'pw-vxlan')),
    pair('ct state', bits('invalid', 'established', 'related', 'new', 'untracked')),
    pair('ct status', bits('assured', 'snat', 'dnat')),
    pair('fib daddr type', fc.constantFrom('local', 'unicast', 'multicast')),
    pair('th dport', port),
    addressOf(family).map((right) => ({ left: `ct original ${family} daddr` as const, right })),
  );
  return fc.tuple(maybeNot, both).map(([not, { left, right }]) => {
    const statement = { kind: 'match', left, right } as const;
    return withNot(not, statement);
  });
}

function verdict(chains: readonly string[]): fc.Arbitrary<NftStatement> {
  const plain = fc
    .constantFrom('accept', 'drop', 'return')
    .map((word) => ({ kind: 'verdict', verdict: word }) as const);
  const jump = fc
    .tuple(fc.constantFrom('jump', 'goto'), fc.constantFrom(...chains))
    .map(([word, chain]) => ({ kind: 'verdict', verdict: word, chain }) as const);
  return chains.length > 0 ? fc.oneof(plain, jump) : plain;
}

function action(): fc.Arbitrary<NftStatement> {
  return fc.oneof(
    fc.constant({ kind: 'counter' } as const),
    fc.constantFrom('hello ', 'dropped').map((prefix) => ({ kind: 'log', prefix }) as const),
    fc.nat(65535).map((group) => ({ kind: 'log', prefix: 'hello ', group }) as const),
    u32.map((mark) => ({ kind: 'set mark', mark }) as const),
    fc
      .tuple(
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom('second', 'minute', 'hour'),
        fc.integer({ min: 1, max: 99 }),
      )
      .map(([rate, per, burst]) => ({ kind: 'limit', rate, per, burst }) as const),
  );
}

/** A rule of a filter chain that may jump to `chains`. */
function filterRule(family: Family, chains: readonly string[]): fc.Arbitrary<NftRule> {
  const words = family === 'ip' ? (['ip saddr', 'ip daddr'] as const) : (['ip6 saddr', 'ip6 daddr'] as const);
  const within = maybeNot.map((not) => withNot(not, { kind: 'lookup', key: [words[0]], set: 'ranges' } as const));
  const target = ['iifname', 'meta mark', 'meta l4proto', 'th dport'] as const;
  const lookup = fc.oneof(
    within,
    fc.constant({ kind: 'lookup', key: target, set: 'allowed' } as const),
    fc.constant({ kind: 'lookup', key: target, set: 'allowed-ranges', ordered: true } as const),
    fc.constant({ kind: 'set mark', key: [words[0]], map: 'peers' } as const),
    fc.constant({ kind: 'set mark', key: [words[1]], map: 'blocks' } as const),
    fc.constant({ kind: 'set mark', key: target, map: 'decided' } as const),
    fc.constant({ kind: 'set mark', key: target, map: 'decided-ranges', ordered: true } as const),
    maybeNot.map((not) => withNot(not, { kind: 'lookup', key: [...words], set: 'pairs' } as const)),
  );
  const vmap = fc.constant({ kind: 'vmap', key: [words[1], 'meta l4proto', 'th dport'], map: 'services' } as const);
  const reject = fc
    .constantFrom('port-unreachable', 'admin-prohibited')
    .map((how) => ({ kind: 'reject', with: how }) as const);
  const end = fc.oneof(verdict(chains), vmap, reject, fc.constant({ kind: 'notrack' } as const));
  const statements = fc
    .tuple(fc.array(match(family), { maxLength: 3 }), fc.option(lookup), fc.array(action(), { maxLength: 2 }), end)
    .map(([matches, found, actions, last]): NftStatement[] => [
      ...matches,
      ...(found ? [found] : []),
      ...actions,
      last,
    ]);
  const flags = fc
    .tuple(maybeNot, fc.subarray(['fin', 'syn', 'rst', 'ack'], { minLength: 1 }), verdict(chains))
    .map(([not, names, last]): NftStatement[] => [
      { kind: 'match', left: 'meta l4proto', right: 'tcp' },
      withNot(not, { kind: 'match', left: 'tcp flags', right: names.join(',') } as const),
      last,
    ]);
  return commented(fc.oneof({ weight: 5, arbitrary: statements }, flags));
}

function commented(statements: fc.Arbitrary<NftStatement[]>): fc.Arbitrary<NftRule> {
  return fc
    .tuple(statements, fc.option(fc.constantFrom('Service/shop/web', 'Node/worker-1'), { nil: undefined }))
    .map(([list, comment]) => (comment === undefined ? { statements: list } : { statements: list, comment }));
}

/** A rule of a chain that is reached from nat hooks only. */
function dnatRule(family: Family): fc.Arbitrary<NftRule> {
  const [saddr, daddr] = family === 'ip' ? (['ip saddr', 'ip daddr'] as const) : (['ip6 saddr', 'ip6 daddr'] as const);
  const mod = fc.integer({ min: 1, max: 100 });
  const part = fc.oneof(
    mod.map((n) => ({ compute: 'random', mod: n }) as const),
    mod.map((n) => ({ compute: 'random', mod: n, offset: 65536 }) as const),
    mod.map((n) => ({ compute: 'jhash', of: [saddr], mod: n }) as const),
  );
  const target = fc.oneof(
    part.map(
      (computed) => ({ kind: 'dnat', key: [daddr, 'meta l4proto', 'th dport', computed], map: 'endpoints' }) as const,
    ),
    addressOf(family).map((to) => ({ kind: 'dnat', to }) as const),
    fc.tuple(addressOf(family), port).map(([to, number]) => ({ kind: 'dnat', to, port: number }) as const),
    port.map((number) => ({ kind: 'redirect', port: number }) as const),
  );
  return commented(
    fc
      .tuple(protocol, target)
      .map(([right, last]): NftStatement[] => [{ kind: 'match', left: 'meta l4proto', right }, last]),
  );
}

function snatRule(family: Family): fc.Arbitrary<NftRule> {
  const target = fc.oneof(
    fc.constant({ kind: 'masquerade' } as const),
    addressOf(family).map((to) => ({ kind: 'snat', to }) as const),
  );
  return commented(fc.tuple(match(family), target).map((list): NftStatement[] => [...list]));
}

function elements(
  family: Family,
  set: NftSet,
  data: fc.Arbitrary<NftElement['data']> | undefined,
): fc.Arbitrary<NftElement[]> {
  const value = (type: NftDatatype): fc.Arbitrary<NftValue> => {
    if (type === 'inet_proto') return protocol;
    if (type === 'inet_service') return port;
    if (type === 'ifname') return fc.constantFrom('eth0', 'pw0123456789abc');
    if (type === 'mark') return u32;
    return type === 'integer' ? fc.nat(1000) : addressOf(family);
  };
  const key = fc.tuple(...set.key.map(value));
  const { family: _, kind, key: types, data: dataTypes, flags, counter, ...place } = set;
  return fc
    .uniqueArray(fc.tuple(key, data ?? fc.constant(undefined), fc.boolean()), {
      selector: ([k]) => k.join(),
      maxLength: 8,
    })
    .map((list) =>
      list.map(([parts, held, named]) => ({
        kind: 'element',
        family,
        ...place,
        key: parts,
        ...(held !== undefined && { data: held }),
        ...(named && { comment: 'Service/shop/web' }),
      })),
    );
}

/** Ranges of ports under keys of which no two are the same. */
function portRanges(family: Family, set: NftSet): fc.Arbitrary<NftElement[]> {
  const range = fc.tuple(port, port).map(([a, b]) => (a === b ? a : `${Math.min(a, b)}-${Math.max(a, b)}`));
  const entry = fc.tuple(fc.constantFrom('eth0', 'pw12'), u32, protocol, range);
  return fc.uniqueArray(entry, { selector: (key) => key.slice(0, 3).join(), maxLength: 6 }).map((keys) =>
    keys.map((key, i) => {
      const data = set.data && { data: [i + 1] };
      return { kind: 'element', family, table: set.table, set: set.set, key, ...data };
    }),
  );
}

/** Intervals that do not touch: nft would join those that do. */
function ranges(family: Family, set: NftSet): fc.Arbitrary<NftElement[]> {
  const type = set.key[0] as NftValueType;
  const bits = 8 * DATATYPES[type].length;
  return fc
    .uniqueArray(fc.bigInt({ min: 0n, max: 1n << BigInt(bits) }), { minLength: 2, maxLength: 9 })
    .map((bounds) => {
      const sorted = bounds.toSorted((a, b) => (a < b ? -1 : 1));
      return sorted.flatMap((start, i): NftElement[] => {
        const end = sorted[i + 1];
        if (i % 2 === 1 || end === undefined) return [];
        const key = formatInterval(end === 1n << BigInt(bits) ? { start } : { start, end }, type);
        const data = set.data && { data: [i + 1] };
        return [{ kind: 'element', family, table: set.table, set: set.set, key: [key], ...data }];
      });
    });
}

/** A whole table, items in an order in which each only needs what came before. */
export const ruleset: fc.Arbitrary<NftItem[]> = fc.constantFrom(...FAMILIES).chain((family) => {
  const place = { family, table: 'podwire' } as const;
  const address: NftDatatype = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  const key: NftDatatype[] = [address, 'inet_proto', 'inet_service'];
  const services: NftSet = { kind: 'set', ...place, set: 'services', key, data: ['verdict'] };
  const endpoints: NftSet = {
    kind: 'set',
    ...place,
    set: 'endpoints',
    key: [...key, 'integer'],
    data: [address, 'inet_service'],
  };
  const pairs: NftSet = { kind: 'set', ...place, set: 'pairs', key: [address, address] };
  const interval: NftSet = { kind: 'set', ...place, set: 'ranges', key: [address], flags: ['interval'] };
  const blocks: NftSet = { ...interval, set: 'blocks', data: ['mark'] };
  const peers: NftSet = { kind: 'set', ...place, set: 'peers', key: [address], data: ['mark'] };
  const target: NftDatatype[] = ['ifname', 'mark', 'inet_proto', 'inet_service'];
  const allowed: NftSet = { kind: 'set', ...place, set: 'allowed', key: target, counter: true };
  const allowedRanges: NftSet = { ...allowed, set: 'allowed-ranges', flags: ['interval'] };
  const decided: NftSet = { ...allowed, set: 'decided', data: ['mark'] };
  const decidedRanges: NftSet = { ...decided, set: 'decided-ranges', flags: ['interval'] };
  const marks = u32.map((mark): NftValue[] => [mark]);
  const chain = (name: string, rule: fc.Arbitrary<NftRule>, base?: NftChain['base']): fc.Arbitrary<NftItem> =>
    fc
      .array(rule, { maxLength: 4 })
      .map((rules) => ({ kind: 'chain', ...place, chain: name, ...(base && { base }), rules }));
  const policy = fc.constantFrom({}, { policy: 'drop' } as const);
  const verdicts = fc.constantFrom(
    { verdict: 'goto', chain: 'leaf' } as const,
    { verdict: 'accept' } as const,
    { verdict: 'drop' } as const,
  );
  return fc
    .tuple(
      chain('leaf', commented(match(family).map((one): NftStatement[] => [one, { kind: 'verdict', verdict: 'drop' }]))),
      policy.chain((p) =>
        chain('input', filterRule(family, ['leaf']), { type: 'filter', hook: 'input', priority: 0, ...p }),
      ),
      chain('dstnat', dnatRule(family), { type: 'nat', hook: 'prerouting', priority: -100 }),
      chain('srcnat', snatRule(family), { type: 'nat', hook: 'postrouting', priority: 100 }),
      elements(family, services, verdicts),
      elements(
        family,
        endpoints,
        fc.tuple(addressOf(family), port).map((values): NftValue[] => values),
      ),
      elements(family, pairs, undefined),
      ranges(family, interval),
      ranges(family, blocks),
      elements(family, peers, marks),
      elements(family, allowed, undefined),
      portRanges(family, allowedRanges),
      elements(family, decided, marks),
      portRanges(family, decidedRanges),
    )
    .map(([leaf, input, dstnat, srcnat, ...lists]): NftItem[] => [
      { kind: 'table', ...place },
      services,
      endpoints,
      pairs,
      interval,
      blocks,
      peers,
      allowed,
      allowedRanges,
      decided,
      decidedRanges,
      leaf,
      input,
      dstnat,
      srcnat,
      ...lists.flat(),
    ]);
});
