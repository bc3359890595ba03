// nftables and connection tracking of the real kernel: the contract of the fakes, and `nft` as the judge of bytes and text.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { familyOf } from '../../src/addr/ip.ts';
import { openConntrack } from '../../src/kernel/conntrack-linux.ts';
import { conntrackContract, type Flow, nftContract } from '../../src/kernel/nft-contract.ts';
import { openNft, openNftWithoutDestroy } from '../../src/kernel/nft-linux.ts';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { ruleset } from '../../src/wire/nft/ast.fixture.ts';
import { rulesetText } from '../../src/wire/nft/text.ts';

const root = process.getuid?.() === 0;
const has = (tool: string) => spawnSync(tool, ['--version']).error === undefined;
const skip = root ? false : 'needs root for network namespaces';
const skipNft = skip || (has('nft') ? false : 'needs nft');
const skipConntrack = skip || (has('conntrack') ? false : 'needs conntrack');

let count = 0;
function fresh() {
  const netns = netnsPath(`pwt-nft${process.pid}-${count++}`);
  createNetns(netns);
  const run = (command: string[], input = '') =>
    inNetns(netns, () =>
      execFileSync(command[0]!, command.slice(1), { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] }),
    );
  return { netns, run, [Symbol.dispose]: () => removeNamespace(netns) };
}

for (const [name, open] of [
  ['nftables', openNft],
  ['nftables before Linux 6.3', openNftWithoutDestroy],
] as const) {
  nftContract(
    name,
    () => {
      const space = fresh();
      const nft = open(space.netns);
      return {
        nft,
        [Symbol.dispose]() {
          nft.close();
          space[Symbol.dispose]();
        },
      };
    },
    skip,
  );
}

conntrackContract(
  'conntrack',
  (flows) => {
    const space = fresh();
    for (const flow of flows) space.run(['conntrack', ...entryArguments(flow)]);
    const conntrack = openConntrack(space.netns);
    const list = (flow: Flow) =>
      space.run([
        'conntrack',
        '-L',
        '-f',
        familyOf(flow.dst) === 6 ? 'ipv6' : 'ipv4',
        '-p',
        flow.protocol.toLowerCase(),
      ]);
    return {
      conntrack,
      has: (flow) =>
        list(flow)
          .split('\n')
          .some((line) => line.includes(`dst=${flow.dst} `) && line.includes(`src=${flow.to} `)),
      [Symbol.dispose]() {
        conntrack.close();
        space[Symbol.dispose]();
      },
    };
  },
  skipConntrack,
);

let clientPort = 4000;
function entryArguments(flow: Flow): string[] {
  const client = familyOf(flow.dst) === 6 ? '2001:db8::1' : '192.0.2.1';
  const port = String(clientPort++);
  return [
    '-I',
    '-t',
    '300',
    '-p',
    flow.protocol.toLowerCase(),
    ...(flow.protocol === 'TCP' ? ['--state', 'ESTABLISHED'] : []),
    '-s',
    client,
    '-d',
    flow.dst,
    '--sport',
    port,
    '--dport',
    String(flow.port),
    '-r',
    flow.to,
    '-q',
    client,
    '--reply-port-src',
    String(flow.toPort),
    '--reply-port-dst',
    port,
  ];
}

test('any table: nft lists our bytes as it lists our text, and we read back what we wrote', { skip: skipNft }, () => {
  using ours = fresh();
  using theirs = fresh();
  const nft = openNft(ours.netns);
  after(() => nft.close());
  const list = (space: typeof ours) =>
    (JSON.parse(space.run(['nft', '-j', 'list', 'ruleset'])) as { nftables: unknown[] }).nftables.map((entry) =>
      JSON.stringify(entry, (key, value: unknown) => (key === 'handle' ? undefined : value)),
    );
  fc.assert(
    fc.property(ruleset, (items) => {
      nft.apply([], [], nft.read());
      nft.apply(items, [], []);
      theirs.run(['nft', '-f', '-'], `flush ruleset\n${rulesetText(items)}`);
      assert.deepEqual(list(ours), list(theirs));
      const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
      assert.deepEqual(nft.read().toSorted(byText), items.toSorted(byText));
    }),
    { numRuns: 60 },
  );
});
