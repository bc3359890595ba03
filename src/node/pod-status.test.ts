// Room node: what `kubectl get pods` would say in each case.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { podStatus, same, statusChange } from './pod-status.ts';
import { at, container, healthy, pod, record, scene, T0 } from './pod-view.fixture.ts';
import type { ContainerState, PodView } from './pod-view.ts';

/** `Running Ready 10.244.0.5 | app running ready r0`, conditions by their reason where they are false. */
function line(view: PodView): string {
  const status = podStatus(view);
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  const states = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].map(stateText);
  return [`${status.phase} ${ready?.status === 'True' ? 'Ready' : ready?.reason}`, ...states].join(' | ');
}

function stateText({ name, state, lastState, ready, restartCount }: ContainerState): string {
  const now = state?.running
    ? 'running'
    : (state?.waiting?.reason ?? `${state?.terminated?.reason}(${state?.terminated?.exitCode})`);
  const before = lastState?.terminated ? ` after ${lastState.terminated.reason}(${lastState.terminated.exitCode})` : '';
  return `${name} ${now}${before}${ready ? ' ready' : ''}${restartCount ? ` r${restartCount}` : ''}`;
}

const never = (spec = {}) => pod({ restartPolicy: 'Never', ...spec });
const withInit = pod({ initContainers: [container('first')] });
const crashed = (attempt: number) => record('app', { attempt, started: 1, finished: 2, exitCode: 3 });
const deletion = { deletionTimestamp: at(30), deletionGracePeriodSeconds: 30 };

const cases: Record<string, [view: PodView, expected: string]> = {
  'before the sandbox': [scene({ sandbox: false }), 'Pending ContainersNotReady | app ContainerCreating'],
  running: [scene({ records: [record('app')] }), 'Running Ready | app running ready'],
  'running, not yet ready': [
    scene({ records: [record('app')], memory: { app: { health: healthy('app-0', { ready: false }) } } }),
    'Running ContainersNotReady | app running',
  ],
  'as long as the postStart hook has not ended': [
    scene({ records: [record('app')], memory: { app: { health: healthy('app-0', { postStart: 'running' }) } } }),
    'Pending ContainersNotReady | app ContainerCreating',
  ],
  'the health of an earlier run does not count': [
    scene({ records: [record('app', { attempt: 1 }), crashed(0)], memory: { app: { health: healthy('app-0') } } }),
    'Running ContainersNotReady | app running after Error(3) r1',
  ],
  'an image that is missing': [
    scene({ memory: { app: { problem: { reason: 'ErrImagePull', message: 'no', tries: 1, retryAt: T0 + 9e9 } } } }),
    'Pending ContainersNotReady | app ErrImagePull',
  ],
  'in back-off': [
    scene({ records: [crashed(1), crashed(0)] }),
    'Running ContainersNotReady | app CrashLoopBackOff after Error(3) r1',
  ],
  'a process that cannot be started': [
    scene({ records: [{ ...crashed(0), reason: 'StartError', message: 'no such file' }] }),
    'Running ContainersNotReady | app RunContainerError after StartError(3)',
  ],
  initializing: [
    scene({ pod: withInit, records: [record('first')] }),
    'Pending ContainersNotReady | first running | app PodInitializing',
  ],
  'initialized, app not yet made': [
    scene({ pod: withInit, records: [record('first', { finished: 2 })] }),
    'Pending ContainersNotReady | first Completed(0) ready | app ContainerCreating',
  ],
  'initialized and running': [
    scene({ pod: withInit, records: [record('first', { finished: 2 }), record('app')] }),
    'Running Ready | first Completed(0) ready | app running ready',
  ],
  'a failed init container': [
    scene({
      pod: never({ initContainers: [container('first')] }),
      records: [record('first', { finished: 2, exitCode: 1 })],
    }),
    'Failed PodFailed | first Error(1) | app PodInitializing',
  ],
  completed: [
    scene({ pod: never(), records: [record('app', { finished: 2 })] }),
    'Succeeded PodCompleted | app Completed(0)',
  ],
  failed: [scene({ pod: never(), records: [crashed(0)] }), 'Failed PodFailed | app Error(3)'],
  'killed by a signal': [
    scene({ pod: never(), records: [{ ...crashed(0), exitCode: 137, reason: 'OOMKilled' }] }),
    'Failed PodFailed | app OOMKilled(137)',
  ],
  'one of two is over': [
    scene({
      pod: never({ containers: [container('app'), container('log')] }),
      records: [record('app', { finished: 2 }), record('log')],
    }),
    'Running ContainersNotReady | app Completed(0) | log running ready',
  ],
  'all over, the sidecar still runs': [
    scene({
      pod: never({ initContainers: [container('proxy', { restartPolicy: 'Always' })] }),
      records: [record('proxy'), record('app', { finished: 2 })],
    }),
    'Running ContainersNotReady | proxy running ready | app Completed(0)',
  ],
  'being deleted': [scene({ pod: pod({}, deletion), records: [record('app')] }), 'Running Ready | app running ready'],
  deleted: [
    scene({ pod: pod({}, deletion), records: [record('app', { finished: 9, exitCode: 143 })] }),
    'Failed PodFailed | app Error(143)',
  ],
  'past its deadline': [
    scene({ now: 60, pod: pod({ activeDeadlineSeconds: 60 }), records: [record('app', { finished: 60 })] }),
    'Failed PodFailed | app Completed(0)',
  ],
};

