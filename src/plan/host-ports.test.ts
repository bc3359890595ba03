// What a pod's published ports are, as an operator would type it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NftItem } from '../kernel/nft-items.ts';
import { itemText, rulesetText } from '../wire/nft/text.ts';
import { type HostPort, publishPod, staleHostPortFlows } from './host-ports.ts';

const POD = { podNamespace: 'shop', podName: 'web-0', ips: ['10.244.0.7', 'fd00:10:244::7'] };
const elements = (hostPorts: readonly HostPort[]) =>
  publishPod({ ...POD, hostPorts })
    .filter((item) => item.kind === 'element')
    .map(itemText);

test('one port, as nft text', () => {
  const hostPorts: HostPort[] = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
  assert.equal(
    rulesetText(publishPod({ ...POD, ips: ['10.244.0.7'], hostPorts }) as NftItem[]),
    `table ip podwire {
  map host-ports {
    type inet_proto . inet_service : ipv4_addr . inet_service;
    elements = {
      tcp . 8080 comment "Pod/shop/web-0" : 10.244.0.7 . 80,
    }
  }
  map host-address-ports {
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;
  }
  chain publish {
    meta l4proto tcp dnat ip to ip daddr . meta l4proto . th dport map @host-address-ports
    meta l4proto tcp dnat ip to meta l4proto . th dport map @host-ports
    meta l4proto udp dnat ip to ip daddr . meta l4proto . th dport map @host-address-ports
    meta l4proto udp dnat ip to meta l4proto . th dport map @host-ports
    meta l4proto sctp dnat ip to ip daddr . meta l4proto . th dport map @host-address-ports
    meta l4proto sctp dnat ip to meta l4proto . th dport map @host-ports
  }
  chain host-ports-prerouting {
    type nat hook prerouting priority -99; policy accept;
    fib daddr type local jump publish
  }
  chain host-ports-output {
    type nat hook output priority -99; policy accept;
    fib daddr type local jump publish
  }
  chain host-ports-guard {
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }
  set hairpin {
    type ipv4_addr . ipv4_addr;
    elements = {
      10.244.0.7 . 10.244.0.7 comment "Pod/shop/web-0",
      127.0.0.1 . 10.244.0.7 comment "Pod/shop/web-0",
    }
  }
  set host-port-targets {
    type ipv4_addr . inet_proto . inet_service;
    elements = {
      10.244.0.7 . tcp . 80 comment "Pod/shop/web-0",
    }
  }
}
`,
  );
});

test('a port of one address stands in the map of addresses, and every address of a family means that family alone', () => {
  const port = { hostPort: 53, containerPort: 5353, protocol: 'udp' } as const;
  const to = (...hostIP: string[]) =>
    elements(hostIP.length > 0 ? [{ ...port, hostIP: hostIP[0]! }] : [port]).filter((line) => line.includes('ports'));
  const four = 'add element ip podwire host-ports { udp . 53 comment "Pod/shop/web-0" : 10.244.0.7 . 5353 }';
  const six = 'add element ip6 podwire host-ports { udp . 53 comment "Pod/shop/web-0" : fd00:10:244::7 . 5353 }';
  assert.deepEqual(to(), [four, six]);
  assert.deepEqual(to('0.0.0.0'), [four]);
  assert.deepEqual(to('::'), [six]);
  assert.deepEqual(to('172.30.0.11'), [
    'add element ip podwire host-address-ports { 172.30.0.11 . udp . 53 comment "Pod/shop/web-0" : 10.244.0.7 . 5353 }',
  ]);
});

test('a pod without ports has no rules', () => {
  assert.deepEqual(publishPod({ ...POD, hostPorts: [] }), []);
});

test('of UDP ports, and of those alone, flows that do not go to the pod are stale', () => {
  const hostPorts: HostPort[] = [
    { hostPort: 80, containerPort: 80, protocol: 'tcp' },
    { hostPort: 53, containerPort: 5353, protocol: 'udp', hostIP: '::' },
    { hostPort: 54, containerPort: 5353, protocol: 'udp', hostIP: '172.30.0.99' },
  ];
  const nodeIPs = ['172.30.0.11', 'fd00:172:30::11'];
  const udp = { protocol: 'UDP' } as const;
  assert.deepEqual(staleHostPortFlows({ ...POD, hostPorts }, nodeIPs), [
    {
      ...udp,
      originalDst: '172.30.0.99',
      originalDstPort: 54,
      except: [{ ip: '10.244.0.7', port: 5353 }],
    },
    {
      ...udp,
      originalDst: 'fd00:172:30::11',
      originalDstPort: 53,
      except: [{ ip: 'fd00:10:244::7', port: 5353 }],
    },
  ]);
});
