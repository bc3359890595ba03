// Room cluster: names, addresses and prefixes of nodes are arithmetic over the config.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prefixesOverlap } from '../addr/prefix.ts';
import { defaultConfig, mergeConfig, SLOTS } from './config.ts';
import { apiServerIPs, dnsServiceIPs, loadBalancerAddresses, nodeLayouts, reservedAddresses } from './layout.ts';

test('three nodes of the default config', () => {
  const layouts = nodeLayouts(defaultConfig('podwire', 0));
  assert.deepEqual(
    layouts.map((node) => [node.name, node.netns, ...node.ips, ...node.podCIDRs]),
    [
      ['node-1', 'pw-podwire-node-1', '172.30.0.11', '10.244.0.0/24'],
      ['node-2', 'pw-podwire-node-2', '172.30.0.12', '10.244.1.0/24'],
      ['node-3', 'pw-podwire-node-3', '172.30.0.13', '10.244.2.0/24'],
    ],
  );
});

test('the default pool is a range of the node network that nodes do not reach', () => {
  const plain = defaultConfig('podwire', 0);
  assert.deepEqual(loadBalancerAddresses(plain), ['172.30.0.200-172.30.0.250']);
  const dual = mergeConfig(plain, { network: { nodeCIDRs: ['172.30.4.0/24', 'fd00:172:30::/64'] } });
  assert.deepEqual(loadBalancerAddresses(dual), ['172.30.4.200-172.30.4.250', 'fd00:172:30::1000-fd00:172:30::10ff']);
  const small = mergeConfig(plain, { network: { nodeCIDRs: ['172.30.4.0/25'] } });
  assert.deepEqual(loadBalancerAddresses(small), []);
  assert.deepEqual(loadBalancerAddresses(mergeConfig(plain, { loadBalancer: { addresses: [] } })), []);
  const racks = mergeConfig(plain, { network: { racks: 2 } });
  assert.deepEqual(reservedAddresses(racks), [
    '172.30.0.0',
    '172.30.0.1',
    '172.30.0.2',
    '172.30.0.127',
    '172.30.0.128',
    '172.30.0.129',
    '172.30.0.130',
    '172.30.0.255',
  ]);
});

test('each family has addresses and prefixes of its own', () => {
  const config = mergeConfig(defaultConfig('dual', 0), {
    network: {
      nodeCIDRs: ['172.30.0.0/24', 'fd00:172:30::/64'],
      podCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'],
      nodePrefixLengths: [24, 64],
      serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
    },
  });
  const [, second] = nodeLayouts(config);
  assert.deepEqual(second!.ips, ['172.30.0.12', 'fd00:172:30::c']);
  assert.deepEqual(second!.podCIDRs, ['10.244.1.0/24', 'fd00:10:244:1::/64']);
  assert.deepEqual(apiServerIPs(config), ['172.30.0.2', 'fd00:172:30::2']);
  assert.deepEqual(dnsServiceIPs(config), ['10.96.0.10', 'fd00:10:96::a']);
});

test('a pod CIDR without room for every node says so', () => {
  const config = mergeConfig(defaultConfig('small', 0), { nodes: 3, network: { podCIDRs: ['10.0.0.0/23'] } });
  assert.throws(() => nodeLayouts(config), /10\.0\.0\.0\/23 has no address number/);
});

test('the CIDRs of no two slots overlap', () => {
  const cidrs = Array.from({ length: SLOTS }, (_, slot) => defaultConfig('x', slot).network).flatMap((network) => [
    ...network.nodeCIDRs,
    ...network.podCIDRs,
    ...network.serviceCIDRs,
  ]);
  const clashes = cidrs.flatMap((a, i) => cidrs.slice(0, i).filter((b) => prefixesOverlap(a, b)));
  assert.deepEqual(clashes, []);
});
