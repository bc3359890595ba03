// Room wire: the DNS codec against itself, against dns-packet, and against bytes that mean harm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as packet from 'dns-packet';
import fc from 'fast-check';
import { formatIP } from '../../addr/ip.ts';
import { CLASS, type Message, type Name, type ResourceRecord, TYPE } from './message.ts';
import { isWithin, labelText, relativeTo } from './name.ts';
import { decodeMessage } from './reader.ts';
import { recordText } from './text.ts';
import { encodeMessage, queryMessage } from './writer.ts';

const plainLabel = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
const plainName = fc.array(plainLabel, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'));
const anyName: fc.Arbitrary<Name> = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 3 })
  .map((labels) => labels.map((label) => labelText(label, 0, label.length)).join('.') || '.');
const u8 = fc.nat(255);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatIP);
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatIP);
const latin1 = fc.array(u8, { maxLength: 255 }).map((bytes) => String.fromCharCode(...bytes));

const head = (name: fc.Arbitrary<Name>) => ({ name, class: u16, ttl: fc.nat(0x7fffffff) });
const record = (name: fc.Arbitrary<Name>): fc.Arbitrary<ResourceRecord> =>
  fc.oneof(
    fc.record({ type: fc.constant('A' as const), address: ipv4, ...head(name) }),
    fc.record({ type: fc.constant('AAAA' as const), address: ipv6, ...head(name) }),
    fc.record({ type: fc.constantFrom('CNAME' as const, 'NS' as const, 'PTR' as const), target: name, ...head(name) }),
    fc.record({
      type: fc.constant('SRV' as const),
      priority: u16,
      weight: u16,
      port: u16,
      target: name,
      ...head(name),
    }),
    fc.record({ type: fc.constant('TXT' as const), strings: fc.array(latin1, { maxLength: 3 }), ...head(name) }),
    fc.record({
      type: fc.constant('SOA' as const),
      mname: name,
      rname: name,
      serial: u32,
      refresh: u32,
      retry: u32,
      expire: u32,
      minimum: u32,
      ...head(name),
    }),
    fc.record({
      type: fc.constant('other' as const),
      code: fc.constantFrom(13, 43, 46, 64, 65, 257, 65280),
      data: fc.uint8Array({ maxLength: 300 }),
      ...head(name),
    }),
  );

const message: fc.Arbitrary<Message> = fc.record(
  {
    id: u16,
    response: fc.boolean(),
    opcode: fc.nat(15),
    authoritative: fc.boolean(),
    truncated: fc.boolean(),
    recursionDesired: fc.boolean(),
    recursionAvailable: fc.boolean(),
    authenticData: fc.boolean(),
    checkingDisabled: fc.boolean(),
    rcode: fc.nat(15),
    questions: fc.array(fc.record({ name: anyName, type: u16, class: u16 }), { maxLength: 2 }),
    answers: fc.array(record(anyName), { maxLength: 5 }),
    authorities: fc.array(record(anyName), { maxLength: 3 }),
    additionals: fc.array(record(anyName), { maxLength: 3 }),
    edns: fc.record({
      udpSize: u16,
      version: u8,
      dnssecOk: fc.boolean(),
      options: fc.array(fc.record({ code: u16, data: fc.uint8Array({ maxLength: 20 }) }), { maxLength: 2 }),
    }),
  },
  {
    requiredKeys: [
      'id',
      'response',
      'opcode',
      'authoritative',
      'truncated',
      'recursionDesired',
      'recursionAvailable',
      'authenticData',
      'checkingDisabled',
      'rcode',
      'questions',
      'answers',
      'authorities',
      'additionals',
    ],
  },
);

function read(bytes: Uint8Array): Message {
  const decoded = decodeMessage(bytes);
  assert.ok(!('malformed' in decoded), JSON.stringify(decoded));
  return decoded;
}

test('what was written is read back, names with any bytes included', () => {
  fc.assert(
    fc.property(message, (m) => assert.deepEqual(read(encodeMessage(m)), structuredClone(m))),
    { numRuns: 300 },
  );
});

