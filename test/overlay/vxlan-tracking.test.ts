// VXLAN's own packets stay out of connection tracking; all that pods send is in it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, type TestNode, talk } from '../node/cluster-net.ts';
import { inside } from './overlay-cluster.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] },
  { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24'] },
];
const MACHINE = '172.30.0.1';

test('the tunnel is not tracked, what it carries is, and so is what a pod sends to the same port outside', {
  skip,
}, async () => {
  using net = new ClusterNet(`t${process.pid}v`, NODES);
  net.enforceRules();
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  await using echo = await serveIn(to.netns, to.ip);
  for (let i = 0; i < 5; i++) assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
  const flows = (node: TestNode) => inside(node.netns, 'conntrack', '-L').split('\n').filter(Boolean);
  for (const node of [one, two]) {
    assert.equal(flows(node).filter((line) => line.includes(`dport=${echo.port}`)).length, 5);
    assert.deepEqual(
      flows(node).filter((line) => line.includes('dport=8472')),
      [],
    );
  }
  inside(from.netns, 'bash', '-c', `echo hello > /dev/udp/${MACHINE}/8472`);
  // The machine is no node: it sees the node's address.
  const translated = new RegExp(`src=${from.ip} dst=${MACHINE} .*dport=8472 .*dst=${one.ips[0]} `);
  await until('it is translated', async () => flows(one).some((line) => translated.test(line)));
});
