// Room plan: Services as the nftables text that they become.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EndpointSlice, Node, Service } from '../objects/types.ts';
import { itemText, rulesetText } from '../wire/nft/text.ts';
import { portsWithoutLocal } from './frontends.ts';
import { planMasqueradeBase, planNodeAddresses } from './masquerade.ts';
import type { Fragment } from './plan.ts';
import { planProxyBase } from './proxy-base.ts';
import type { NodeFacts } from './proxy-names.ts';
import { planService, udpTargets } from './services.ts';

const facts: NodeFacts = {
  nodeName: 'worker-1',
  nodeIPs: ['172.30.0.11', 'fd00:30::11'],
  ownPodCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'],
  podCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'],
  serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  dnsIPs: ['10.96.0.10'],
};
const onlyFour: NodeFacts = { ...facts, nodeIPs: ['172.30.0.11'] };

type Ports = NonNullable<EndpointSlice['ports']>;
type Endpoints = NonNullable<EndpointSlice['endpoints']>;

const metadata = { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', creationTimestamp: '' };

function service(spec: Partial<Service['spec']>): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { clusterIPs: ['10.96.0.7'], ports: [{ port: 80 }], ...spec },
  };
}

function slice(ports: Ports, endpoints: Endpoints, addressType: EndpointSlice['addressType'] = 'IPv4'): EndpointSlice {
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType, ports, endpoints };
}

function ready(...addresses: string[]): Endpoints {
  return addresses.map((address) => ({ addresses: [address], conditions: { ready: true } }));
}

const web: Ports = [{ name: '', port: 8080, protocol: 'TCP' }];

/** Elements as `map { key : data }`. */
function lines(fragment: Fragment | undefined): string[] {
  return (fragment?.items ?? [])
    .filter((item) => item.kind === 'element')
    .map((item) => itemText(item).replace(/^add element /, ''));
}

