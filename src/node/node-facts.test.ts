// Room node: what a node's plans know of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeOptions } from './agent.ts';
import { factsOf } from './node-facts.ts';

const options = {
  nodeName: 'node-1',
  // In a network so small that this machine is hardly in it, as by its own leg it is in that of a cluster which is up.
  nodeIPs: ['203.0.113.11', '2001:db8::11'],
  podCIDRs: ['10.244.0.0/24'],
  clusterPodCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
  dnsIPs: [],
} as unknown as NodeOptions;

test("NodePorts are open at the node's first addresses, or where its addresses lie in the CIDRs that were said", () => {
  const open = (...nodePortAddresses: string[]) => factsOf({ ...options, nodePortAddresses }, undefined).nodePortIPs;
  assert.equal(open(), undefined);
  assert.equal(open('primary'), undefined);
  assert.deepEqual(open('203.0.113.8/29'), ['203.0.113.11']);
  assert.deepEqual(open('2001:db8::/32', '203.0.113.8/29')?.toSorted(), ['2001:db8::11', '203.0.113.11']);
  // Of loopback none: that traffic would have to come back to where it cannot.
  assert.deepEqual(open('127.0.0.0/8'), []);
});

test('ServiceCIDRs are those of the options and of objects, each once', () => {
  const { serviceCIDRs } = factsOf(options, undefined, ['10.97.0.0/24', '10.96.0.0/16', '10.97.0.7/24']);
  assert.deepEqual(serviceCIDRs, ['10.96.0.0/16', '10.97.0.0/24']);
});
