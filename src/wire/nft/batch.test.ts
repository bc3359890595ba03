// Room wire: what a batch says is what a dump of it would say back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeMessages } from '../netlink/message.ts';
import { Attributes, NFGENMSG_LENGTH } from '../nfnetlink/reader.ts';
import { ruleset } from './ast.fixture.ts';
import { encodeBatch } from './batch.ts';
import { decodeChain, decodeElements, decodeRule, decodeSet, decodeTable } from './dump.ts';
import type { NftElement, NftItem, NftSet } from './items.ts';
import { BATCH_BEGIN, BATCH_END, CHAIN, ELEMENT_LIST, message, RULE, SET, TABLE } from './message.ts';

function encode(add: readonly NftItem[], remove: readonly NftItem[] = []) {
  const sets = new Map(add.filter((item) => item.kind === 'set').map((set) => [set.set, set]));
  return encodeBatch(
    { add, change: [], remove },
    { firstSeq: 7, destroy: true, setOf: (element: NftElement): NftSet => sets.get(element.set)! },
  );
}

/** Reads a batch of additions the way a dump is read. */
function decode(bytes: Uint8Array): NftItem[] {
  const items: NftItem[] = [];
  const sets = new Map<string, NftSet>();
  for (const { type, body } of decodeMessages(bytes)) {
    if (type === message(TABLE.NEW)) items.push(decodeTable(body)!);
    else if (type === message(CHAIN.NEW)) items.push(decodeChain(body)!);
    else if (type === message(SET.NEW)) {
      const set = decodeSet(body)!;
      sets.set(set.set, set);
      items.push(set);
    } else if (type === message(RULE.NEW)) {
      const { chain, rule } = decodeRule(body);
      const index = items.findIndex((item) => item.kind === 'chain' && item.chain === chain);
      const found = items[index];
      if (found?.kind === 'chain') items[index] = { ...found, rules: [...found.rules, rule] };
    } else if (type === message(ELEMENT_LIST.NEW)) {
      const name = new Attributes(body.subarray(NFGENMSG_LENGTH)).string(ELEMENT_LIST.SET);
      items.push(...decodeElements([body], sets.get(name)!));
    }
  }
  return items;
}

test('any table comes back from its bytes as it was', () => {
  fc.assert(
    fc.property(ruleset, (items) => assert.deepEqual(decode(encode(items).bytes), items)),
    { numRuns: 200 },
  );
});

test('a batch is framed, numbered in order, and knows which message is about what', () => {
  const items = fc.sample(ruleset, { numRuns: 1, seed: 1 })[0]!;
  const { bytes, count, operations } = encode(items);
  const messages = decodeMessages(bytes);
  assert.equal(messages.length, count);
  assert.deepEqual([messages[0]!.type, messages.at(-1)!.type], [BATCH_BEGIN, BATCH_END]);
  assert.deepEqual(
    messages.map(({ seq }) => seq),
    messages.map((_, i) => 7 + i),
  );
  for (const [i, { items: about }] of operations.entries()) {
    if (messages[i + 1]!.type === message(TABLE.NEW)) assert.equal(about[0]!.kind, 'table');
  }
});

test('elements beyond the 16 bits of a list go in several messages', () => {
  const place = { family: 'ip', table: 'podwire' } as const;
  const set: NftSet = { kind: 'set', ...place, set: 'pairs', key: ['ipv4_addr', 'ipv4_addr'] };
  const elements = Array.from({ length: 5000 }, (_, i): NftElement => {
    const ip = `10.244.${i >> 8}.${i & 255}`;
    return { kind: 'element', ...place, set: 'pairs', key: [ip, ip] };
  });
  const { bytes, operations } = encode([set, ...elements]);
  assert.equal(operations.length, 3);
  assert.deepEqual(decode(bytes), [set, ...elements]);
});

test('what goes with its table is not deleted one by one', () => {
  const items = fc.sample(ruleset, { numRuns: 1, seed: 2 })[0]!;
  const { operations } = encode([], items);
  assert.deepEqual(
    operations.map(({ items: about, remove }) => [about[0]!.kind, remove]),
    [['table', true]],
  );
});
