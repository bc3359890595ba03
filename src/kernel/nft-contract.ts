// Room kernel: what every keeper of nftables and of connection tracking must do, as tests: run over the fakes and over the kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { PROTOCOL_NUMBERS } from '../wire/conntrack/entry.ts';
import type { ConntrackFilter, KernelError, TrackedFlow } from './kernel.ts';
import type { ConntrackBackend, NftBackend } from './nft.ts';
import type { NftChain, NftElement, NftItem, NftSet } from './nft-items.ts';

export interface NftSubject extends Disposable {
  readonly nft: NftBackend;
}

const place = { family: 'ip', table: 'podwire' } as const;
const table: NftItem = { kind: 'table', ...place };
const services: NftSet = {
  kind: 'set',
  ...place,
  set: 'services',
  key: ['ipv4_addr', 'inet_proto', 'inet_service'],
  data: ['verdict'],
};
const endpoints: NftSet = {
  kind: 'set',
  ...place,
  set: 'endpoints',
  key: ['ipv4_addr', 'inet_proto', 'inet_service', 'integer'],
  data: ['ipv4_addr', 'inet_service'],
};
const refuse: NftChain = {
  kind: 'chain',
  ...place,
  chain: 'refuse',
  rules: [{ statements: [{ kind: 'reject', with: 'port-unreachable' }], comment: 'Node/worker-1' }],
};
const hook: NftChain = {
  kind: 'chain',
  ...place,
  chain: 'hook',
  base: { type: 'filter', hook: 'input', priority: 0 },
  rules: [{ statements: [{ kind: 'vmap', key: ['ip daddr', 'meta l4proto', 'th dport'], map: 'services' }] }],
};
const service: NftElement = {
  kind: 'element',
  ...place,
  set: 'services',
  key: ['10.96.0.1', 'tcp', 80],
  data: { verdict: 'goto', chain: 'refuse' },
  comment: 'Service/shop/web',
};
const endpoint: NftElement = {
  kind: 'element',
  ...place,
  set: 'endpoints',
  key: ['10.96.0.1', 'tcp', 80, 0],
  data: ['10.244.0.5', 8080],
};
const all: NftItem[] = [table, services, endpoints, refuse, hook, service, endpoint];

function assertHolds(nft: NftBackend, ...wanted: NftItem[]): void {
  assertSame(nft.read(), wanted);
}

function assertSame(items: readonly NftItem[], wanted: readonly NftItem[]): void {
  const text = (each: readonly NftItem[]) => each.map((item) => JSON.stringify(sorted(item))).toSorted();
  assert.deepEqual(text(items), text(wanted));
}