describe('the status of a pod', () => {
  for (const [name, [view, expected]] of Object.entries(cases)) {
    it(name, () => assert.equal(line(view), expected));
  }

  it('has addresses, times and identities as Kubernetes writes them', () => {
    const status = podStatus(scene({ records: [record('app')], base: { phase: 'Pending', qosClass: 'BestEffort' } }));
    assert.equal(status.podIP, '10.244.0.5');
    assert.deepEqual(status.podIPs, [{ ip: '10.244.0.5' }]);
    assert.deepEqual(status.hostIPs, [{ ip: '172.30.0.11' }]);
    assert.equal(status.startTime, '2026-01-01T00:00:02Z');
    assert.equal(status.qosClass, 'BestEffort');
    const [app] = status.containerStatuses!;
    assert.equal(app!.containerID, 'podwire://app-0');
    assert.equal(app!.started, true);
    assert.equal(app!.state!.running!.startedAt, '2026-01-01T00:00:01Z');
  });

  it('names DeadlineExceeded', () => {
    const view = scene({
      now: 60,
      pod: pod({ activeDeadlineSeconds: 60 }),
      records: [record('app', { finished: 60 })],
    });
    assert.equal(podStatus(view).reason, 'DeadlineExceeded');
  });

  it('keeps the time of a condition that has not changed, and conditions of others', () => {
    const view = scene({ records: [record('app')] });
    const first = podStatus(view);
    const foreign = { type: 'example.com/load-balancer', status: 'True' };
    const base = { ...first, conditions: [...first.conditions!, foreign] };
    const later = podStatus({ ...view, now: view.now + 60_000, base });
    assert.deepEqual(later, base);
    assert.equal(statusChange(base, later), undefined);
  });

  it('waits for readiness gates', () => {
    const gated = pod({ readinessGates: [{ conditionType: 'example.com/lb' }] });
    const ready = podStatus(scene({ pod: gated, records: [record('app')] })).conditions!.find(
      (c) => c.type === 'Ready',
    )!;
    assert.equal(ready.status, 'False');
    assert.equal(ready.reason, 'ReadinessGatesNotReady');
    assert.match(ready.message!, /"example.com\/lb" does not exist/);
  });

  it('says how long a back-off is', () => {
    const [app] = podStatus(scene({ records: [crashed(4)] })).containerStatuses!;
    assert.match(app!.state!.waiting!.message!, /^back-off 1m20s restarting failed container=app pod=web_shop\(/);
  });

  it('stays as it is in the API once that is terminal or the pod is gone', () => {
    const base = { phase: 'Succeeded', message: 'as it was' };
    assert.equal(podStatus(scene({ base, sandbox: false })), base);
    assert.equal(podStatus(scene({ base, gone: true })), base);
  });
});

describe('what is written of a status', () => {
  it('is the fields that differ, and of conditions those that differ, with what is gone named', () => {
    const from = {
      phase: 'Pending',
      hostIP: '172.30.0.11',
      conditions: [
        { type: 'Ready', status: 'False', reason: 'ContainersNotReady', message: 'm' },
        { type: 'PodScheduled', status: 'True' },
      ],
    };
    const to = {
      ...from,
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }, from.conditions[1]!],
    };
    assert.deepEqual(statusChange(from, to), {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', reason: null, message: null }],
    });
  });

  it('takes null, empty and absent for one', () => {
    assert.equal(same({ a: null, b: [], c: {} }, {}), true);
    assert.equal(same({ a: [1, { b: 2 }] }, { a: [1, { b: 2, c: '' }] }), true);
    assert.equal(same({ a: [1, 2] }, { a: [1] }), false);
    assert.equal(same({ a: 0 }, {}), false);
    assert.equal(same({ ready: false }, {}), false);
  });
});
