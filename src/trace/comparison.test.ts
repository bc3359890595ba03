// What was said held against what was seen: the same, another way that chance chose, a stranger's rule, a node that nobody spoke of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterOf, podIPs, podObject, serviceObject, sliceObjects } from './cluster.fixture.ts';
import { compare } from './comparison.ts';
import type { ProbeResult } from './probe.ts';
import { type Told, type Visit, visitsOf } from './sighting.ts';
import { traceFlow } from './walker.ts';

const client = podObject('client', { node: 0, slot: 0 });
const servers = [podObject('a', { node: 1, slot: 0 }), podObject('b', { node: 2, slot: 0 })];
const spec = {
  type: 'ClusterIP',
  clusterIP: '10.96.0.80',
  clusterIPs: ['10.96.0.80'],
  ports: [{ port: 80, protocol: 'TCP' }],
};
const service = serviceObject('web', spec);
const slices = sliceObjects(
  service,
  [{ port: 8080, protocol: 'TCP' }],
  servers.map((pod) => ({ pod })),
);
const cluster = clusterOf({ pods: [client, ...servers], services: [service], slices });
const [src] = podIPs(0, 0);
const packet = { src, dst: '10.96.0.80', port: 80, protocol: 'TCP' as const };
const trace = traceFlow(cluster, { from: 'client', to: 'web', packet });
const connected: ProbeResult = { outcome: 'connected', fromPort: 40_000, milliseconds: 1 };

const request = (dst: string, dstPort: number) => ({ src, dst, srcPort: 40_000, dstPort });

function visitsTo(node: number): Visit[] {
  const [dst] = podIPs(node, 0);
  const after = request(dst, 8080);
  return [
    {
      node: 'node-1',
      direction: 'request',
      came: request('10.96.0.80', 80),
      over: 'pw1',
      left: { packet: after, by: 'pw-vxlan' },
    },
    {
      node: `node-${node + 1}`,
      direction: 'request',
      came: after,
      over: 'pw-vxlan',
      left: { packet: after, by: 'pw2' },
    },
  ];
}

test('of the ways that chance may choose the one that was seen counts', () => {
  for (const node of [1, 2]) {
    const { same, way, rows } = compare(trace, visitsTo(node), connected);
    assert.ok(same, JSON.stringify(rows));
    assert.equal(way.ending.packet.dst, podIPs(node, 0)[0]);
  }
});

test("a stranger's rule, another answer and a node that was not spoken of are differences", () => {
  const [near, far] = visitsTo(1) as [Visit, Visit];
  const { left: _, ...cut } = far;
  const ended = compare(trace, [near, { ...cut, ended: { table: 'stranger', chain: 'c' } }], {
    ...connected,
    outcome: 'no answer',
  });
  assert.deepEqual(
    ended.rows.map(({ at, same }) => [at, same]),
    [
      ['node-1', true],
      ['node-2', false],
      ['sender', false],
    ],
  );
  assert.match(ended.rows[1]!.seen, /ended in stranger c/);
  assert.equal(compare(trace, visitsTo(1), { ...connected, outcome: 'refused' }).same, false);
  const elsewhere = compare(trace, [...visitsTo(1), { ...far, node: 'node-3' }], connected);
  assert.deepEqual(
    elsewhere.rows.filter(({ same }) => !same).map(({ at }) => at),
    ['node-3'],
  );
  assert.equal(compare(trace, [], connected).same, false);
});

test('what the kernel tells of one packet is one visit; what is sent again is none', () => {
  const event = (id: number, more: object) =>
    ({ id, table: 'podwire', chain: 'c', type: 'rule', drops: false, ...more }) as Told['event'];
  const came = request('10.96.0.80', 80);
  const left = request('10.244.1.1', 8080);
  const told: Told[] = [1, 2].flatMap((id): Told[] => [
    { node: 'node-1', event: event(id, { packet: came, came: 'pw1' }), mark: 'first' },
    { node: 'node-1', event: event(id, {}) },
    { node: 'node-1', event: event(id, { packet: left, leaves: 'pw-vxlan' }), mark: 'last' },
  ]);
  const refused: Told = {
    node: 'node-2',
    event: event(3, { packet: left, drops: true, table: 'podwire-policy', chain: 'ingress-refused' }),
  };
  const stranger: Told = { node: 'node-2', event: event(4, { packet: { ...left, srcPort: 1 } }) };
  assert.deepEqual(visitsOf([...told, refused, stranger], 40_000), [
    { node: 'node-1', direction: 'request', came, over: 'pw1', left: { packet: left, by: 'pw-vxlan' } },
    { node: 'node-2', direction: 'request', came: left, ended: { table: 'podwire-policy', chain: 'ingress-refused' } },
  ]);
});