function check(planned: Fragment | undefined, ...expected: string[]): void {
  assert.deepEqual(
    lines(planned).map((line) => line.replace(/ comment "[^"]*"/, '').replace('ip podwire ', '')),
    expected,
  );
}

describe('a Service as elements', () => {
  test('each element names the object that caused it', () => {
    const endpoints: Endpoints = [
      { addresses: ['10.244.1.5'], nodeName: 'worker-1', targetRef: { kind: 'Pod', namespace: 'shop', name: 'web-0' } },
      { addresses: ['10.244.2.5'], nodeName: 'worker-2' },
    ];
    assert.deepEqual(lines(planService(service({}), [slice(web, endpoints)], facts)), [
      'ip podwire services { 10.96.0.7 . tcp . 80 comment "Service/shop/web" : goto n2 }',
      'ip podwire endpoints { 10.96.0.7 . tcp . 80 . 0 comment "Pod/shop/web-0" : 10.244.1.5 . 8080 }',
      'ip podwire endpoints { 10.96.0.7 . tcp . 80 . 1 comment "Service/shop/web" : 10.244.2.5 . 8080 }',
      'ip podwire hairpin { 10.244.1.5 . 10.244.1.5 }',
    ]);
  });

  test('without endpoints it refuses, at its NodePort too', () => {
    const spec = { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] };
    check(
      planService(service(spec), [], facts),
      'services { 10.96.0.7 . tcp . 80 : goto refuse }',
      'services { 172.30.0.11 . tcp . 30080 : goto refuse }',
    );
  });

  test('a NodePort without a type that opens ports is passed over', () => {
    check(
      planService(service({ type: 'ClusterIP', ports: [{ port: 80, nodePort: 30080 }] }), [], facts),
      'services { 10.96.0.7 . tcp . 80 : goto refuse }',
    );
  });

  test('ports find their number in each slice under their name and protocol', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const slices = [
      slice(
        [
          { name: 'http', port: 8080 },
          { name: 'dns', port: 5353, protocol: 'UDP' },
        ],
        ready('10.244.1.5'),
      ),
      slice([{ name: 'http', port: 9090 }], ready('10.244.1.6')),
    ];
    check(
      planService(service({ ports }), slices, facts),
      'services { 10.96.0.7 . tcp . 80 : goto n2 }',
      'endpoints { 10.96.0.7 . tcp . 80 . 0 : 10.244.1.5 . 8080 }',
      'endpoints { 10.96.0.7 . tcp . 80 . 1 : 10.244.1.6 . 9090 }',
      'services { 10.96.0.7 . udp . 53 : goto n1 }',
      'endpoints { 10.96.0.7 . udp . 53 . 0 : 10.244.1.5 . 5353 }',
    );
  });

  test('an endpoint that two slices have counts once', () => {
    check(
      planService(service({}), [slice(web, ready('10.244.1.5')), slice(web, ready('10.244.1.5'))], facts),
      'services { 10.96.0.7 . tcp . 80 : goto n1 }',
      'endpoints { 10.96.0.7 . tcp . 80 . 0 : 10.244.1.5 . 8080 }',
    );
  });

  test('endpoints that are not ready are left out, those that still serve stand in when none is', () => {
    const leaving = { addresses: ['10.244.1.6'], conditions: { ready: false, serving: true, terminating: true } };
    const broken = { addresses: ['10.244.1.7'], conditions: { ready: false, serving: false, terminating: false } };
    const starting = { addresses: ['10.244.1.8'], conditions: { ready: false, serving: true, terminating: false } };
    check(
      planService(service({}), [slice(web, [...ready('10.244.1.5'), leaving, broken])], facts),
      'services { 10.96.0.7 . tcp . 80 : goto n1 }',
      'endpoints { 10.96.0.7 . tcp . 80 . 0 : 10.244.1.5 . 8080 }',
    );
    check(
      planService(service({}), [slice(web, [leaving, broken, starting])], facts),
      'services { 10.96.0.7 . tcp . 80 : goto n1 }',
      'endpoints { 10.96.0.7 . tcp . 80 . 0 : 10.244.1.6 . 8080 }',
    );
  });

  test('each family has its own addresses and its own table', () => {
    const planned = planService(
      service({ clusterIPs: ['10.96.0.7', 'fd00:10:96::7'] }),
      [slice(web, ready('10.244.1.5')), slice(web, ready('fd00:10:244:1::5'), 'IPv6')],
      facts,
    );
    assert.deepEqual(
      lines(planned).map((line) => line.replace(/ comment "[^"]*"/, '')),
      [
        'ip podwire services { 10.96.0.7 . tcp . 80 : goto n1 }',
        'ip podwire endpoints { 10.96.0.7 . tcp . 80 . 0 : 10.244.1.5 . 8080 }',
        'ip6 podwire services { fd00:10:96::7 . tcp . 80 : goto n1 }',
        'ip6 podwire endpoints { fd00:10:96::7 . tcp . 80 . 0 : fd00:10:244:1::5 . 8080 }',
      ],
    );
  });

  test('the chain of an uncommon number of endpoints comes with the Service', () => {
    const many = ready(...Array.from({ length: 17 }, (_, i) => `10.244.1.${i + 2}`));
    const chains = planService(service({}), [slice(web, many)], facts)!.items.filter((item) => item.kind === 'chain');
    assert.deepEqual(
      chains.map((chain) => itemText(chain).slice(0, 28)),
      ['add chain ip podwire n17 { d'],
    );
  });

  test('the element of an endpoint that stays is the very one that it was', () => {
    const before = planService(service({}), [slice(web, ready('10.244.1.5', '10.244.1.6', '10.244.1.7'))], facts)!;
    const after = planService(
      service({}),
      [slice(web, ready('10.244.1.7', '10.244.1.5', '10.244.1.9'))],
      facts,
      before,
    )!;
    const endpoints = after.items.filter((item) => item.kind === 'element' && item.set === 'endpoints');
    assert.deepEqual(
      endpoints.map((item) => before.items.includes(item)),
      [true, false, true],
    );
  });

  test('headless, ExternalName and DNS leave nothing to do', () => {
    assert.equal(planService(service({ clusterIPs: ['None'] }), [], facts), undefined);
    assert.equal(planService(service({ type: 'ExternalName', clusterIPs: [] }), [], facts), undefined);
    assert.equal(planService(service({ clusterIPs: ['10.96.0.10'] }), [], facts), undefined);
    assert.equal(planService(service({ clusterIPs: ['fd00:10:96::7'] }), [], onlyFour), undefined);
  });

  test('endpoints that stay keep their places, and the last fills the hole of one that goes', () => {
    const addresses = ['10.244.1.5', '10.244.1.6', '10.244.1.7', '10.244.1.8'];
    const first = planService(service({}), [slice(web, ready(...addresses))], facts)!;
    const swapped = planService(
      service({}),
      [slice(web, ready('10.244.9.9', addresses[3]!, addresses[2]!, addresses[0]!))],
      facts,
      first,
    );
    const place = (fragment: Fragment | undefined) =>
      lines(fragment)
        .slice(1)
        .map((line) => line.match(/ : (\S+)/)![1]);
    assert.deepEqual(place(swapped), ['10.244.1.5', '10.244.9.9', '10.244.1.7', '10.244.1.8']);
    const fewer = planService(
      service({}),
      [slice(web, ready(addresses[3]!, addresses[0]!, addresses[2]!))],
      facts,
      first,
    );
    assert.deepEqual(place(fewer), ['10.244.1.5', '10.244.1.8', '10.244.1.7']);
  });

  test('UDP frontends and where they lead, for telling stale flows', () => {
    const ports = [
      { port: 53, protocol: 'UDP', nodePort: 30053 },
      { name: 'tcp', port: 53 },
    ];
    const udp: Ports = [{ name: '', port: 5353, protocol: 'UDP' }];
    const target = [{ ip: '10.244.1.5', port: 5353 }];
    const planned = planService(service({ type: 'NodePort', ports }), [slice(udp, ready('10.244.1.5'))], facts);
    assert.deepEqual(
      [...udpTargets(planned)],
      [
        ['10.96.0.7 53', target],
        ['172.30.0.11 30053', target],
      ],
    );
    const empty = planService(service({ ports }), [], facts);
    assert.deepEqual([...udpTargets(empty)], [['10.96.0.7 53', []]]);
  });
});

