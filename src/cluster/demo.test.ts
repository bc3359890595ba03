// Room cluster: which pods of the demo will never start.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../objects/types.ts';
import { troubleOf } from './demo.ts';

type Status = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

function podWith(status: Partial<Status>): Pod {
  const containerStatus = { name: 'web', image: 'host', imageID: '', ready: false, restartCount: 0, ...status };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'client', namespace: 'demo' },
    spec: { containers: [] },
    status: { containerStatuses: [containerStatus] },
  } as unknown as Pod;
}

const loops = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } };
const refused = { terminated: { exitCode: 128, reason: 'StartError', message: 'cgroups: no such file\n' } };

test('a container that was started three times in vain is told of in the words of the runtime', () => {
  assert.equal(
    troubleOf(podWith({ state: loops, lastState: refused, restartCount: 3 })),
    "the demo's pod demo/client does not start: container web: cgroups: no such file",
  );
  const silent = { terminated: { exitCode: 1, reason: 'Error' } };
  assert.match(troubleOf(podWith({ state: loops, lastState: silent, restartCount: 4 }))!, /container web: Error$/);
});

test('one that still may start is waited for', () => {
  assert.equal(troubleOf(podWith({ state: loops, lastState: refused, restartCount: 2 })), undefined);
  assert.equal(troubleOf(podWith({ state: { waiting: { reason: 'ContainerCreating' } } })), undefined);
  assert.equal(troubleOf(podWith({ state: { running: {} }, ready: true, restartCount: 5 })), undefined);
  assert.equal(troubleOf({ ...podWith({}), status: undefined } as unknown as Pod), undefined);
});
