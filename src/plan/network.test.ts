// What the network plans hold, as an operator would type it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemText } from '../kernel/item-text.ts';
import { planNode } from './node.ts';
import { overlayMtu, planOverlay, planRemoteNode } from './overlay.ts';
import type { Fragment } from './plan.ts';
import { planPod, podLinkName } from './pods.ts';

const facts = {
  nodeName: 'node-1',
  nodeIPs: ['172.30.0.11', 'fd00:172:30::11'],
  nodeLink: 'eth0',
  serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  dnsIPs: ['10.96.0.10'],
  mtu: 1500,
  vxlan: { vni: 1, port: 8472 },
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
    '[pod] link eth0 mtu 1450 up',
    `route 10.244.0.7/32 dev ${link} src 172.30.0.11`,
    `neigh 10.244.0.7 lladdr 02:50:0a:f4:00:07 dev ${link} nud permanent`,
    '[pod] addr 10.244.0.7/32 dev eth0',
    '[pod] neigh 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent',
    '[pod] route 0.0.0.0/0 via 169.254.1.1 dev eth0 onlink',
  ]);
  assert.ok(link.length <= 15);
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

test('the overlay is a device here, and for each other node an entry of each table', () => {
  assert.deepEqual(lines(planOverlay(facts)), [
    'link pw-vxlan mtu 1450 address 02:76:ac:1e:00:0b up type vxlan id 1 local 172.30.0.11 dstport 8472 nolearning',
    'net.ipv4.conf.pw-vxlan.rp_filter=0',
  ]);
  const remote = { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] };
  assert.deepEqual(lines(planRemoteNode(facts, remote)), [
    'fdb 02:76:ac:1e:00:0c dev pw-vxlan dst 172.30.0.12',
    'neigh 10.244.1.0 lladdr 02:76:ac:1e:00:0c dev pw-vxlan nud permanent',
    'route 10.244.1.0/24 via 10.244.1.0 dev pw-vxlan onlink src 172.30.0.11',
    'neigh fd00:10:244:1:: lladdr 02:76:ac:1e:00:0c dev pw-vxlan nud permanent',
    'route fd00:10:244:1::/64 via fd00:10:244:1:: dev pw-vxlan onlink src fd00:172:30::11',
  ]);
});

test('a node without address or prefix has no way to it yet', () => {
  assert.equal(planRemoteNode(facts, { name: 'node-2', ips: [], podCIDRs: ['10.244.1.0/24'] }), undefined);
  assert.equal(planRemoteNode(facts, { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: [] }), undefined);
});

test('an overlay over IPv6 takes 20 bytes more', () => {
  assert.equal(overlayMtu({ mtu: 1500, nodeIPs: ['fd00::1'] }), 1430);
});
