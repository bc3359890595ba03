// Room controllers: taints from conditions, times of eviction and free prefixes as pure functions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Taint, Toleration } from '../../objects/tolerations.ts';
import type { Node, Pod } from '../../objects/types.ts';
import { freePrefix } from './cidrs.ts';
import { lostConditions, taintsFor } from './conditions.ts';
import { evictionTime } from './eviction.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const timeAdded = '2026-03-01T12:00:00Z';

function node(conditions: readonly [string, string][], spec: Node['spec'] = {}): Node {
  const metadata = { name: 'n1', uid: 'n1', resourceVersion: '1', creationTimestamp: '' };
  const list = conditions.map(([type, status]) => ({ type, status, lastTransitionTime: 'before' }));
  return { apiVersion: 'v1', kind: 'Node', metadata, spec, status: { conditions: list } };
}

const TAINTS: [why: string, of: Node, taints: string[]][] = [
  ['a ready node has none', node([['Ready', 'True']]), []],
  ['one that has told nothing yet takes no pods', node([]), ['node.kubernetes.io/not-ready:NoSchedule']],
  [
    'one that is not ready takes none and keeps none',
    node([['Ready', 'False']]),
    ['node.kubernetes.io/not-ready:NoSchedule', 'node.kubernetes.io/not-ready:NoExecute'],
  ],
  [
    'nor one that nobody reaches',
    node([['Ready', 'Unknown']]),
    ['node.kubernetes.io/unreachable:NoSchedule', 'node.kubernetes.io/unreachable:NoExecute'],
  ],
  [
    'pressure, a missing network and a cordon keep pods away',
    node(
      [
        ['Ready', 'True'],
        ['DiskPressure', 'True'],
        ['MemoryPressure', 'False'],
        ['NetworkUnavailable', 'True'],
      ],
      { unschedulable: true },
    ),
    [
      'node.kubernetes.io/disk-pressure:NoSchedule',
      'node.kubernetes.io/network-unavailable:NoSchedule',
      'node.kubernetes.io/unschedulable:NoSchedule',
    ],
  ],
];
for (const [why, of, taints] of TAINTS) {
  test(`taints: ${why}`, () =>
    assert.deepEqual(
      taintsFor(of, NOW).map(({ key, effect }) => `${key}:${effect}`),
      taints,
    ));
}

test('taints of users stay, and a known one keeps its time', () => {
  const mine = { key: 'only', value: 'db', effect: 'NoSchedule' };
  const old = { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute', timeAdded: 'long ago' };
  const gone = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: 'long ago' };
  assert.deepEqual(taintsFor(node([['Ready', 'False']], { taints: [mine, old, gone] }), NOW), [
    mine,
    { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule', timeAdded },
    old,
  ]);
});

test('a silent node is Unknown in what it reported itself, and in Ready in any case', () => {
  const lost = lostConditions(
    node([
      ['Ready', 'True'],
      ['DiskPressure', 'False'],
      ['Custom', 'True'],
    ]),
    NOW,
  );
  assert.deepEqual(
    lost.map(({ type, status, reason }) => [type, status, reason]),
    [
      ['Ready', 'Unknown', 'NodeStatusUnknown'],
      ['DiskPressure', 'Unknown', 'NodeStatusUnknown'],
      ['Custom', 'True', undefined],
    ],
  );
  assert.deepEqual(
    lostConditions(node([]), NOW).map(({ type, reason }) => [type, reason]),
    [['Ready', 'NodeStatusNeverUpdated']],
  );
});

const unreachable: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded };
const EVICTIONS: [why: string, tolerations: Toleration[], taints: Taint[], seconds: number | undefined][] = [
  ['no taint', [], [], undefined],
  ['a taint that only keeps new pods away', [], [{ ...unreachable, effect: 'NoSchedule' }], undefined],
  ['not tolerated', [], [unreachable], 0],
  [
    'tolerated for 300 s',
    [{ key: unreachable.key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }],
    [unreachable],
    300,
  ],
  ['tolerated for ever', [{ operator: 'Exists' }], [unreachable], undefined],
  [
    'the shorter of two tolerations',
    [{ operator: 'Exists' }, { key: unreachable.key, operator: 'Exists', tolerationSeconds: 5 }],
    [unreachable],
    5,
  ],
  [
    'the first of two taints',
    [{ key: unreachable.key, operator: 'Exists', tolerationSeconds: 5 }],
    [unreachable, { key: 'x', effect: 'NoExecute', timeAdded }],
    0,
  ],
];
for (const [why, tolerations, taints, seconds] of EVICTIONS) {
  test(`eviction: ${why}`, () => {
    const pod = { spec: { containers: [], tolerations } } as unknown as Pod;
    assert.equal(evictionTime(pod, taints, NOW), seconds === undefined ? undefined : NOW + seconds * 1000);
  });
}

test('a free prefix is the first that overlaps nothing in use, also of other lengths and families', () => {
  assert.equal(freePrefix('10.244.0.0/16', 24, []), '10.244.0.0/24');
  assert.equal(freePrefix('10.244.0.0/16', 24, ['10.244.0.0/24', '10.244.2.0/24', 'fd00::/64']), '10.244.1.0/24');
  assert.equal(freePrefix('10.244.0.0/16', 24, ['10.244.0.0/23', '10.244.2.128/25']), '10.244.3.0/24');
  assert.equal(freePrefix('10.244.0.0/23', 24, ['10.244.0.0/24', '10.244.1.0/24']), undefined);
  assert.equal(freePrefix('fd00:10:244::/56', 64, ['fd00:10:244::/64']), 'fd00:10:244:1::/64');
});