test('no bytes make the reader throw, and every pointer game ends', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeMessage(bytes);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(message, fc.array(fc.tuple(fc.nat(), u8), { maxLength: 8 }), fc.nat(), (m, edits, cut) => {
      const bytes = encodeMessage(m);
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      const decoded = decodeMessage(bytes.subarray(0, cut % (bytes.length + 1)));
      // What could be read can be written again.
      if (!('malformed' in decoded)) decodeMessage(encodeMessage(decoded));
    }),
    { numRuns: 1000 },
  );
});

test('dns-packet reads what we write', () => {
  fc.assert(
    fc.property(plainName, plainName, ipv4, u16, (name, target, address, port) => {
      const ours = encodeMessage({
        ...queryMessage(7, name, TYPE.A),
        response: true,
        answers: [
          { name, class: CLASS.IN, ttl: 5, type: 'A', address },
          { name: `x.${name}`, class: CLASS.IN, ttl: 6, type: 'CNAME', target },
          { name: target, class: CLASS.IN, ttl: 7, type: 'SRV', priority: 1, weight: 2, port, target: name },
          { name: target, class: CLASS.IN, ttl: 8, type: 'TXT', strings: ['one', 'two'] },
        ],
        edns: { udpSize: 1232, version: 0, dnssecOk: true, options: [] },
      });
      const theirs = packet.decode(ours);
      assert.equal(theirs.id, 7);
      assert.deepEqual(
        theirs.answers?.map((answer) => [answer.name, answer.type, 'data' in answer ? answer.data : undefined]),
        [
          [name, 'A', address],
          [`x.${name}`, 'CNAME', target],
          [target, 'SRV', { priority: 1, weight: 2, port, target: name }],
          [target, 'TXT', [Buffer.from('one'), Buffer.from('two')]],
        ],
      );
      const opt = theirs.additionals?.[0];
      assert.ok(opt?.type === 'OPT' && opt.udpPayloadSize === 1232 && opt.flag_do);
    }),
    { numRuns: 100 },
  );
});

test('we read what dns-packet writes', () => {
  fc.assert(
    fc.property(plainName, plainName, ipv6, (name, target, address) => {
      const bytes = packet.encode({
        type: 'response',
        id: 9,
        flags: packet.AUTHORITATIVE_ANSWER,
        questions: [{ type: 'AAAA', name }],
        answers: [
          { type: 'AAAA', name, ttl: 1, data: address },
          { type: 'PTR', name, ttl: 2, data: target },
          { type: 'MX', name, ttl: 3, data: { preference: 10, exchange: target } },
        ],
      });
      const decoded = read(bytes);
      assert.ok(decoded.authoritative && decoded.response);
      assert.deepEqual(decoded.questions, [{ name, type: TYPE.AAAA, class: CLASS.IN }]);
      assert.deepEqual(
        decoded.answers.slice(0, 2).map(({ name: owner, ttl, ...data }) => [owner, ttl, data]),
        [
          [name, 1, { class: 1, type: 'AAAA', address }],
          [name, 2, { class: 1, type: 'PTR', target }],
        ],
      );
    }),
    { numRuns: 100 },
  );
});

test('a compressed name in an MX record survives being moved to another packet', () => {
  const query = encodeMessage(queryMessage(1, 'example.com', TYPE.MX));
  query.writeUInt16BE(1, 6);
  // owner -> 12, MX IN ttl 60, preference 10, "mail" + pointer to 12
  const mx = Buffer.from('c00c000f00010000003c0009000a046d61696cc00c', 'hex');
  const decoded = read(Buffer.concat([query, mx]));
  const moved = packet.decode(encodeMessage({ ...decoded, questions: [] }));
  assert.deepEqual(moved.answers?.[0]?.type === 'MX' && moved.answers[0].data, {
    preference: 10,
    exchange: 'mail.example.com',
  });
});

