// Flows as files have them: our own lines, and what conntrack prints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyEngine } from '../plan/policy/engine.ts';
import { flowsOf, readFlows } from './seen-flows.ts';

function pod(name: string, ip: string, node: string) {
  const facts = { namespace: 'shop', name, labels: {}, ips: [ip], node, hostNetwork: false, ports: new Map() };
  return { key: `shop/${name}`, ...facts };
}

test('an entry is a flow where a pod is, and of a datagram without an answer only where it arrived', () => {
  const engine = new PolicyEngine();
  engine.setPod(pod('web', '10.1.0.1', 'a'));
  engine.setPod(pod('db', '10.1.1.1', 'b'));
  const entry = (dst: string, isAnswered: boolean, protocol = 17) => ({
    id: 1,
    isAnswered,
    original: { src: '10.1.0.1', dst, protocol, srcPort: 40000, dstPort: 53 },
    reply: { src: dst, dst: '10.1.0.1', protocol, srcPort: 53, dstPort: 40000 },
  });
  const found = (node: string, dst: string, isAnswered: boolean, protocol?: number) =>
    flowsOf(entry(dst, isAnswered, protocol), node, engine).length;
  assert.deepEqual(
    [found('a', '10.1.1.1', true), found('b', '10.1.1.1', true), found('c', '10.1.1.1', true)],
    [1, 1, 0],
  );
  // It left the client's node, and the pod's own may have refused it.
  assert.deepEqual([found('a', '10.1.1.1', false), found('b', '10.1.1.1', false)], [0, 1]);
  assert.deepEqual([found('a', '192.0.2.1', false), found('a', '192.0.2.1', false, 6)], [1, 0]);
});

test('lines of JSON, by address and by pod, and lines of conntrack, after the translation of Services', () => {
  const engine = new PolicyEngine();
  engine.setPod(pod('db', '10.1.0.9', 'n'));
  const text = `
{"from": "10.1.0.1", "to": "shop/db", "protocol": "tcp", "port": 5432}
{"from": "10.1.0.1", "to": "nobody/here", "port": 1}
tcp      6 431999 ESTABLISHED src=10.1.0.1 dst=10.96.0.5 sport=40000 dport=80 src=10.1.0.2 dst=10.1.0.1 sport=8080 dport=40000 [ASSURED] mark=0 use=1
    [NEW] udp      17 30 src=fd00::1 dst=fd00::2 sport=5000 dport=53 [UNREPLIED] src=fd00::2 dst=fd00::1 sport=53 dport=5000
tcp      6 100 SYN_SENT src=10.1.0.1 dst=10.1.0.3 sport=40001 dport=81 [UNREPLIED] src=10.1.0.3 dst=10.1.0.1 sport=81 dport=40001 mark=0 use=1
icmp     1 29 src=10.1.0.1 dst=10.1.0.2 type=8 code=0 id=1 src=10.1.0.2 dst=10.1.0.1 type=0 code=0 id=1
`;
  const { flows, unread } = readFlows(text, engine);
  assert.deepEqual(flows, [
    { from: '10.1.0.1', to: '10.1.0.9', protocol: 'TCP', port: 5432 },
    { from: '10.1.0.1', to: '10.1.0.2', protocol: 'TCP', port: 8080 },
    { from: 'fd00::1', to: 'fd00::2', protocol: 'UDP', port: 53 },
  ]);
  assert.equal(unread, 3);
});
