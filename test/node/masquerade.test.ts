// Who sees whose address, with the rules in force: inside the cluster always the real one, outside as the config says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { NETNS_DIR } from '../../src/sys/netns.ts';
import { ClusterNet, serveIn, type TestPod, talk } from './cluster-net.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const NODES = [1, 2].map((i) => ({
  name: `node-${i}`,
  ips: [`172.30.0.1${i}`, `fd00:172:30::1${i}`],
  podCIDRs: [`10.244.${i}.0/24`, `fd00:10:244:${i}::/64`],
}));
const HOST = ['172.30.0.1', 'fd00:172:30::1'];
/** Addresses of the host outside, by family: in a prefix of the list, named by the list itself, and in none. */
const OUTSIDE = [
  { prefix: '192.0.2.7', single: '203.0.113.5', other: '198.51.100.7' },
  { prefix: '2001:db8:1::7', single: '2001:db8:2::5', other: '2001:db8:3::7' },
] as const;
const SEEING = ['192.0.2.0/25', '203.0.113.5/32', '2001:db8:1::/50', '2001:db8:2::5/128'];

let net: ClusterNet;
let pods: TestPod[] = [];

before(() => {
  if (skip) return;
  net = new ClusterNet(`t${process.pid}m`, NODES);
  net.enforceRules(SEEING);
  pods = [net.addPod(net.nodes[0]!, 'a'), net.addPod(net.nodes[0]!, 'b'), net.addPod(net.nodes[1]!, 'c')];
  for (const [i, addresses] of OUTSIDE.entries()) {
    for (const address of Object.values(addresses)) {
      ip(net.host, 'addr', 'add', `${address}/${i === 0 ? 32 : 128}`, 'dev', 'lo');
      for (const node of net.nodes) ip(node.netns, 'route', 'add', address, 'via', HOST[i]!);
    }
  }
});

after(() => net?.[Symbol.dispose]());

function ip(netns: string, ...args: string[]): void {
  execFileSync('ip', ['-n', netns.slice(NETNS_DIR.length + 1), ...args]);
}

for (const [i, family] of (['IPv4', 'IPv6'] as const).entries()) {
  test(`${family}: pods, nodes and what runs in a node's own network see each other's real address`, {
    skip,
  }, async () => {
    const everybody = [...pods, ...net.nodes].map(({ netns, ips }) => ({ netns, ip: ips[i]! }));
    for (const server of everybody) {
      await using echo = await serveIn(server.netns, server.ip);
      for (const client of everybody) {
        assert.equal((await talk(client.netns, server.ip, echo.port))[0], client.ip, `${client.ip} -> ${server.ip}`);
      }
    }
  });

  test(`${family}: outside, whom the list names sees the pod's address, another the node's`, { skip }, async () => {
    const { prefix, single, other } = OUTSIDE[i]!;
    for (const pod of pods) {
      for (const [address, seen] of [
        [prefix, pod.ips[i]],
        [single, pod.ips[i]],
        [other, pod.node.ips[i]],
        [HOST[i]!, pod.node.ips[i]],
      ] as const) {
        await using echo = await serveIn(net.host, address);
        assert.equal((await talk(pod.netns, address, echo.port))[0], seen, `${pod.sandboxId} -> ${address}`);
      }
    }
  });
}

test('an empty list names nobody, and every address means everybody', { skip }, async () => {
  for (const [list, sees] of [
    [[], 'the node'],
    [['0.0.0.0/0', '::/0'], 'the pod'],
  ] as const) {
    net.enforceRules(list);
    for (const i of [0, 1]) {
      await using echo = await serveIn(net.host, OUTSIDE[i]!.prefix);
      const [pod] = pods as [TestPod];
      const seen = (await talk(pod.netns, OUTSIDE[i]!.prefix, echo.port))[0];
      assert.equal(seen === pod.ips[i] ? 'the pod' : seen === pod.node.ips[i] ? 'the node' : seen, sees);
    }
  }
});
