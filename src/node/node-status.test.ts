// Room node: what `kubectl describe node` is told.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NodeOptions } from './agent.ts';
import { machineInfo, type NodeReport, nodeStatus } from './node-status.ts';
import { statusChange } from './pod-status.ts';
import { T0 } from './pod-view.fixture.ts';

const report = (rest: Partial<NodeReport> = {}): NodeReport => ({
  options: { nodeName: 'worker-1', nodeIPs: ['172.30.0.11', 'fd00::11'] } as unknown as NodeOptions,
  capacity: { cpu: '2', memory: '1024Ki', pods: '110' },
  nodeInfo: machineInfo(),
  images: [],
  waitingFor: [],
  now: T0,
  ...rest,
});
const ready = (status: ReturnType<typeof nodeStatus>) => status.conditions?.find(({ type }) => type === 'Ready');

describe('the status of a node', () => {
  it('is Ready when every part is in force', () => {
    assert.equal(ready(nodeStatus(report(), {}))?.status, 'True');
    const waiting = ready(nodeStatus(report({ waitingFor: ['network', 'DNS'] }), {}));
    assert.deepEqual([waiting?.status, waiting?.message], ['False', 'waiting for network, DNS']);
  });

  it('names its addresses and the machine', () => {
    const { addresses, nodeInfo } = nodeStatus(report(), {});
    assert.deepEqual(addresses, [
      { type: 'InternalIP', address: '172.30.0.11' },
      { type: 'InternalIP', address: 'fd00::11' },
      { type: 'Hostname', address: 'worker-1' },
    ]);
    assert.equal(nodeInfo?.operatingSystem, 'linux');
    assert.match(nodeInfo?.kernelVersion ?? '', /^\d+\./);
  });

  it('does not change when nothing has, and says since when it is Ready', () => {
    const first = nodeStatus(report(), {});
    assert.equal(statusChange(first, nodeStatus(report({ now: T0 + 60_000 }), first)), undefined);
    const lost = {
      ...first,
      conditions: first.conditions!.map((c) => (c.type === 'Ready' ? { ...c, status: 'Unknown' } : c)),
    };
    assert.equal(ready(nodeStatus(report({ now: T0 + 60_000 }), lost))?.lastTransitionTime, '2026-01-01T00:01:00Z');
  });
});
