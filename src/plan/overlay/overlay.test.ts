// What each backend's plan holds, as an operator would type it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemText } from '../../kernel/item-text.ts';
import type { Fragment } from '../plan.ts';
import type { OverlayFacts, OverlayName, OverlaySettings } from './backend.ts';
import { overlayMtu, planOverlay, planRemoteNode } from './overlay.ts';

/** node-1 of rack 1; node-2 beside it, node-3 in rack 2. */
function factsOf(backend: OverlayName, directRouting = false): OverlayFacts {
  return {
    nodeName: 'node-1',
    nodeIPs: ['172.30.0.11', 'fd00:172:30::11'],
    nodeLink: 'eth0',
    mtu: 1500,
    nodeCIDRs: ['172.30.0.0/24', 'fd00:172:30::/64'],
    segmentCIDRs: ['172.30.0.0/25', 'fd00:172:30::/65'],
    routers: ['172.30.0.2', 'fd00:172:30::2'],
    overlay: { backend, directRouting },
    vxlan: { vni: 1, port: 8472 },
  };
}

const near = {
  name: 'node-2',
  ips: ['172.30.0.12', 'fd00:172:30::12'],
  podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'],
};
const far = {
  name: 'node-3',
  ips: ['172.30.0.139', 'fd00:172:30:0:8000::b'],
  podCIDRs: ['10.244.2.0/24', 'fd00:10:244:2::/64'],
};
const TO_OTHER_RACKS = [
  'route 172.30.0.0/24 via 172.30.0.2 dev eth0 src 172.30.0.11',
  'route fd00:172:30::/64 via fd00:172:30::2 dev eth0 src fd00:172:30::11',
];
const DIRECT_TO_NEAR = [
  'route 10.244.1.0/24 via 172.30.0.12 dev eth0 src 172.30.0.11',
  'route fd00:10:244:1::/64 via fd00:172:30::12 dev eth0 src fd00:172:30::11',
];
const VXLAN_TO_FAR = [
  'fdb 02:76:ac:1e:00:8b dev pw-vxlan dst 172.30.0.139',
  'neigh 10.244.2.0 lladdr 02:76:ac:1e:00:8b dev pw-vxlan nud permanent',
  'route 10.244.2.0/24 via 10.244.2.0 dev pw-vxlan onlink src 172.30.0.11',
  'neigh fe80::76:acff:fe1e:8b lladdr 02:76:ac:1e:00:8b dev pw-vxlan nud permanent',
  'route fd00:10:244:2::/64 via fe80::76:acff:fe1e:8b dev pw-vxlan onlink src fd00:172:30::11',
];

function lines(fragment: Fragment | undefined): string[] {
  return (fragment?.items ?? []).map(itemText);
}

test('vxlan is a device here, and for each other node an entry of each table', () => {
  const facts = factsOf('vxlan');
  assert.deepEqual(lines(planOverlay(facts)), [
    ...TO_OTHER_RACKS,
    'link pw-vxlan mtu 1450 address 02:76:ac:1e:00:0b up type vxlan id 1 local 172.30.0.11 dstport 8472 nolearning',
    'net.ipv4.conf.pw-vxlan.rp_filter=0',
    'table ip podwire',
    'chain ip podwire vxlan-prerouting',
    'chain ip podwire vxlan-output',
  ]);
  assert.deepEqual(lines(planRemoteNode(facts, near)).length, 5);
  assert.deepEqual(lines(planRemoteNode(facts, far)), VXLAN_TO_FAR);
});

test('with directRouting a node of the same rack is a plain route away, another behind the encapsulation', () => {
  const facts = factsOf('vxlan', true);
  assert.deepEqual(lines(planRemoteNode(facts, near)), DIRECT_TO_NEAR);
  assert.deepEqual(lines(planRemoteNode(facts, far)), VXLAN_TO_FAR);
});

test('host-gw is a plain route a node and has no device', () => {
  assert.deepEqual(lines(planOverlay(factsOf('host-gw'))), TO_OTHER_RACKS);
  assert.deepEqual(lines(planRemoteNode(factsOf('host-gw'), near)), DIRECT_TO_NEAR);
});

test('none sends all to the router', () => {
  assert.deepEqual(lines(planRemoteNode(factsOf('none'), far)), [
    'route 10.244.2.0/24 via 172.30.0.2 dev eth0 src 172.30.0.11',
    'route fd00:10:244:2::/64 via fd00:172:30::2 dev eth0 src fd00:172:30::11',
  ]);
});

