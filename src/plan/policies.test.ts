// Room plan: Services with policies: who is sent where, by session affinity, traffic policies, source ranges, hints.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NftItem } from '../kernel/nft-items.ts';
import type { EndpointSlice, Service } from '../objects/types.ts';
import { itemText } from '../wire/nft/text.ts';
import { frontendsOf } from './frontends.ts';
import type { NodeFacts } from './proxy-names.ts';
import { localReadyCount } from './service-endpoints.ts';
import { planService } from './services.ts';

const facts: NodeFacts = {
  nodeName: 'n1',
  nodeIPs: ['172.30.0.11'],
  ownPodCIDRs: ['10.244.1.0/24'],
  podCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
  dnsIPs: [],
  zone: 'a',
};
type Spec = Service['spec'];
type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

const metadata = { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
const service = (spec: Partial<Spec>, status: object = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata,
  spec: { clusterIPs: ['10.96.0.7'], ports: [{ port: 80, nodePort: 30080 }], ...spec },
  status,
});
const at = (address: string, nodeName: string, rest: Partial<Endpoint> = {}): Endpoint => ({
  addresses: [address],
  nodeName,
  conditions: { ready: true },
  ...rest,
});
const leaving = { conditions: { ready: false, serving: true, terminating: true } };
const slice = (...endpoints: Endpoint[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata,
  addressType: 'IPv4',
  ports: [{ name: '', port: 8080, protocol: 'TCP' }],
  endpoints,
});
const here = at('10.244.1.5', 'n1');
const there = at('10.244.2.5', 'n2');

/** `kind ip:port`, then where traffic from inside goes, then from outside if that differs. */
function ways(spec: Partial<Spec>, endpoints: Endpoint[], status: object = {}, of = facts): string[] {
  return frontendsOf(service(spec, status), [slice(...endpoints)], of).map(({ kind, ip, port, inside, outside }) => {
    const text = (backends: typeof inside) => backends.endpoints.map((each) => each.ip).join(',') || backends.otherwise;
    return `${kind} ${ip}:${port} ${text(inside)}${outside ? ` / ${text(outside)}` : ''}`;
  });
}

describe('where traffic goes', () => {
  const cases: [name: string, spec: Partial<Spec>, endpoints: Endpoint[], ways: string[]][] = [
    ['from everywhere to everywhere', {}, [here, there], ['clusterIP 10.96.0.7:80 10.244.1.5,10.244.2.5']],
    [
      'internalTrafficPolicy Local: to this node alone',
      { internalTrafficPolicy: 'Local' },
      [here, there],
      ['clusterIP 10.96.0.7:80 10.244.1.5'],
    ],
    [
      'internalTrafficPolicy Local without an endpoint here: dropped',
      { internalTrafficPolicy: 'Local' },
      [there],
      ['clusterIP 10.96.0.7:80 drop'],
    ],
    [
      'internalTrafficPolicy Local without any endpoint: refused',
      { internalTrafficPolicy: 'Local' },
      [],
      ['clusterIP 10.96.0.7:80 refuse'],
    ],
    [
      'externalTrafficPolicy Local: from outside to this node alone, from inside to all',
      { type: 'NodePort', externalTrafficPolicy: 'Local' },
      [here, there],
      ['clusterIP 10.96.0.7:80 10.244.1.5,10.244.2.5', 'nodePort 172.30.0.11:30080 10.244.1.5,10.244.2.5 / 10.244.1.5'],
    ],
    [
      'externalTrafficPolicy Local without an endpoint here: from outside dropped',
      { type: 'NodePort', externalTrafficPolicy: 'Local' },
      [there],
      ['clusterIP 10.96.0.7:80 10.244.2.5', 'nodePort 172.30.0.11:30080 10.244.2.5 / drop'],
    ],
    [
      'on this node one that still serves while it terminates stands in, though others are ready elsewhere',
      { type: 'NodePort', externalTrafficPolicy: 'Local' },
      [{ ...here, ...leaving }, there],
      ['clusterIP 10.96.0.7:80 10.244.2.5', 'nodePort 172.30.0.11:30080 10.244.2.5 / 10.244.1.5'],
    ],
    [
      'externalIPs take the port of the Service',
      { externalIPs: ['203.0.113.7', '203.0.113.7'] },
      [there],
      ['clusterIP 10.96.0.7:80 10.244.2.5', 'externalIP 203.0.113.7:80 10.244.2.5'],
    ],
  ];
  for (const [name, spec, endpoints, expected] of cases) {
    test(name, () => assert.deepEqual(ways(spec, endpoints), expected));
  }

  test("a load balancer's addresses, but those that it terminates itself", () => {
    const ingress = [{ ip: '172.30.0.200' }, { ip: '172.30.0.201', ipMode: 'Proxy' }, { hostname: 'lb.example.com' }];
    const found = ways({ type: 'LoadBalancer' }, [here], { loadBalancer: { ingress } });
    assert.deepEqual(
      found.filter((way) => way.startsWith('loadBalancer')),
      ['loadBalancer 172.30.0.200:80 10.244.1.5'],
    );
  });

  test('NodePorts open at the addresses that the node was told', () => {
    const found = ways({ type: 'NodePort' }, [here], {}, { ...facts, nodePortIPs: [] });
    assert.deepEqual(found, ['clusterIP 10.96.0.7:80 10.244.1.5']);
  });

  const zoned = (address: string, zone: string, node?: string): Endpoint =>
    at(address, 'n9', { hints: { forZones: [{ name: zone }], ...(node && { forNodes: [{ name: node }] }) } });
  const hinted: [name: string, endpoints: Endpoint[], expected: string][] = [
    ['hints for this zone', [zoned('10.0.0.1', 'a'), zoned('10.0.0.2', 'b')], '10.0.0.1'],
    ['no hint for this zone: all', [zoned('10.0.0.1', 'c'), zoned('10.0.0.2', 'b')], '10.0.0.1,10.0.0.2'],
    ['one without a hint: all', [zoned('10.0.0.1', 'a'), at('10.0.0.2', 'n2')], '10.0.0.1,10.0.0.2'],
    ['this node before this zone', [zoned('10.0.0.1', 'a', 'n1'), zoned('10.0.0.2', 'a', 'n2')], '10.0.0.1'],
    ['no hint for this node: this zone', [zoned('10.0.0.1', 'a', 'n3'), zoned('10.0.0.2', 'b', 'n2')], '10.0.0.1'],
  ];
  for (const [name, endpoints, expected] of hinted) {
    test(name, () => assert.deepEqual(ways({}, endpoints), [`clusterIP 10.96.0.7:80 ${expected}`]));
  }

  test('what a health check counts: the ready endpoints of the node, each once', () => {
    const slices = [slice(here, there), slice(here, { ...at('10.244.1.6', 'n1'), ...leaving })];
    assert.equal(localReadyCount(slices, 'n1'), 1);
  });
});

