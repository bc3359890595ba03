// What is deleted by hand of the fabric, of a node's leg or of the machine's routes is back within a second.
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { hostLegName } from '../../src/cluster/fabric.ts';
import { FabricWatch } from '../../src/cluster/fabric-watch.ts';
import { netnsName } from '../../src/cluster/layout.ts';
import { watchDrift } from '../../src/node/drift.ts';
import { netnsPath } from '../../src/sys/netns.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, talk } from '../node/cluster-net.ts';

const sysctl = (where: string, key: string) =>
  execFileSync('nsenter', [`--net=${where}`, 'sysctl', '-n', key], { encoding: 'utf8' }).trim();
const skip = process.getuid?.() === 0 ? false : 'needs root';
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] },
  { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24'] },
];

test('what is deleted by hand of the fabric is back, and pods meet again', { skip }, async (t) => {
  using net = new ClusterNet(`t${process.pid}f`, NODES);
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  await using echo = await serveIn(to.netns, to.ip);
  const watch = new FabricWatch(net.fabric);
  const { name: nodeName, reconciler, kernel, netns } = one;
  const drift = watchDrift({ nodeName, reconciler, kernel, netns, onRepaired: () => {} });
  const fabric = netnsPath(netnsName(net.name, 'fabric'));
  const leg = hostLegName(net.name);
  try {
    for (const [where, command] of [
      [net.host, `ip route del 10.244.1.0/24`],
      [net.host, `ip link del ${leg}`],
      [net.host, `ip addr flush dev ${leg}`],
      [fabric, 'ip link del pw-fabric'],
      [fabric, 'ip link set pw-node-1 nomaster'],
      [fabric, 'ip route flush proto 201'],
      [fabric, 'ip link del pw-node-1'],
      [one.netns, 'ip addr flush dev eth0'],
      [one.netns, 'ip link set eth0 down'],
      [fabric, 'sysctl -qw net.ipv4.ip_forward=0'],
      [fabric, 'sysctl -qw net.ipv4.conf.pw-fabric.send_redirects=1'],
    ] as const) {
      await t.test(command, async () => {
        execFileSync('nsenter', [`--net=${where}`, 'sh', '-c', command]);
        const [key, value] = /sysctl -qw (.*)=(.*)/.exec(command)?.slice(1) ?? [];
        if (key) await until('it is set back', async () => sysctl(where, key) !== value, 20_000);
        const reach = async (space: string, src: string) => (await talk(space, to.ip, echo.port))[0] === src;
        await until('pods meet', () => reach(from.netns, from.ip), 20_000);
        await until('the machine reaches pods', () => reach(net.host, '172.30.0.1'), 20_000);
      });
    }
  } finally {
    watch.close();
    drift.close();
  }
});