test('ipip is a device without entries, and carries IPv4 alone', () => {
  const facts = factsOf('ipip');
  assert.deepEqual(lines(planOverlay(facts)).slice(2), [
    'link pw-ipip mtu 1480 up type ipip local 172.30.0.11 remote any',
    'net.ipv4.conf.pw-ipip.rp_filter=0',
  ]);
  assert.deepEqual(lines(planRemoteNode(facts, far)), [
    'route 10.244.2.0/24 via 172.30.0.139 dev pw-ipip onlink src 172.30.0.11',
  ]);
});

test('udp is a TUN device and a route over it for each prefix', () => {
  assert.deepEqual(lines(planOverlay(factsOf('udp'))).slice(2), [
    'link pw-udp mtu 1472 up type tun',
    'net.ipv4.conf.pw-udp.rp_filter=0',
  ]);
  assert.deepEqual(lines(planRemoteNode(factsOf('udp'), far)), [
    'route 10.244.2.0/24 dev pw-udp src 172.30.0.11',
    'route fd00:10:244:2::/64 dev pw-udp src fd00:172:30::11',
  ]);
});

test('ipip by eBPF has no device: a program on the leg, and routes to the next hop with room for the outer header', () => {
  const facts: OverlayFacts = {
    ...factsOf('ipip'),
    overlay: { backend: 'ipip', directRouting: false, datapath: 'ebpf' },
  };
  assert.deepEqual(lines(planOverlay(facts)).slice(2), ['ipip dev eth0 local 172.30.0.11 by eBPF']);
  assert.deepEqual(lines(planRemoteNode(facts, near)), [
    'ipip 10.244.1.0/24 dev eth0 remote 172.30.0.12',
    'route 10.244.1.0/24 via 172.30.0.12 dev eth0 src 172.30.0.11 mtu 1480',
  ]);
  assert.deepEqual(lines(planRemoteNode(facts, far)), [
    'ipip 10.244.2.0/24 dev eth0 remote 172.30.0.139',
    'route 10.244.2.0/24 via 172.30.0.2 dev eth0 src 172.30.0.11 mtu 1480',
  ]);
});

test('while an overlay is changed to ipip by eBPF or from it, what others wrap is received whatever is sent', () => {
  const ipip: OverlaySettings = { backend: 'ipip', directRouting: false, datapath: 'ebpf' };
  const facts = { ...factsOf('host-gw'), fastPath: true, ourFabric: true };
  const without = lines(planRemoteNode(facts, near));
  const received = lines(planRemoteNode(facts, near, ipip));
  assert.deepEqual(
    received.filter((line) => !without.includes(line)),
    ['ipip 10.244.1.0/24 dev eth0 remote 172.30.0.12 receive only'],
  );
  const sending = { ...facts, overlay: ipip };
  for (const other of [facts.overlay, ipip])
    assert.deepEqual(planRemoteNode(sending, near, other), planRemoteNode(sending, near));
});

test('a way that carries less than the link leaves its pods less, in the family that is on the wire', () => {
  const narrow = { ...far, pathMtus: { 4: 1400 } };
  const routes = (backend: OverlayName, ebpf = false) => {
    const facts = factsOf(backend);
    const overlay = { ...facts.overlay, ...(ebpf && { datapath: 'ebpf' as const }) };
    return lines(planRemoteNode({ ...facts, overlay }, narrow)).filter((line) => line.startsWith('route'));
  };
  const mtus = (backend: OverlayName, ebpf = false) =>
    routes(backend, ebpf).map((line) => line.match(/mtu (\d+)/)?.[1]);
  assert.deepEqual(mtus('vxlan'), ['1350', '1350']);
  assert.deepEqual(mtus('udp'), ['1372', '1372']);
  assert.deepEqual(mtus('ipip', true), ['1380']);
  assert.deepEqual(mtus('none'), ['1400', undefined]);
});