/** The same fields in one order, so that text can be compared. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, held]) => [name, sorted(held)]),
  );
}

function refuses(act: () => void, code: string): void {
  assert.throws(act, (error: KernelError) => error.name === 'KernelError' && error.code === code, `expected ${code}`);
}

const LAWS: Record<string, (nft: NftBackend) => void | Promise<void>> = {
  'what is added is read back, comments and all': (nft) => {
    assertHolds(nft);
    nft.apply(all.toReversed(), [], []);
    assertHolds(nft, ...all);
  },

  'adding what is there changes nothing': (nft) => {
    nft.apply(all, [], []);
    nft.apply(all, [], []);
    assertHolds(nft, ...all);
  },

  'removing all leaves nothing, and removing what is gone succeeds': (nft) => {
    nft.apply(all, [], []);
    nft.apply([], [], all);
    assertHolds(nft);
    nft.apply([], [], all);
    nft.apply([], [], [service, refuse]);
    assertHolds(nft);
  },

  'removing what is gone does not hold up the rest': (nft) => {
    nft.apply(all, [], []);
    const other: NftElement = { ...service, key: ['10.96.0.9', 'udp', 53] };
    const lost: NftChain = { ...refuse, chain: 'lost', rules: [] };
    const lostSet: NftSet = { ...endpoints, set: 'lost-set' };
    nft.apply([other], [], [endpoint, { ...endpoint, key: ['10.96.0.1', 'tcp', 80, 7] }, lost, lostSet]);
    assertHolds(nft, table, services, endpoints, refuse, hook, service, other);
  },

  'an element changes its data, and a chain its rules, in place': (nft) => {
    nft.apply(all, [], []);
    const to: NftElement = { ...service, data: { verdict: 'drop' } };
    const accepting: NftChain = { ...refuse, rules: [{ statements: [{ kind: 'verdict', verdict: 'accept' }] }] };
    nft.apply(
      [],
      [
        { from: service, to },
        { from: refuse, to: accepting },
      ],
      [],
    );
    assertHolds(nft, table, services, endpoints, accepting, hook, to, endpoint);
  },

  'an element that is there with other data is replaced': (nft) => {
    nft.apply(all, [], []);
    const other: NftElement = { ...endpoint, data: ['10.244.0.6', 9090] };
    const more: NftElement = { ...endpoint, key: ['10.96.0.1', 'tcp', 80, 1] };
    nft.apply([other, more], [], []);
    assertHolds(nft, table, services, endpoints, refuse, hook, service, other, more);
  },

  'an element without its set, and a rule without its chain, are ENOENT': (nft) => {
    nft.apply([table], [], []);
    refuses(() => nft.apply([endpoint], [], []), 'ENOENT');
    refuses(() => nft.apply([services, service], [], []), 'ENOENT');
    refuses(() => nft.apply([hook], [], []), 'ENOENT');
  },

  'a refused batch changes nothing': (nft) => {
    nft.apply([table, services, refuse], [], []);
    refuses(
      () =>
        nft.apply(
          [service, hook, { ...service, key: ['1.1.1.1', 'tcp', 1], data: { verdict: 'goto', chain: 'nowhere' } }],
          [],
          [],
        ),
      'ENOENT',
    );
    assertHolds(nft, table, services, refuse);
  },

  'a chain or a set that something points to is EBUSY': (nft) => {
    nft.apply(all, [], []);
    refuses(() => nft.apply([], [], [refuse]), 'EBUSY');
    refuses(() => nft.apply([], [], [services]), 'EBUSY');
    assertHolds(nft, ...all);
    nft.apply([], [], [hook, service, refuse, services]);
    assertHolds(nft, table, endpoints, endpoint);
  },

  'a table goes with all in it, and another one stays': (nft) => {
    const other = { family: 'ip6', table: 'podwire' } as const;
    const rest: NftItem[] = [
      { kind: 'table', ...other },
      { kind: 'set', ...other, set: 'hairpin', key: ['ipv6_addr', 'ipv6_addr'] },
      { kind: 'element', ...other, set: 'hairpin', key: ['fd00::1', 'fd00::1'] },
    ];
    nft.apply([...all, ...rest], [], []);
    nft.apply([], [], [table]);
    assertHolds(nft, ...rest);
  },

  'a chain is left by its last element and goes in the same batch': (nft) => {
    nft.apply(all, [], []);
    const second: NftChain = { ...refuse, chain: 'second' };
    const to: NftElement = { ...service, data: { verdict: 'goto', chain: 'second' } };
    nft.apply([second], [{ from: service, to }], [refuse]);
    assertHolds(nft, table, services, endpoints, second, hook, to, endpoint);
  },

  'intervals: prefixes, ranges and single values, side by side, up to the last address': (nft) => {
    const ranges: NftSet = { kind: 'set', ...place, set: 'ranges', key: ['ipv4_addr'], flags: ['interval'] };
    const elements = ['10.0.0.0/8', '11.0.0.0-11.0.0.6', '11.0.0.7', '255.255.255.0/24'].map(
      (key): NftElement => ({ kind: 'element', ...place, set: 'ranges', key: [key], comment: key }),
    );
    nft.apply([table, ranges, ...elements], [], []);
    assertHolds(nft, table, ranges, ...elements);
    nft.apply(elements, [], []);
    assertHolds(nft, table, ranges, ...elements);
    nft.apply([], [], elements.slice(1, 2));
    nft.apply([], [], elements.slice(1, 2));
    assertHolds(nft, table, ranges, elements[0]!, ...elements.slice(2));
    nft.apply([], [], elements);
    assertHolds(nft, table, ranges);
  },

  'intervals of concatenations, and elements that count: put in twice, read back, changed, taken away': (nft) => {
    const key: NftSet['key'] = ['ifname', 'mark', 'inet_proto', 'inet_service'];
    const exact: NftSet = { kind: 'set', ...place, set: 'allowed', key, counter: true };
    const ranges: NftSet = { ...exact, set: 'ranges', flags: ['interval'] };
    const element = (set: string, ...parts: NftElement['key']): NftElement => ({
      kind: 'element',
      ...place,
      set,
      key: parts,
      comment: 'NetworkPolicy/shop/web ingress[0]',
    });
    const held = [
      element('allowed', 'pw12', 7, 'tcp', 80),
      element('allowed', 'pw12', 0xffff_ffff, 'sctp', 1),
      element('ranges', 'pw12', 0x0102_0304, 'tcp', '80-90'),
      element('ranges', 'pw12', 0x0102_0304, 'udp', '80-90'),
      element('ranges', 'pw0123456789abc', 7, 'udp', '1-65535'),
      element('ranges', 'pw12', 7, 'tcp', 65535),
    ];
    nft.apply([table, exact, ranges, ...held], [], []);
    nft.apply(held, [], []);
    assertHolds(nft, table, exact, ranges, ...held);
    const more = element('ranges', 'pw12', 0x0102_0304, 'tcp', '91-100');
    nft.apply([more], [], [held[0]!, held[2]!]);
    nft.apply([], [], [held[2]!]);
    assertHolds(nft, table, exact, ranges, held[1]!, ...held.slice(3), more);
    const counts = nft.counts(exact);
    assert.deepEqual(counts, [{ key: held[1]!.key, packets: 0, bytes: 0 }]);
  },

  'what is read piece by piece, and looked up one by one, is what is read at once': async (nft) => {
    const key: NftSet['key'] = ['mark', 'inet_proto', 'inet_service'];
    const ranges: NftSet = { kind: 'set', ...place, set: 'ranges', key: ['ipv4_addr'], flags: ['interval'] };
    const ports: NftSet = { kind: 'set', ...place, set: 'ports', key, flags: ['interval'] };
    const many = Array.from(
      { length: 1500 },
      (_, i): NftElement => ({ ...endpoint, key: ['10.96.0.2', 'udp', 80, i] }),
    );
    const intervals = ['10.0.0.0/8', '11.0.0.7'].map(
      (part): NftElement => ({ kind: 'element', ...place, set: 'ranges', key: [part] }),
    );
    const held = [
      ...many,
      ...intervals,
      { kind: 'element', ...place, set: 'ports', key: [7, 'tcp', '80-90'] } as const,
    ];
    nft.apply([...all, ranges, ports, ...held], [], []);
    const found: NftElement[] = [];
    let largest = 0;
    for (const set of [services, endpoints, ranges, ports]) {
      for await (const piece of nft.elementsOf(set)) {
        found.push(...piece);
        largest = Math.max(largest, piece.length);
      }
    }
    assert.ok(largest < 1000, `${largest} elements at once`);
    assertSame([...nft.readFrame(), ...found], nft.read());
    const lost: NftElement[] = [
      { ...service, key: ['10.96.0.1', 'udp', 80] },
      { ...intervals[0]!, key: ['10.0.0.0/9'] },
    ];
    const wrong: NftElement = { ...endpoint, data: ['10.0.0.9', 1] };
    assert.deepEqual(nft.lookUp([lost[0]!, wrong, ...intervals, lost[1]!, service]), [
      undefined,
      endpoint,
      ...intervals,
      undefined,
      service,
    ]);
    assertSame(nft.lookUp(held) as NftElement[], held);
  },

  'thousands of elements in one batch': (nft) => {
    const many = Array.from(
      { length: 5000 },
      (_, i): NftElement => ({ ...endpoint, key: ['10.96.0.1', 'tcp', 80, i] }),
    );
    nft.apply([table, endpoints, ...many], [], []);
    assertHolds(nft, table, endpoints, ...many);
    nft.apply([], [], many.slice(1));
    assertHolds(nft, table, endpoints, many[0]!);
  },
};

/** Declares one test for each law. `open` gives a fresh subject. */
export function nftContract(name: string, open: () => NftSubject, skip: string | false = false): void {
  for (const [law, check] of Object.entries(LAWS)) {
    test(`${name}: ${law}`, { skip }, async () => {
      using subject = open();
      await check(subject.nft);
    });
  }
}