describe('in nftables', () => {
  const lines = (spec: Partial<Spec>, endpoints: Endpoint[], status: object = {}) =>
    planService(service(spec, status), [slice(...endpoints)], facts)!.items.map((item) =>
      itemText(item as NftItem).replace(/^add (element|chain) ip podwire /, ''),
    );

  test('traffic from outside has its own map, endpoints and counter', () => {
    assert.deepEqual(lines({ type: 'NodePort', externalTrafficPolicy: 'Local' }, [there]), [
      'services { 10.96.0.7 . tcp . 80 comment "Service/shop/web" : goto n1 }',
      'endpoints { 10.96.0.7 . tcp . 80 . 0 comment "Service/shop/web" : 10.244.2.5 . 8080 }',
      'services { 172.30.0.11 . tcp . 30080 comment "Service/shop/web" : goto n1 }',
      'services-outside { 172.30.0.11 . tcp . 30080 comment "Service/shop/web" : goto drop }',
      'keep-source { 172.30.0.11 . tcp . 30080 comment "Service/shop/web" }',
      'dropped { 172.30.0.11 . tcp . 30080 comment "Service/shop/web: no endpoint on this node" }',
      'endpoints { 172.30.0.11 . tcp . 30080 . 0 comment "Service/shop/web" : 10.244.2.5 . 8080 }',
    ]);
    const both = lines({ type: 'NodePort', externalTrafficPolicy: 'Local' }, [here, there]);
    assert.ok(
      both.includes('endpoints { 172.30.0.11 . tcp . 30080 . 65536 comment "Service/shop/web" : 10.244.1.5 . 8080 }'),
    );
    assert.ok(
      both.some((line) =>
        line.startsWith(
          'outside1 { dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 1 offset 65536 map @endpoints',
        ),
      ),
    );
  });

  test('clients that come again find the endpoint under a number of its own', () => {
    const affinity = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } };
    const found = lines(affinity, [here, there]);
    assert.equal(found[0], 'services { 10.96.0.7 . tcp . 80 comment "Service/shop/web" : goto n2-sticky-60 }');
    const number = found.find((line) => line.startsWith('picks { 10.96.0.7 . tcp . 80 . 1 '))!.match(/: (\d+) }/)![1];
    assert.ok(
      found.includes(`endpoints { 10.96.0.7 . tcp . 80 . ${number} comment "Service/shop/web" : 10.244.2.5 . 8080 }`),
    );
    const without = lines(affinity, [there]);
    assert.ok(
      without.some((line) => line.includes(` . ${number} comment`)),
      'the number stays while others go',
    );
    assert.match(
      found.find((line) => line.startsWith('n2-sticky-60 {'))!,
      /jump sticky-60 delete @affinity .* jump sticky-60 goto n2 }$/,
    );
  });

  test('who may come to a load balancer', () => {
    const spec = {
      type: 'LoadBalancer',
      loadBalancerSourceRanges: ['10.0.0.0/8', ' 10.1.0.0/16', '192.0.2.1/32', 'fd00::/8'],
    };
    const found = lines(spec, [here], { loadBalancer: { ingress: [{ ip: '172.30.0.200' }] } });
    const guarded = found.filter((line) => line.includes('172.30.0.200') && !line.startsWith('endpoints'));
    assert.deepEqual(guarded, [
      'services { 172.30.0.200 . tcp . 80 comment "Service/shop/web" : goto sources-n1 }',
      'sources { 172.30.0.200 . tcp . 80 . 10.0.0.0/8 comment "Service/shop/web" }',
      'sources { 172.30.0.200 . tcp . 80 . 192.0.2.1/32 comment "Service/shop/web" }',
      'dropped { 172.30.0.200 . tcp . 80 comment "Service/shop/web: not in loadBalancerSourceRanges" }',
    ]);
    assert.ok(
      found.includes('sources-n1 { ip daddr . meta l4proto . th dport . ip saddr @sources goto n1 goto drop }'),
    );
  });
});
