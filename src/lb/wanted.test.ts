// Which addresses are a node's affair, and which nodes may have them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryInformer } from '../cache/memory-informer.fixture.ts';
import type { EndpointSlice, Node, Service } from '../objects/types.ts';
import { addressesOf, isOfSegment, memberOf, nodesWithEndpoints, wantedAddress } from './wanted.ts';

const META = { uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', namespace: 'shop' };
const SECOND_RACK = {
  nodeIPs: ['172.30.0.139'],
  nodeCIDRs: ['172.30.0.0/24'],
  segmentCIDRs: ['172.30.0.128/25'],
};
const FIRST_RACK = { nodeIPs: ['172.30.0.11'], nodeCIDRs: ['172.30.0.0/24'], segmentCIDRs: ['172.30.0.0/25'] };

function service(spec: Partial<Service['spec']>, ingress: { ip: string; ipMode?: string }[]): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...META, name: 'web' },
    spec: { type: 'LoadBalancer', ...spec },
    status: { loadBalancer: { ingress } },
  };
}

function slice(name: string, endpoints: EndpointSlice['endpoints']): EndpointSlice {
  const labels = { 'kubernetes.io/service-name': 'web' };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...META, name, labels },
    addressType: 'IPv4',
    endpoints,
  };
}

test('an address is of the rack that has it; one of elsewhere of the first', () => {
  assert.deepEqual(
    ['172.30.0.100', '172.30.0.200', '192.0.2.7'].map((ip) => [
      isOfSegment(ip, FIRST_RACK),
      isOfSegment(ip, SECOND_RACK),
    ]),
    [
      [true, false],
      [false, true],
      [true, false],
    ],
  );
});

test('addresses of our own Services only, and none that another balancer terminates', () => {
  const ip = '172.30.0.200';
  assert.deepEqual(addressesOf(service({}, [{ ip }])), [ip]);
  assert.deepEqual(addressesOf(service({ loadBalancerClass: 'podwire.io/l2' }, [{ ip, ipMode: 'VIP' }])), [ip]);
  assert.deepEqual(addressesOf(service({ loadBalancerClass: 'example.com/cloud' }, [{ ip }])), []);
  assert.deepEqual(addressesOf(service({}, [{ ip, ipMode: 'Proxy' }])), []);
  assert.deepEqual(addressesOf(service({ type: 'ClusterIP' }, [{ ip }])), []);
});

test('with externalTrafficPolicy Local the nodes with ready endpoints, of all Services that share the address', () => {
  const slices = new MemoryInformer<EndpointSlice>({ service: () => ['shop/web'] });
  const on = (nodeName: string, ready?: boolean) => ({
    addresses: ['10.0.0.1'],
    nodeName,
    conditions: { ...(ready !== undefined && { ready }) },
  });
  slices.set(slice('web-1', [on('node-1'), on('node-2', false)]));
  slices.set(slice('web-2', [on('node-3', true)]));
  const local = service({ externalTrafficPolicy: 'Local' }, []);
  assert.deepEqual([...nodesWithEndpoints(slices.list(), '172.30.0.200')].sort(), ['node-1', 'node-3']);
  assert.deepEqual([...nodesWithEndpoints(slices.list(), 'fd00::1')], []);
  assert.deepEqual([...wantedAddress('172.30.0.200', [local], slices).nodes!].sort(), ['node-1', 'node-3']);
  assert.equal(wantedAddress('172.30.0.200', [service({}, [])], slices).nodes, undefined);
});

test('members are the nodes of the segment, as the API has them', () => {
  const node = (address: string, ready: string, labels = {}): Node => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { ...META, name: 'node-1', labels },
    status: {
      addresses: [{ type: 'InternalIP', address }],
      conditions: [{ type: 'Ready', status: ready }],
    },
  });
  assert.deepEqual(memberOf(node('172.30.0.12', 'True'), FIRST_RACK), {
    name: 'node-1',
    ip: '172.30.0.12',
    ready: true,
    excluded: false,
  });
  assert.equal(memberOf(node('172.30.0.140', 'True'), FIRST_RACK), undefined);
  const excluded = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };
  assert.equal(memberOf(node('172.30.0.12', 'Unknown', excluded), FIRST_RACK)?.excluded, true);
  assert.equal(memberOf(node('172.30.0.12', 'Unknown'), FIRST_RACK)?.ready, false);
});