/** A flow that the subject is asked to have: from a client to `dst`, sent on to `to`. */
export interface Flow {
  readonly protocol: 'TCP' | 'UDP';
  readonly dst: string;
  readonly port: number;
  readonly to: string;
  readonly toPort: number;
}

export interface ConntrackSubject extends Disposable {
  readonly conntrack: ConntrackBackend;
  has(flow: Flow): boolean;
}

const FLOWS = {
  one: { protocol: 'UDP', dst: '10.96.0.1', port: 53, to: '10.244.0.5', toPort: 5353 },
  two: { protocol: 'UDP', dst: '10.96.0.1', port: 53, to: '10.244.0.6', toPort: 5353 },
  other: { protocol: 'UDP', dst: '10.96.0.2', port: 53, to: '10.244.0.5', toPort: 5353 },
  tcp: { protocol: 'TCP', dst: '10.96.0.1', port: 53, to: '10.244.0.5', toPort: 5353 },
  six: { protocol: 'UDP', dst: 'fd00:10:96::1', port: 53, to: 'fd00:10:244::5', toPort: 5353 },
} as const satisfies Record<string, Flow>;
type FlowName = keyof typeof FLOWS;

const FLUSHES: Record<string, [filters: ConntrackFilter[], flushed: FlowName[]]> = {
  'all flows to an address and port, of one protocol': [
    [{ protocol: 'UDP', originalDst: '10.96.0.1', originalDstPort: 53 }],
    ['one', 'two'],
  ],
  'all but those to endpoints that stay': [
    [{ protocol: 'UDP', originalDst: '10.96.0.1', originalDstPort: 53, except: [{ ip: '10.244.0.6', port: 5353 }] }],
    ['one'],
  ],
  'flows that were sent to one endpoint': [
    [{ protocol: 'UDP', replySrc: '10.244.0.5', replySrcPort: 5353 }],
    ['one', 'other'],
  ],
  'flows of either family, by several filters at once': [
    [
      { protocol: 'UDP', originalDst: 'fd00:10:96::1', originalDstPort: 53 },
      { protocol: 'TCP', originalDst: '10.96.0.1' },
    ],
    ['tcp', 'six'],
  ],
  'nothing when nothing matches': [[{ protocol: 'SCTP', originalDst: '10.96.0.1' }], []],
};

