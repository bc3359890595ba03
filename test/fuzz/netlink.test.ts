// Whatever bytes come, a netlink decoder tells what they say or throws one error of one kind; it never runs off.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NftElement, NftItem, NftSet } from '../../src/kernel/nft-items.ts';
import { CONNTRACK_GET, decodeEntry, encodeDelete } from '../../src/wire/conntrack/entry.ts';
import { decodeAddress, newAddress } from '../../src/wire/netlink/address.ts';
import { decodeLink, newLink } from '../../src/wire/netlink/link.ts';
import { decodeMessages, decodeStatus, encodeRequests, type NetlinkMessage } from '../../src/wire/netlink/message.ts';
import { decodeNeighbour, newFdbEntry, newNeighbour } from '../../src/wire/netlink/neighbour.ts';
import { decodeNetconf } from '../../src/wire/netlink/netconf.ts';
import { decodeQdisc, replaceTokenBucket } from '../../src/wire/netlink/qdisc.ts';
import { decodeRoute, newRoute } from '../../src/wire/netlink/route.ts';
import { encodeBatch } from '../../src/wire/nft/batch.ts';
import {
  decodeChain,
  decodeCounts,
  decodeElements,
  decodeGeneration,
  decodeRule,
  decodeSet,
  decodeTable,
} from '../../src/wire/nft/dump.ts';
import { randomFrom, seed, times } from '../long.ts';

const INPUTS = times(20_000, 1_000_000);
const place = { family: 'ip', table: 'podwire' } as const;
const map: NftSet = {
  kind: 'set',
  ...place,
  set: 'ports',
  key: ['ipv4_addr', 'inet_proto', 'inet_service'],
  data: ['verdict'],
};
const element: NftElement = {
  kind: 'element',
  ...place,
  set: 'ports',
  key: ['10.0.0.1', 'tcp', 80],
  data: { verdict: 'goto', chain: 'n1' },
  comment: 'Service/shop/web',
};
const ITEMS: NftItem[] = [
  { kind: 'table', ...place },
  map,
  {
    kind: 'chain',
    ...place,
    chain: 'n1',
    base: { type: 'nat', hook: 'prerouting', priority: -100 },
    rules: [
      {
        statements: [
          { kind: 'match', left: 'ip saddr', right: '10.244.0.0/15' },
          { kind: 'lookup', key: ['ip daddr'], set: 'nodes' },
          { kind: 'snat', to: '172.30.0.11', port: 80 },
        ],
      },
      { statements: [{ kind: 'vmap', key: ['ip daddr', 'meta l4proto', 'th dport'], map: 'ports' }], comment: 'why' },
      {
        statements: [
          { kind: 'limit', rate: 5, per: 'minute', burst: 2 },
          { kind: 'reject', with: 'tcp reset' },
        ],
      },
    ],
  },
  element,
];

/** Datagrams as we and the kernel write them. */
function samples(): Uint8Array[] {
  const settings = { up: true, mtu: 1450, mac: '02:00:00:00:00:01' };
  const requests = [
    newLink('pw-vxlan', { kind: 'vxlan', vni: 1, local: '172.30.0.11', port: 8472 }, settings),
    newLink('pw1', { kind: 'veth', peer: { name: 'eth0', mtu: 1450 } }, settings),
    newAddress({ index: 2, address: 'fd00::1/64', noPrefixRoute: true, protocol: 201 }),
    newNeighbour(2, '10.244.0.7', '02:00:00:00:00:02'),
    newFdbEntry(2, '02:00:00:00:00:02', '172.30.0.12'),
    newRoute(
      { dst: '10.244.1.0/24', type: 'unicast', protocol: 201, table: 254, scope: 'global', metric: 1, index: 2 },
      true,
    ),
    replaceTokenBucket(2, { rate: 1e6, burst: 1e5, limit: 2e5 }),
    {
      type: 2,
      flags: 0x200,
      body: Uint8Array.of(...[0xea, 0xff, 0xff, 0xff], ...new Uint8Array(16), 8, 0, 1, 0, 104, 105, 0, 0),
    },
    {
      ...encodeDelete({
        original: { src: '10.0.0.1', dst: '10.0.0.2', protocol: 17, srcPort: 1, dstPort: 53 },
        reply: { src: '10.0.0.2', dst: '10.0.0.1', protocol: 17, srcPort: 53, dstPort: 1 },
        id: 7,
      }),
      type: CONNTRACK_GET,
    },
  ];
  const batch = encodeBatch({ add: ITEMS, change: [], remove: [] }, { firstSeq: 1, destroy: true, setOf: () => map });
  return [...requests.map((request) => encodeRequests([request], 1)), encodeRequests(requests, 1), batch.bytes];
}

const DECODERS: readonly ((message: NetlinkMessage) => unknown)[] = [
  decodeLink,
  decodeAddress,
  decodeNeighbour,
  decodeRoute,
  decodeQdisc,
  decodeNetconf,
  decodeStatus,
  ({ body }) => decodeEntry(body),
  ({ body }) => decodeTable(body),
  ({ body }) => decodeChain(body),
  ({ body }) => decodeRule(body),
  ({ body }) => decodeSet(body),
  ({ body }) => decodeElements([body], map),
  ({ body }) => decodeCounts([body], map),
  ({ body }) => decodeGeneration(body),
];

/** Cut off, flipped, with numbers at their limits, parts copied over others, or nothing but noise. */
function mutated(random: (below: number) => number, sources: readonly Uint8Array[]): Uint8Array {
  const bytes = Uint8Array.from(sources[random(sources.length)]!);
  if (random(20) === 0) return Uint8Array.from({ length: random(80) }, () => random(256));
  for (let n = 1 + random(4); n > 0; n--) {
    const at = random(bytes.length);
    const what = random(4);
    if (what === 0) bytes[at] = random(256);
    else if (what === 1) bytes[at]! ^= 1 << random(8);
    else if (what === 2) bytes[at] = [0, 1, 3, 4, 0x7f, 0x80, 0xff][random(7)]!;
    else bytes.copyWithin(at, random(bytes.length), random(bytes.length));
  }
  return random(4) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
}

/** Kinds of error, by their names: whoever reads a dump knows both. */
const SAID = new Set(['NetlinkFormatError', 'NftForeignError', 'NftValueError']);

function attempt<T>(what: string, bytes: Uint8Array, decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof Error && SAID.has(error.name)) return undefined;
    const hex = Buffer.from(bytes).toString('hex');
    throw new Error(`${what} of ${hex}: ${error instanceof Error ? error.stack : error}`, { cause: error });
  }
}

test(`${INPUTS} datagrams that no kernel sends`, (t) => {
  const start = seed();
  t.diagnostic(`PODWIRE_SEED=${start}`);
  const random = randomFrom(start);
  const sources = samples();
  let understood = 0;
  for (let i = 0; i < INPUTS; i++) {
    const bytes = mutated(random, sources);
    for (const message of attempt('the datagram', bytes, () => decodeMessages(bytes)) ?? []) {
      for (const [n, decode] of DECODERS.entries()) {
        if (attempt(`decoder ${n}`, message.body, () => [decode(message)])) understood++;
      }
    }
  }
  assert.ok(understood > INPUTS, 'most of what is changed a little can still be read by some');
});