test('what Services share on a node, as nft text', () => {
  const items = planProxyBase(onlyFour).items as Parameters<typeof rulesetText>[0];
  const few = items.filter((item) => item.kind !== 'chain' || !/^n([2-9]|1\d)$/.test(item.chain));
  assert.equal(
    rulesetText(few),
    `table ip podwire {
  map services {
    type ipv4_addr . inet_proto . inet_service : verdict;
  }
  map services-outside {
    type ipv4_addr . inet_proto . inet_service : verdict;
  }
  map endpoints {
    typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport;
  }
  map endpoints-outside {
    typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport;
  }
  map picks {
    typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : meta mark;
  }
  map affinity {
    type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark;
    size 262144;
    flags timeout,dynamic;
  }
  set keep-source {
    type ipv4_addr . inet_proto . inet_service;
  }
  set dropped {
    type ipv4_addr . inet_proto . inet_service;
    counter;
  }
  set sources {
    type ipv4_addr . inet_proto . inet_service . ipv4_addr;
    flags interval;
  }
  set hairpin {
    type ipv4_addr . ipv4_addr;
  }
  set host-port-targets {
    type ipv4_addr . inet_proto . inet_service;
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp port-unreachable
  }
  chain drop {
    ip daddr . meta l4proto . th dport @dropped drop
    drop
  }
  chain n1 {
    dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 1 map @endpoints
    goto refuse
  }
  chain services-prerouting {
    type nat hook prerouting priority -100; policy accept;
    ip saddr != 10.244.0.0/16 ip daddr . meta l4proto . th dport vmap @services-outside
    ip daddr . meta l4proto . th dport vmap @services
    ip daddr 10.96.0.0/16 goto refuse
  }
  chain services-output {
    type nat hook output priority -100; policy accept;
    ip daddr . meta l4proto . th dport vmap @services
    ip daddr 10.96.0.0/16 goto refuse
  }
  chain services-source {
    type nat hook postrouting priority 100; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin snat ip to 172.30.0.11
    ct status dnat ip daddr . meta l4proto . th dport @host-port-targets return
    ct status dnat ip saddr != 10.244.0.0/16 ct original ip daddr . meta l4proto . ct original proto-dst @keep-source return
    ct status dnat ip saddr != 10.244.1.0/24 snat ip to 172.30.0.11
  }
  chain dns-prerouting {
    type filter hook prerouting priority -300; policy accept;
    ip daddr 10.96.0.10 notrack
    ip saddr 10.96.0.10 notrack
  }
  chain dns-output {
    type filter hook output priority -300; policy accept;
    ip daddr 10.96.0.10 notrack
    ip saddr 10.96.0.10 notrack
  }
}
`,
  );
});

test('how pods leave the cluster, as nft text', () => {
  const node: Node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { ...metadata, name: 'worker-2' },
    status: {
      addresses: [
        { type: 'InternalIP', address: '172.30.0.12' },
        { type: 'Hostname', address: 'worker-2' },
      ],
    },
  };
  const items = [...planMasqueradeBase(onlyFour).items, ...planNodeAddresses(node, onlyFour).items];
  assert.equal(
    rulesetText(items as Parameters<typeof rulesetText>[0]),
    `table ip podwire {
  set node-addresses {
    type ipv4_addr;
    elements = {
      172.30.0.12 comment "Node/worker-2",
    }
  }
  chain leaving {
    ip daddr 10.244.0.0/16 return
    ip daddr 10.96.0.0/16 return
    ip daddr @node-addresses return
    masquerade
  }
  chain masquerade {
    type nat hook postrouting priority 101; policy accept;
    ip saddr 10.244.1.0/24 jump leaving
  }
}
`,
  );
});

test('ports without an endpoint here, by a policy of Local, while there are some elsewhere', () => {
  const at = (nodeName: string): Endpoints => [{ addresses: ['10.244.9.9'], conditions: { ready: true }, nodeName }];
  const ports = [{ port: 80, targetPort: 8080, nodePort: 30080 }];
  const local = service({ type: 'NodePort', internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local', ports });
  const count = (spec: Service, ...slices: EndpointSlice[]) => Object.values(portsWithoutLocal(spec, slices, facts));
  assert.deepEqual(count(local, slice(web, at('elsewhere'))), [1, 1]);
  assert.deepEqual(count(local, slice(web, at(facts.nodeName))), [0, 0]);
  assert.deepEqual(count(local), [0, 0], 'none anywhere is another matter');
  const outside = service({ type: 'NodePort', externalTrafficPolicy: 'Local', ports });
  assert.deepEqual(count(outside, slice(web, at('elsewhere'))), [0, 1]);
  assert.deepEqual(count(service({ ports }), slice(web, at('elsewhere'))), [0, 0]);
});
