// Room cluster: values that are right each for itself, and wrong together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClusterConfig, defaultConfig, mergeConfig } from './config.ts';
import { requireFit } from './fit.ts';

function config(network: Partial<ClusterConfig['network']>, nodes = 3): ClusterConfig {
  return mergeConfig(defaultConfig('podwire', 0), { nodes, network });
}

test('the defaults fit, in one family and in two, for one node and for two hundred', () => {
  requireFit(config({}, 1));
  requireFit(config({}, 200));
  requireFit(config({ racks: 3 }, 3));
  requireFit(
    config({
      nodeCIDRs: ['172.30.0.0/24', 'fd00:30::/64'],
      podCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'],
      nodePrefixLengths: [24, 64],
      serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
    }),
  );
});

const MISFITS: [what: string, network: Partial<ClusterConfig['network']>, says: RegExp][] = [
  ['a range of ports that goes down', { nodePortRange: [32000, 31000] }, /nodePortRange goes from 32000 down to 31000/],
  ['too few addresses for the nodes', { nodeCIDRs: ['172.30.0.0/29'] }, /nodeCIDRs.* for 3 nodes do not fit: /],
  ['no address for DNS', { serviceCIDRs: ['10.96.0.0/30'] }, /serviceCIDRs do not fit: 10\.96\.0\.0\/30/],
  [
    'shares larger than the whole',
    { podCIDRs: ['10.1.0.0/24'], nodePrefixLengths: [16] },
    /nodePrefixLengths .*do not fit/,
  ],
  ['more nodes than shares', { podCIDRs: ['10.1.0.0/24'], nodePrefixLengths: [24] }, /for 3 nodes do not fit/],
  ['shares without addresses', { nodePrefixLengths: [32] }, /\/32 leaves a node no addresses/],
  [
    'a destination of a family that no pod has',
    { nonMasqueradeCIDRs: ['10.0.0.0/8', 'fd00::/8'] },
    /nonMasqueradeCIDRs: fd00::\/8 is IPv6, network\.nodeCIDRs IPv4/,
  ],
  ['more racks than nodes', { racks: 9 }, /^Fault: --racks 9 \(network\.racks\) is more than --nodes 3: /],
  ['families that differ', { podCIDRs: ['fd00:10:244::/56'] }, /podCIDRs is IPv6, network\.nodeCIDRs IPv4/],
];
for (const [what, network, says] of MISFITS) {
  test(`refused: ${what}`, () => {
    assert.throws(() => requireFit(config(network)), says);
  });
}
