// What is deleted by hand of a node's network is back within a second, and the node says what it was.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { watchDrift } from '../../src/node/drift.ts';
import { planMasqueradeBase } from '../../src/plan/masquerade.ts';
import { podLinkName } from '../../src/plan/pods.ts';
import { NETNS_DIR } from '../../src/sys/netns.ts';
import { ClusterNet, serveIn, type TestNode, talk } from '../node/cluster-net.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
/** One second is what we promise, to a machine that is not busy with other tests. */
const LIMIT_MS = 30_000;

const NODES = [
  { name: 'node-1', ips: ['172.30.0.11', 'fd00:172:30::11'], podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  { name: 'node-2', ips: ['172.30.0.12', 'fd00:172:30::12'], podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
];

/** What an operator's hand does, and what the node then says that it mended. */
const HANDS: readonly [command: string, repaired: RegExp][] = [
  ['ip link del pw-vxlan', /^added link pw-vxlan /],
  ['ip link set pw-vxlan down', /^changed link pw-vxlan .* up/],
  ['ip link set pw-vxlan mtu 1300', /^changed link pw-vxlan mtu 1450/],
  ['ip route del 10.244.1.0/24', /^added route 10\.244\.1\.0\/24 /],
  ['ip -6 route del fd00:10:244:1::/64', /^added route fd00:10:244:1::\/64 /],
  ['ip neigh del 10.244.1.0 dev pw-vxlan', /^added neigh 10\.244\.1\.0 /],
  ['ip neigh replace 10.244.1.0 lladdr 02:00:00:00:00:01 dev pw-vxlan nud permanent', /^changed neigh 10\.244\.1\.0 /],
  ['bridge fdb del 02:76:ac:1e:00:0c dev pw-vxlan', /^added fdb 02:76:ac:1e:00:0c /],
  [`ip link del ${podLinkName('a1')}`, new RegExp(`^added link ${podLinkName('a1')} `)],
  [`ip route del 10.244.0.1`, new RegExp(`^added route 10.244.0.1/32 dev ${podLinkName('a1')}`)],
  ['ip route flush proto 201', /^added route 10\.244\.1\.0\/24 /],
  // With the kernel's own route to the segment, which comes back for nobody.
  ['ip route flush table main', /^added route 172\.30\.0\.0\/24 dev eth0/],
  ['ip -6 route flush table main', /^added route fd00:172:30::\/64 dev eth0/],
  ['ip addr del 10.96.0.10/32 dev lo', /^added addr 10\.96\.0\.10\/32 dev lo/],
  ['ip link set eth0 down && ip link set eth0 up', /^added route 10\.96\.0\.0\/16 dev eth0/],
  ['sysctl -qw net.ipv4.ip_forward=0', /^set net\.ipv4\.ip_forward=1$/],
  ['sysctl -qw net.ipv6.conf.all.forwarding=0', /^set net\.ipv6\.conf\.all\.forwarding=1$/],
  ['sysctl -qw net.ipv4.conf.pw-vxlan.rp_filter=1', /^set net\.ipv4\.conf\.pw-vxlan\.rp_filter=0$/],
  [
    `sysctl -qw net.ipv4.conf.${podLinkName('a1')}.rp_filter=0`,
    new RegExp(`^set net.ipv4.conf.${podLinkName('a1')}.rp_filter=1`),
  ],
  ['nft flush table ip podwire', /^changed chain ip podwire masquerade/],
  ['nft flush ruleset', /^added table ip podwire/],
];

/** The same inside a pod's own namespace. */
const HANDS_IN_POD: readonly [command: string, repaired: RegExp][] = [
  ['ip addr del 10.244.0.1/32 dev eth0', /^added .*addr 10\.244\.0\.1\/32 dev eth0 \(pod default\/a1\)/],
  ['ip -6 addr flush dev eth0', /^added .*addr fd00:10:244::1\/128 dev eth0 \(pod default\/a1\)/],
  ['ip route del default', /^added .*route 0\.0\.0\.0\/0 via 169\.254\.1\.1 dev eth0/],
  ['ip -6 route del default', /^added .*route ::\/0 via fe80::ecee:eeff:feee:eeee dev eth0/],
  ['ip neigh del 169.254.1.1 dev eth0', /^added .*neigh 169\.254\.1\.1 lladdr ee:ee:ee:ee:ee:ee dev eth0/],
  [
    'ip neigh replace 169.254.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent',
    /^added .*neigh 169\.254\.1\.1 lladdr ee:ee/,
  ],
  ['ip link set eth0 down', /^added .*link eth0 mtu 1450/],
  ['ip link set eth0 mtu 1300', /^added .*link eth0 mtu 1450/],
  // With permanent neighbours at both ends, any other would cut the pod off.
  ['ip link set eth0 address 02:00:00:00:00:07', /^added .*link eth0 mtu 1450 address .* \(pod default\/a1\)/],
  ['ip link set lo down', /^added .*link lo /],
  ['ip link del eth0', new RegExp(`^added link ${podLinkName('a1')} `)],
];

function watched(node: TestNode): { repaired: string[]; close(): void } {
  const repaired: string[] = [];
  const { reconciler, kernel, netns } = node;
  const watch = watchDrift({
    nodeName: node.name,
    reconciler,
    kernel,
    netns,
    onRepaired: (lines) => repaired.push(...lines),
  });
  return { repaired, close: () => watch.close() };
}

test('what is deleted or changed by hand is back within a second, and is named', { skip }, async (t) => {
  using net = new ClusterNet(`t${process.pid}r`, NODES);
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  const { nodeName, nodeIPs, serviceCIDRs, dnsIPs, podCIDRs: ownPodCIDRs, clusterPodCIDRs: podCIDRs } = one.options;
  const facts = { nodeName, nodeIPs, serviceCIDRs, dnsIPs, ownPodCIDRs, podCIDRs };
  one.reconciler.update(new Map([['masquerade/base', planMasqueradeBase(facts)]]));
  await using echo = await serveIn(to.netns, to.ip);
  await using echo6 = await serveIn(to.netns, to.ips[1]!);
  const watch = watched(one);
  try {
    const hands = [
      ...HANDS.map((hand) => [one.netns, ...hand] as const),
      ...HANDS_IN_POD.map((hand) => [from.netns, ...hand] as const),
    ];
    for (const [where, command, expected] of hands) {
      await t.test(`${where === one.netns ? '' : 'in a pod: '}${command}`, async () => {
        watch.repaired.length = 0;
        execFileSync('nsenter', [`--net=${where}`, 'sh', '-c', command]);
        const started = performance.now();
        const found = () => watch.repaired.find((line) => expected.test(line));
        while (!found() && performance.now() - started < LIMIT_MS) await new Promise((done) => setTimeout(done, 5));
        assert.ok(found(), `${command}: not repaired, only ${JSON.stringify(watch.repaired)}`);
        t.diagnostic(`${command.slice(0, 60)}: ${Math.round(performance.now() - started)} ms`);
        assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
        assert.equal((await talk(from.netns, to.ips[1]!, echo6.port))[0], from.ips[1]);
      });
    }
    assert.deepEqual(await one.reconciler.repair(), []);
  } finally {
    watch.close();
  }
});

test('what the node does itself is no drift, and a quiet node looks at nothing', { skip }, async () => {
  using net = new ClusterNet(`t${process.pid}q`, NODES);
  const [one] = net.nodes as [TestNode];
  let reads = 0;
  const { kernel, reconciler } = one;
  const read = kernel.read.bind(kernel);
  kernel.read = (part) => {
    reads++;
    return read(part);
  };
  const watch = watchDrift({
    nodeName: one.name,
    reconciler,
    kernel,
    netns: one.netns,
    onRepaired: (lines) => assert.fail(lines.join()),
  });
  try {
    for (let i = 0; i < 5; i++) net.addPod(one, `p${i}`);
    // What was heard of these is dealt with before they go.
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let i = 0; i < 5; i++) one.network.detach(`p${i}`);
    // Its end is heard after all that came before.
    const ended = new Promise<void>((resolve) => {
      const off = setInterval(() => {
        const names = execFileSync('ip', ['-n', one.netns.slice(NETNS_DIR.length + 1), 'link'], { encoding: 'utf8' });
        if ([0, 1, 2, 3, 4].some((i) => names.includes(podLinkName(`p${i}`)))) return;
        clearInterval(off);
        setTimeout(resolve, 100);
      }, 10);
    });
    await ended;
    assert.equal(reads, 0);
  } finally {
    watch.close();
  }
});
