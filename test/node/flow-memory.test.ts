// What the fast path's programs remember of flows: as many as there are, each by its own way, and of none more than connection tracking knows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fabricPath } from '../../src/cluster/fabric.ts';
import type { Datapath } from '../../src/node/agent.ts';
import { until } from '../cluster/machine.ts';
import { serveIn, type TestNode, talk } from './cluster-net.ts';
import { bulk, count, Datagrams, datapath, FEW, Flow, fastNet, OWN_PORT, run, skip } from './fast-net.ts';

/** So many that several have the same place in a program's memory. */
const FLOWS = 400;
const WORDS = 5_000;

test('more flows at once than a CPU remembers: each has its own bytes back from its own pod', { skip }, async () => {
  using net = fastNet('m');
  const [one, two] = net.nodes as [TestNode, TestNode];
  const from = net.addPod(one, 'a1');
  const servers = [net.addPod(one, 'a2'), net.addPod(one, 'a3'), net.addPod(two, 'b1')] as const;
  const [a2, a3, b1] = servers;
  await using near = await serveIn(a2.netns, a2.ip);
  await using other = await serveIn(a3.netns, a3.ip);
  await using far = await serveIn(b1.netns, b1.ip);
  const ports = [near.port, other.port, far.port];
  const conversations = Array.from({ length: FLOWS }, async (_, i) => {
    const said = `${i} `.repeat(WORDS);
    const [seen, heard] = await talk(from.netns, servers[i % 3]!.ip, ports[i % 3]!, said);
    assert.equal(seen, from.ip);
    assert.ok(heard === said, `flow ${i}`);
  });
  await Promise.all(conversations);
});

test('datagrams that are answered pass the nodes by', { skip }, async () => {
  using net = fastNet('u');
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, near, far] = [net.addPod(one, 'a1'), net.addPod(one, 'a2'), net.addPod(two, 'b1')];
  const forwarded = count(one);
  for (const to of [near, far]) {
    for (const family of [0, 1] as const) {
      await using datagrams = new Datagrams(from, to, family);
      const before = forwarded();
      for (let i = 0; i < 50; i++) await datagrams.exchange();
      const seen = forwarded() - before;
      assert.ok(seen >= 2 && seen < FEW, `${seen} datagrams to ${to.ips[family]}`);
    }
  }
});

/** At once and by one CPU, which may well give the memory that it has just taken back, while programs still remember what it was. */
function moveEntry(flow: string, from: string, to: string): void {
  const known = '--state ESTABLISHED --timeout 600 --status SEEN_REPLY,ASSURED';
  const remove = `nsenter --net=${from} conntrack -D ${flow}`;
  const add = `nsenter --net=${to} conntrack -I ${flow} ${known}`;
  execFileSync('taskset', ['1', 'sh', '-c', `${remove} && ${add}`], { stdio: ['ignore', 'pipe', 'pipe'] });
}

test('an entry that is gone opens no way, though another namespace has one of the same flow, perhaps in the same memory', {
  skip,
}, async () => {
  using net = fastNet('e');
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  count(one);
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to.ip, echo.port);
  assert.equal(await flow.seen(), from.ip);
  run(one, 'nft -f -', REFUSING);
  for (let i = 0; i < 10; i++) await flow.talk();
  const tuple = `-s ${from.ip} -d ${to.ip} -p tcp --sport ${OWN_PORT} --dport ${echo.port}`;
  moveEntry(tuple, one.netns, fabricPath(net.name));
  flow.send();
  await until('it is refused', async () => /counter packets [1-9]/.test(run(one, 'nft list chain inet late late')));
  assert.equal(flow.received, 0);
  run(one, 'nft delete table inet late');
});

const REFUSING = `table inet late {
  chain late {
    type filter hook forward priority 10
    ct state established accept
    meta l4proto tcp counter drop
  }
}
`;

test('where the kernel cannot look at an entry again it is looked up with each packet', { skip }, async () => {
  assert.ok(datapath.kind === 'ebpf');
  const { again: _, ...numbers } = datapath.numbers;
  const older: Datapath = { kind: 'ebpf', numbers };
  using net = fastNet('o', { datapath: older });
  const [one, two] = net.nodes as [TestNode, TestNode];
  const from = net.addPod(one, 'a1');
  const forwarded = count(one);
  for (const to of [net.addPod(one, 'a2'), net.addPod(two, 'b1')]) {
    for (const family of [0, 1] as const) {
      const before = forwarded();
      await bulk(from, to, family);
      assert.ok(forwarded() - before < FEW);
    }
  }
});
