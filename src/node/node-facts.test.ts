// Room node: what a node's plans know of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeOptions } from './agent.ts';
import { factsOf } from './node-facts.ts';

const options = {
  nodeName: 'node-1',
  // In networks that no machine has: a cluster's leg on this one would be among its addresses.
  nodeIPs: ['192.0.2.11', '2001:db8::11'],
  podCIDRs: ['10.244.0.0/24'],
  clusterPodCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
  dnsIPs: [],
} as unknown as NodeOptions;

test("NodePorts are open at the node's first addresses, or where its addresses lie in the CIDRs that were said", () => {
  const open = (...nodePortAddresses: string[]) => factsOf({ ...options, nodePortAddresses }, undefined).nodePortIPs;
  assert.equal(open(), undefined);
  assert.equal(open('primary'), undefined);
  assert.deepEqual(open('192.0.2.0/24'), ['192.0.2.11']);
  assert.deepEqual(open('2001:db8::/32', '192.0.2.0/24')?.toSorted(), ['192.0.2.11', '2001:db8::11']);
  // Of loopback none: that traffic would have to come back to where it cannot.
  assert.deepEqual(open('127.0.0.0/8'), []);
});

test('ServiceCIDRs are those of the options and of objects, each once', () => {
  const { serviceCIDRs } = factsOf(options, undefined, ['10.97.0.0/24', '10.96.0.0/16', '10.97.0.7/24']);
  assert.deepEqual(serviceCIDRs, ['10.96.0.0/16', '10.97.0.0/24']);
});
