// What the network plans hold, as an operator would type it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemText } from '../kernel/item-text.ts';
import { planNode } from './node.ts';
import type { Fragment } from './plan.ts';
import { planPod, podLinkName } from './pods.ts';
import { planServiceWays } from './service-ways.ts';

const facts = {
  nodeName: 'node-1',
  nodeIPs: ['172.30.0.11', 'fd00:172:30::11'],
  nodeLink: 'eth0',
  serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  dnsIPs: ['10.96.0.10'],
};

function lines(fragment: Fragment | undefined): string[] {
  return (fragment?.items ?? []).map(itemText);
}

test('a node forwards, answers for DNS itself, and reaches Services under its own address', () => {
  assert.deepEqual(lines(planNode(facts)), [
    'link lo mtu 65536 up',
    'net.ipv4.ip_forward=1',
    'net.ipv4.conf.all.rp_filter=0',
    'net.ipv4.conf.eth0.rp_filter=2',
    'net.ipv6.conf.all.forwarding=1',
    'addr 10.96.0.10/32 dev lo',
    'route 10.96.0.0/16 dev eth0 src 172.30.0.11',
    'route fd00:10:96::/112 dev eth0 src fd00:172:30::11',
  ]);
});

test('a pod is a routed veth with nothing left to be learnt', () => {
  const pod = { sandboxId: 'u1-0', podNamespace: 'shop', podName: 'web-0', netns: '/run/netns/pod', mtu: 1450 };
  const fragment = planPod({ ...pod, ips: ['10.244.0.7'], nodeIPs: facts.nodeIPs });
  const link = podLinkName('u1-0');
  assert.deepEqual(fragment.cause, { kind: 'Pod', namespace: 'shop', name: 'web-0' });
  assert.deepEqual(lines(fragment), [
    `link ${link} mtu 1450 address ee:ee:ee:ee:ee:ee up type veth peer eth0`,
    `net.ipv4.conf.${link}.rp_filter=1`,
    '[pod] link lo mtu 65536 up',
    '[pod] link eth0 mtu 1450 address 02:50:0a:f4:00:07 up',
    `route 10.244.0.7/32 dev ${link} src 172.30.0.11`,
    `neigh 10.244.0.7 lladdr 02:50:0a:f4:00:07 dev ${link} nud permanent`,
    '[pod] addr 10.244.0.7/32 dev eth0',
    '[pod] neigh 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent',
    '[pod] route 0.0.0.0/0 via 169.254.1.1 dev eth0 onlink',
  ]);
  assert.ok(link.length <= 15);
});

test('a pod is on the fast path with all its addresses, unless what it receives is held back', () => {
  const pod = { sandboxId: 'u1-0', podNamespace: 'shop', podName: 'web-0', netns: '/run/netns/pod', mtu: 1450 };
  const place = { ...pod, ips: ['10.244.0.7', 'fd00:10:244::7'], nodeIPs: facts.nodeIPs, fastPath: true };
  const shape = { rate: 8_000_000, burst: 800_000 };
  const fast = (bandwidth: NonNullable<Parameters<typeof planPod>[0]['bandwidth']>) =>
    lines(planPod({ ...place, bandwidth })).filter((line) => line.startsWith('fast path'));
  const link = podLinkName('u1-0');
  assert.deepEqual(fast({ egress: shape }), [
    `fast path dev ${link} from pod by eBPF`,
    `fast path to 10.244.0.7 dev ${link}`,
    `fast path to fd00:10:244::7 dev ${link}`,
  ]);
  assert.deepEqual(fast({ ingress: shape }), []);
});

test('a dual-stack pod has one gateway a family', () => {
  const ips = ['10.244.0.7', 'fd00:10:244::7'];
  const pod = { sandboxId: 'u1-0', podNamespace: 'shop', podName: 'web-0', netns: '/run/netns/pod', mtu: 1450 };
  const routes = lines(planPod({ ...pod, ips, nodeIPs: facts.nodeIPs })).filter((line) => line.includes('route'));
  assert.deepEqual(routes.slice(2), [
    `route fd00:10:244::7/128 dev ${podLinkName('u1-0')} src fd00:172:30::11`,
    '[pod] route ::/0 via fe80::ecee:eeff:feee:eeee dev eth0 onlink',
  ]);
});

test('a node has ways to further ServiceCIDRs and external addresses, but none that would take packets from pods, nodes or Services', () => {
  const known = ['172.30.0.0/24', '10.244.0.0/16', '10.96.0.0/16', 'fd00:10:96::/112'];
  const ways = (...prefixes: string[]) =>
    lines(planServiceWays({ kind: 'ServiceCIDR', name: 'more' }, prefixes, { ...facts, knownCIDRs: known }));
  assert.deepEqual(ways('10.97.0.9/24', '10.97.0.0/24', 'fd00:10:97::/112', '198.51.100.32/32'), [
    'route 10.97.0.0/24 dev eth0 src 172.30.0.11',
    'route fd00:10:97::/112 dev eth0 src fd00:172:30::11',
    'route 198.51.100.32/32 dev eth0 src 172.30.0.11',
  ]);
  assert.deepEqual(ways('10.96.4.0/24', '172.30.0.12/32', '10.0.0.0/8', '0.0.0.0/0'), []);
});
