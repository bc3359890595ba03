// The udp overlay: packets pass through JavaScript, and nobody but a node may put any in.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { OVERLAY_STEPS } from '../../src/node/overlay.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, talk } from '../node/cluster-net.ts';

const noTun = existsSync('/dev/net/tun') ? false : 'there is no /dev/net/tun';
const skip = process.getuid?.() === 0 ? noTun : 'needs root';
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11', 'fd00:172:30::11'], podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  { name: 'node-2', ips: ['172.30.0.12', 'fd00:172:30::12'], podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
];

function change(net: ClusterNet, backend: 'udp' | 'vxlan'): void {
  const settings = { backend, directRouting: false };
  for (const step of OVERLAY_STEPS) for (const node of net.nodes) node.overlay.change(settings, step);
}

test('pods of either family meet over udp, and go back to vxlan', { skip }, async () => {
  using net = new ClusterNet(`t${process.pid}u`, NODES);
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  change(net, 'udp');
  await using echo = await serveIn(to.netns, to.ip);
  await using echo6 = await serveIn(to.netns, to.ips[1]!);
  assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
  assert.equal((await talk(from.netns, to.ips[1]!, echo6.port))[0], from.ips[1]);
  assert.equal((await talk(one.netns, to.ip, echo.port))[0], '172.30.0.11');
  const payload = 'x'.repeat(1_000_000);
  assert.equal((await talk(from.netns, to.ip, echo.port, payload))[1].length, payload.length);
  assert.deepEqual(
    (await one.reconciler.repair()).filter((line) => line.includes('pw-udp')),
    [],
  );
  change(net, 'vxlan');
  assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
  const gone = () => !execFileSync('ip', ['-n', one.netns.slice(11), 'link'], { encoding: 'utf8' }).includes('pw-udp');
  await until('the device is gone', async () => gone());
});