test('the fast path knows the links between nodes and the next hop of each plain route over them', () => {
  const fast = (backend: OverlayName, more: object = {}) => {
    const facts: OverlayFacts = {
      ...factsOf(backend),
      fastPath: true,
      overlay: { backend, directRouting: false, ...more },
    };
    const all = [...lines(planOverlay(facts)), ...lines(planRemoteNode(facts, near))];
    return all.filter((line) => line.startsWith('fast path'));
  };
  const wire = 'fast path dev eth0 from wire by eBPF';
  assert.deepEqual(fast('host-gw'), [
    wire,
    'fast path to 10.244.1.0/24 via 172.30.0.12 dev eth0',
    'fast path to fd00:10:244:1::/64 via fd00:172:30::12 dev eth0',
  ]);
  assert.deepEqual(fast('vxlan'), [
    wire,
    'fast path dev pw-vxlan from wire by eBPF',
    'fast path to 10.244.1.0/24 via 10.244.1.0 dev pw-vxlan',
    'fast path to fd00:10:244:1::/64 via fe80::76:acff:fe1e:c dev pw-vxlan',
  ]);
  assert.deepEqual(fast('ipip', { datapath: 'ebpf' }), [wire, 'fast path to 10.244.1.0/24 via 172.30.0.12 dev eth0']);
  assert.deepEqual(fast('ipip'), [wire]);
  assert.deepEqual(fast('udp'), [wire]);
});

test('a path that carries less than pods send is none for the fast path', () => {
  const facts: OverlayFacts = { ...factsOf('none'), fastPath: true };
  const items = lines(planRemoteNode(facts, { ...far, pathMtus: { 4: 1400 } }));
  assert.deepEqual(
    items.filter((line) => line.startsWith('fast path')),
    ['fast path to fd00:10:244:2::/64 via fd00:172:30::2 dev eth0'],
  );
});

test('where all nodes are on one segment there is nothing behind the router', () => {
  const { nodeCIDRs: segmentCIDRs } = factsOf('host-gw');
  assert.deepEqual(lines(planOverlay({ ...factsOf('host-gw'), segmentCIDRs })), []);
});

test('a node without address or prefix has no way to it yet', () => {
  const facts = factsOf('vxlan');
  assert.equal(planRemoteNode(facts, { name: 'node-2', ips: [], podCIDRs: ['10.244.1.0/24'] }), undefined);
  assert.equal(planRemoteNode(facts, { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: [] }), undefined);
});

test('pods have what the backend leaves of the MTU; over IPv6 20 bytes less', () => {
  const left = (backend: OverlayName, nodeIP = '172.30.0.11') =>
    overlayMtu({ mtu: 1500, nodeIPs: [nodeIP], overlay: { backend, directRouting: true } });
  assert.deepEqual([left('vxlan'), left('host-gw'), left('none'), left('ipip')], [1450, 1500, 1500, 1480]);
  assert.equal(left('vxlan', 'fd00::1'), 1430);
});

test('on a fabric of ours the fast path knows the frames for nodes of the same rack', () => {
  const fast = (backend: OverlayName, datapath?: 'ebpf') => {
    const facts = { ...factsOf(backend), fastPath: true, ourFabric: true };
    const all = { ...facts, overlay: { ...facts.overlay, ...(datapath && { datapath }) } };
    const items = [near, far].flatMap((node) => lines(planRemoteNode(all, node)));
    return items.filter((line) => line.startsWith('fast path'));
  };
  const head = 'straight to 02:4e:ac:1e:00:0c';
  assert.deepEqual(fast('host-gw').slice(0, 2), [
    `fast path to 10.244.1.0/24 via 172.30.0.12 dev eth0 ${head}`,
    `fast path to fd00:10:244:1::/64 via fd00:172:30::12 dev eth0 ${head}`,
  ]);
  assert.deepEqual(fast('ipip', 'ebpf'), [
    `fast path to 10.244.1.0/24 via 172.30.0.12 dev eth0 ${head} ipip local 172.30.0.11 remote 172.30.0.12`,
    'fast path to 10.244.2.0/24 via 172.30.0.2 dev eth0',
  ]);
  const ends = 'vxlan id 1 local 172.30.0.11 remote 172.30.0.12';
  assert.deepEqual(fast('vxlan'), [
    `fast path to 10.244.1.0/24 via 172.30.0.12 dev eth0 ${head} ${ends}`,
    `fast path to fd00:10:244:1::/64 via 172.30.0.12 dev eth0 ${head} ${ends}`,
    'fast path to 10.244.2.0/24 via 10.244.2.0 dev pw-vxlan',
    'fast path to fd00:10:244:2::/64 via fe80::76:acff:fe1e:8b dev pw-vxlan',
  ]);
  assert.doesNotMatch(fast('none').join(), /straight/);
});