/** `open` gives a subject that has these flows. */
export function conntrackContract(
  name: string,
  open: (flows: readonly Flow[]) => ConntrackSubject,
  skip: string | false = false,
): void {
  for (const [law, [filters, flushed]] of Object.entries(FLUSHES)) {
    test(`${name}: flushes ${law}`, { skip }, () => {
      using subject = open(Object.values(FLOWS));
      assert.ok(Object.values(FLOWS).every((flow) => subject.has(flow)));
      assert.equal(subject.conntrack.flush(filters), flushed.length);
      for (const [key, flow] of Object.entries(FLOWS)) {
        assert.equal(subject.has(flow), !flushed.includes(key as FlowName), key);
      }
      assert.equal(subject.conntrack.flush(filters), 0);
    });
  }
  // From enough other ends, all entries are gone through at once.
  for (const [many, others] of [
    ['one walk for each end', 0],
    ['one walk for all ends', 20],
  ] as const) {
    test(`${name}: of flows with the ends that are asked for, those that are doomed are cut: ${many}`, {
      skip,
    }, async () => {
      using subject = open(Object.values(FLOWS));
      const strangers = Array.from({ length: others }, (_, i) => ({ originalSrc: `203.0.113.${i + 10}` }));
      const ends = [{ replySrc: FLOWS.one.to }, { replySrc: FLOWS.six.to }, ...strangers];
      const asked = new Set<string>();
      const count = await subject.conntrack.cut(ends, ({ original, reply }) => {
        asked.add(`${original.protocol} ${original.dst} ${reply.src}`);
        return original.protocol === PROTOCOL_NUMBERS.UDP;
      });
      const expected = [FLOWS.one, FLOWS.other, FLOWS.six, FLOWS.tcp];
      assert.deepEqual(
        asked,
        new Set(expected.map(({ protocol, dst, to }) => `${PROTOCOL_NUMBERS[protocol]} ${dst} ${to}`)),
      );
      assert.equal(count, 3);
      const isDoomed = ({ original }: TrackedFlow) => original.protocol === PROTOCOL_NUMBERS.UDP;
      assert.equal(await subject.conntrack.cut(ends, isDoomed), 0);
      // Of UDP an entry stays for some seconds, of which each packet is judged.
      const left = () => Object.values(FLOWS).filter((flow) => subject.has(flow));
      for (const end = Date.now() + 60_000; left().length > 2 && Date.now() < end; ) await setTimeout(50);
      assert.deepEqual(left(), [FLOWS.two, FLOWS.tcp]);
      assert.equal(await subject.conntrack.cut([{ originalSrc: '203.0.113.200' }], () => true), 0);
    });
  }
}