const malformed: readonly [what: string, hex: string, says: RegExp][] = [
  ['nothing', '', /no header/],
  ['half a header', '000100000001', /no header/],
  ['a question that is not there', '000101000001000000000000', /beyond the packet/],
  ['a name that points at itself', '000101000001000000000000c00c00010001', /points forward/],
  ['two names that point at each other', '000101000001000000000000c00ec00c00010001', /points forward/],
  ['a label of a reserved kind', '0001010000010000000000004000000100010000', /reserved kind/],
  ['an address of three bytes', '00018000000000010000000000000100010000000000030a0000', /address of 3 bytes/],
  ['record data beyond the packet', '00018000000000010000000000000100010000000000ff0a0000', /beyond the packet/],
  ['two OPT', '00010100000000000000000200002910000000000000000000291000000000000000', /more than one OPT/],
];
for (const [what, hex, says] of malformed) {
  test(`malformed: ${what}`, () => {
    const decoded = decodeMessage(Buffer.from(hex, 'hex'));
    assert.ok('malformed' in decoded);
    assert.match(decoded.malformed, says);
    assert.equal(decoded.header?.id, hex.length < 24 ? undefined : 1);
  });
}

test('a message too large for the limit keeps what fits and says TC; OPT stays', () => {
  const answers = Array.from({ length: 100 }, (_, i): ResourceRecord => {
    return { name: 'web.shop', class: 1, ttl: 5, type: 'A', address: `10.244.0.${i}` };
  });
  const edns = { udpSize: 1232, version: 0, dnssecOk: false, options: [] };
  const full = { ...queryMessage(1, 'web.shop', TYPE.A), response: true, answers, edns };
  for (const limit of [512, 1232]) {
    const bytes = encodeMessage(full, limit);
    assert.ok(bytes.length <= limit && bytes.length > limit - 16);
    const decoded = read(bytes);
    assert.equal(decoded.truncated, true);
    assert.deepEqual(decoded.answers, answers.slice(0, decoded.answers.length));
    assert.ok(decoded.edns);
  }
  assert.equal(read(encodeMessage(full)).answers.length, 100);
  const extra = read(encodeMessage({ ...full, answers: [], additionals: answers }, 512));
  assert.equal(extra.truncated, false, 'additional records are left out in silence');
});

test('names: within a zone, by whole labels only', () => {
  assert.equal(isWithin('web.cluster.local', 'cluster.local'), true);
  assert.equal(isWithin('cluster.local', 'cluster.local'), true);
  assert.equal(isWithin('mycluster.local', 'cluster.local'), false);
  assert.equal(isWithin('web\\.cluster.local', 'cluster.local'), false);
  assert.equal(isWithin('web\\\\.cluster.local', 'cluster.local'), true);
  assert.equal(isWithin('anything', '.'), true);
  assert.equal(relativeTo('a.b.cluster.local', 'cluster.local'), 'a.b');
  assert.equal(relativeTo('cluster.local', 'cluster.local'), '');
  assert.throws(() => encodeMessage(queryMessage(1, 'a..b', TYPE.A)), RangeError);
  assert.throws(() => encodeMessage(queryMessage(1, `${'a'.repeat(64)}.b`, TYPE.A)), RangeError);
  assert.throws(() => encodeMessage(queryMessage(1, Array(60).fill('abcde').join('.'), TYPE.A)), RangeError);
});

test('records print as zone files have them', () => {
  const at = { name: 'web.shop', class: 1, ttl: 5 };
  const lines = [
    recordText({ ...at, type: 'SRV', priority: 0, weight: 100, port: 80, target: 'a.web.shop' }),
    recordText({ ...at, type: 'TXT', strings: ['1.1.0', 'say "hi"\n'] }),
    recordText({ ...at, type: 'other', code: 65280, data: Uint8Array.of(1, 255) }),
    recordText({ ...at, name: '.', type: 'NS', target: 'ns' }),
  ];
  assert.deepEqual(lines, [
    'web.shop. 5 IN SRV 0 100 80 a.web.shop.',
    'web.shop. 5 IN TXT "1.1.0" "say \\"hi\\"\\010"',
    'web.shop. 5 IN TYPE65280 \\# 2 01ff',
    '. 5 IN NS ns.',
  ]);
});
