// Room controllers: topology-mode Auto: zones get endpoints in the measure of their CPUs, or nobody gets hints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EndpointSlice, Node } from '../../objects/types.ts';
import type { Endpoint, PortGroup } from './endpoint.ts';
import { withZoneHints } from './zone-hints.ts';

function node(
  zone: string | undefined,
  cpu = '2',
  more: { labels?: Record<string, string>; ready?: string } = {},
): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n', labels: { ...(zone && { 'topology.kubernetes.io/zone': zone }), ...more.labels } },
    status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status: more.ready ?? 'True' }] },
  } as unknown as Node;
}

function group(zones: readonly (string | undefined)[], ready = true): PortGroup {
  const endpoints = zones.map(
    (zone, i): Endpoint => ({
      addresses: [`10.244.0.${i + 1}`],
      conditions: { ready },
      ...(zone && { zone }),
    }),
  );
  return { addressType: 'IPv4', ports: [{ name: 'http', port: 80, protocol: 'TCP' }], endpoints };
}

/** Zones of the hints in order of the endpoints, or the problem. */
function hints(zones: readonly (string | undefined)[], nodes: readonly Node[], before: readonly PortGroup[] = []) {
  const slices = before as unknown as readonly EndpointSlice[];
  const result = withZoneHints([group(zones)], slices, nodes);
  if ('problem' in result) return result.problem;
  return result[0]!.endpoints.map((endpoint) => endpoint.hints!.forZones![0]!.name).join('');
}

const TWO = [node('a'), node('b')];

test('endpoints that lie in the measure of the zones stay in their own', () => {
  assert.equal(hints(['a', 'b'], TWO), 'ab');
  assert.equal(hints(['a', 'a', 'b', 'b'], TWO), 'aabb');
  assert.equal(hints(['a', 'a', 'a', 'b'], [node('a', '6'), node('b', '2000m')]), 'aaab');
});

test('a zone that lacks endpoints gets some of the zone that has too many', () => {
  assert.equal(hints(['a', 'a', 'a', 'a'], TWO), 'bbaa');
  assert.equal(
    hints(['a', 'a', 'a', 'c', 'c', 'c'], [...TWO, node('c')])
      .split('')
      .sort()
      .join(''),
    'aabbcc',
  );
});

test('no hints, and why', () => {
  assert.match(hints(['a', 'b'], [node('a'), node(undefined)]), /^Insufficient Node information/);
  assert.match(hints(['a', 'b'], [node('a'), node('b', '0')]), /^Insufficient Node information/);
  assert.equal(hints(['a', 'b'], [node('a'), node('a')]), 'Nodes only ready in one zone');
  assert.equal(hints(['a', 'b'], [node('a'), node('b', '2', { ready: 'False' })]), 'Nodes only ready in one zone');
  const plane = node('b', '2', { labels: { 'node-role.kubernetes.io/control-plane': '' } });
  assert.equal(hints(['a', 'b'], [node('a'), plane]), 'Nodes only ready in one zone');
  assert.equal(hints(['a'], TWO), 'Insufficient number of endpoints (1 endpoints, 2 zones)');
  assert.match(hints(['a', 'b', 'b'], TWO), /^Unable to allocate minimum .* \(3 endpoints, 2 zones\)$/);
  assert.equal(hints(['a', undefined], TWO), 'One or more endpoints do not have a zone specified');
});

test('endpoints that are not ready get none, and do not count', () => {
  const result = withZoneHints([group(['a', 'b']), group(['a', 'a', 'a'], false)], [], TWO);
  assert.ok(!('problem' in result));
  assert.deepEqual(
    result[1]!.endpoints.map((endpoint) => endpoint.hints),
    [undefined, undefined, undefined],
  );
});

test('hints stay while no zone falls below its least number', () => {
  const first = withZoneHints([group(['a', 'a', 'a', 'a'])], [], TWO);
  assert.ok(!('problem' in first));
  // One CPU more somewhere is no reason to move anybody.
  assert.equal(hints(['a', 'a', 'a', 'a'], [node('a', '2100m'), node('b')], first), 'bbaa');
  // Enough of its own: those that were lent come home when it must be done anew.
  assert.equal(hints(['a', 'a', 'a', 'a', 'b', 'b'], TWO, first), 'baaabb');
});

test('whatever the zones and CPUs: all or none, none overloaded by more than a fifth', () => {
  const zone = fc.constantFrom('a', 'b', 'c');
  fc.assert(
    fc.property(
      fc.array(zone, { minLength: 1, maxLength: 30 }),
      fc.array(fc.tuple(zone, fc.integer({ min: 1, max: 16 })), { minLength: 1, maxLength: 6 }),
      (endpoints, nodes) => {
        const result = withZoneHints(
          [group(endpoints)],
          [],
          nodes.map(([where, cpu]) => node(where, `${cpu}`)),
        );
        if ('problem' in result) return;
        const total = nodes.reduce((sum, [, cpu]) => sum + cpu, 0);
        for (const where of new Set(nodes.map(([name]) => name))) {
          const share = nodes.filter(([name]) => name === where).reduce((sum, [, cpu]) => sum + cpu, 0) / total;
          const has = result[0]!.endpoints.filter(({ hints: given }) => given!.forZones![0]!.name === where).length;
          assert.ok(
            (share * endpoints.length) / has <= 1.2 + 1e-9,
            `${where}: ${has} of ${endpoints.length} for ${share}`,
          );
        }
      },
    ),
  );
});
