// Room node: tables of cases: what is wanted and what is there, and the steps that follow.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decide } from './decide.ts';
import { container, healthy, pod, record, scene, T0 } from './pod-view.fixture.ts';
import type { PodView, Step } from './pod-view.ts';

/** `start app 0`, `stop app 30s`, `SIGTERM app`, `sandbox`, and at last `wake +10s` after the beginning of time. */
function steps(view: PodView): string[] {
  const { steps: list, wakeAt } = decide(view);
  return [...list.map(text), ...(wakeAt === undefined ? [] : [`wake +${(wakeAt - T0) / 1000}s`])];
}

function text(step: Step): string {
  switch (step.do) {
    case 'start':
      return `start ${step.container.name} ${step.attempt}`;
    case 'stop':
      return `stop ${step.container.name} ${step.graceMs / 1000}s`;
    case 'signal':
      return `${step.signal} ${step.name}`;
    case 'prune':
      return `prune ${step.id}`;
    default:
      return step.do;
  }
}

const stopping = { since: T0, graceMs: 30_000, hook: 'done' } as const;
const two = pod({ containers: [container('app'), container('log')] });
const withInit = pod({ initContainers: [container('first'), container('second')] });
const sidecar = pod({ initContainers: [container('proxy', { restartPolicy: 'Always' })] });
const deleted = (grace: number) =>
  pod({}, { deletionTimestamp: '2026-01-01T00:00:30Z', deletionGracePeriodSeconds: grace });
const crashed = (attempt: number, finished: number) =>
  record('app', { attempt, started: finished - 1, finished, exitCode: 1 });

const cases: Record<string, [view: PodView, expected: string[]]> = {
  'a new pod gets its sandbox and volumes at the same time': [scene({ sandbox: false }), ['sandbox', 'volumes']],
  'nothing starts while the sandbox is being made': [
    scene({ sandbox: false, chores: { sandbox: 'running', volumes: 'done' } }),
    [],
  ],
  'a failed volume is tried again when its time has come': [
    scene({ chores: { volumes: { retryAt: 5 } } }),
    ['wake +5s'],
  ],
  'the first app container starts': [scene({ pod: two }), ['start app 0']],
  'the second starts after the first': [scene({ pod: two, records: [record('app')] }), ['start log 0']],
  'the second waits for the postStart hook of the first': [
    scene({
      pod: two,
      records: [record('app')],
      memory: { app: { health: healthy('app-0', { postStart: 'running' }) } },
    }),
    [],
  ],
  'the second waits while the first is being made': [scene({ pod: two, memory: { app: { starting: true } } }), []],
  'all run: nothing to do': [scene({ pod: two, records: [record('app'), record('log')] }), []],

  'init containers come first': [scene({ pod: withInit }), ['start first 0']],
  'an init container runs alone': [scene({ pod: withInit, records: [record('first')] }), []],
  'the next init container follows success': [
    scene({ pod: withInit, records: [record('first', { finished: 2 })] }),
    ['start second 0'],
  ],
  'a failed init container starts again at once the first time': [
    scene({ pod: withInit, records: [record('first', { finished: 2, exitCode: 1 })] }),
    ['start first 1'],
  ],
  'a failed init container is the end under restartPolicy Never': [
    scene({
      pod: pod({ restartPolicy: 'Never', initContainers: [container('first')] }),
      records: [record('first', { finished: 2, exitCode: 1 })],
    }),
    ['teardown'],
  ],
  'init containers do not run again once an app container has been started': [
    scene({ pod: withInit, records: [record('app', { finished: 2 })] }),
    ['start app 1'],
  ],
  'init containers run again in a new sandbox': [
    scene({ pod: withInit, records: [record('first', { sandboxId: 'lost', finished: 1 })] }),
    ['start first 1'],
  ],
  'a sidecar that has started lets the app container go on': [
    scene({ pod: sidecar, records: [record('proxy')] }),
    ['start app 0'],
  ],
  'a sidecar whose startup probe is pending does not': [
    scene({
      pod: sidecar,
      records: [record('proxy')],
      memory: { proxy: { health: healthy('proxy-0', { started: false }) } },
    }),
    [],
  ],
  'a sidecar is started again while the app runs': [
    scene({ pod: sidecar, records: [record('proxy', { finished: 2 }), record('app')] }),
    ['start proxy 1'],
  ],

  'the first restart is immediate': [scene({ records: [crashed(0, 2)] }), ['start app 1']],
  'the second waits ten seconds from the end': [scene({ records: [crashed(1, 2)] }), ['wake +12s']],
  'the third waits twenty': [scene({ records: [crashed(2, 2)] }), ['wake +22s']],
  'no wait is longer than five minutes': [scene({ records: [crashed(50, 2)] }), ['wake +302s']],
  'after ten good minutes a crash is the first again': [
    scene({ now: 700, records: [record('app', { attempt: 4, started: 1, finished: 601, exitCode: 1 })] }),
    ['start app 5'],
  ],
  'the back-off ends': [scene({ now: 12, records: [crashed(1, 2)] }), ['start app 2']],
  'what is remembered goes before the number of the attempt': [
    scene({ records: [crashed(9, 2)], memory: { app: { crashes: 1 } } }),
    ['wake +12s'],
  ],
  'a missing image is tried again at its time': [
    scene({
      memory: { app: { problem: { reason: 'ErrImagePull', message: '', tries: 1, retryAt: T0 + 10_000 } } },
    }),
    ['wake +10s'],
  ],
  'only the last run and the one before it are kept': [
    scene({ records: [crashed(0, 1), crashed(1, 2), record('app', { attempt: 2 })] }),
    ['prune app-0'],
  ],
  'OnFailure does not start again what ended well': [
    scene({ pod: pod({ restartPolicy: 'OnFailure' }), records: [record('app', { finished: 2 })] }),
    ['teardown'],
  ],
  'OnFailure starts again what failed': [
    scene({ pod: pod({ restartPolicy: 'OnFailure' }), records: [crashed(0, 2)] }),
    ['start app 1'],
  ],
  'a container that is over waits for the others': [
    scene({
      pod: pod({ restartPolicy: 'Never', containers: [container('app'), container('log')] }),
      records: [record('app', { finished: 2 }), record('log')],
    }),
    [],
  ],
  'when the work is over the sidecar is stopped': [
    scene({
      pod: { ...sidecar, spec: { ...sidecar.spec, restartPolicy: 'Never' } },
      records: [record('proxy'), record('app', { finished: 2 })],
    }),
    ['stop proxy 30s'],
  ],
  'a pod that is over is not torn down before its status is written': [
    scene({ statusWritten: false, pod: pod({ restartPolicy: 'Never' }), records: [record('app', { finished: 2 })] }),
    [],
  ],
  'a pod that the API calls Succeeded never runs again': [
    scene({ base: { phase: 'Succeeded' }, sandbox: false, pod: pod({ restartPolicy: 'Never' }) }),
    ['teardown'],
  ],

  'a failed liveness probe stops the container': [
    scene({ records: [record('app')], memory: { app: { health: healthy('app-0', { failed: 'liveness' }) } } }),
    ['stop app 30s'],
  ],
  'with the grace of the probe': [
    scene({
      records: [record('app')],
      memory: { app: { health: healthy('app-0', { failed: 'liveness', graceSeconds: 5 }) } },
    }),
    ['stop app 5s'],
  ],

  'a new image in the manifest stops the container that runs the old one': [
    scene({ records: [record('app')], memory: { app: { image: 'shop:1' } } }),
    ['stop app 30s'],
  ],
  'the same image does not': [scene({ records: [record('app')], memory: { app: { image: 'host' } } }), []],

  'deletion stops every app container': [
    scene({
      pod: { ...two, metadata: deleted(30).metadata },
      records: [record('app'), record('log')],
    }),
    ['stop app 30s', 'stop log 30s'],
  ],
  'SIGTERM waits for the preStop hook': [
    scene({
      pod: deleted(30),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, hook: 'running' } } },
    }),
    ['wake +30s'],
  ],
  'SIGTERM follows the hook': [
    scene({ pod: deleted(30), records: [record('app')], memory: { app: { stopping } } }),
    ['SIGTERM app'],
  ],
  'SIGTERM goes out though the hook still runs when the grace is over': [
    scene({
      now: 30,
      pod: deleted(30),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, hook: 'running' } } },
    }),
    ['SIGTERM app'],
  ],
  'a stopSignal of its own': [
    scene({
      pod: pod(
        { containers: [container('app', { lifecycle: { stopSignal: 'SIGINT' } as object })] },
        deleted(30).metadata,
      ),
      records: [record('app')],
      memory: { app: { stopping } },
    }),
    ['SIGINT app'],
  ],
  'SIGKILL waits for the grace': [
    scene({
      pod: deleted(30),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, termAt: T0 + 1000 } } },
    }),
    ['wake +30s'],
  ],
  'SIGKILL comes when the grace is over': [
    scene({
      now: 30,
      pod: deleted(30),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, termAt: T0 + 1000 } } },
    }),
    ['SIGKILL app', 'wake +35s'],
  ],
  'after a hook that used up the grace there are two seconds more': [
    scene({
      now: 30,
      pod: deleted(30),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, termAt: T0 + 30_000 } } },
    }),
    ['wake +32s'],
  ],
  'a second delete shortens the grace': [
    scene({
      now: 4,
      pod: deleted(2),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, termAt: T0 } } },
    }),
    ['SIGKILL app', 'wake +9s'],
  ],
  'SIGKILL is not repeated at once': [
    scene({
      now: 31,
      pod: deleted(30),
      records: [record('app')],
      memory: { app: { stopping: { ...stopping, termAt: T0, killAt: T0 + 30_000 } } },
    }),
    ['wake +35s'],
  ],
  'no grace is a SIGKILL': [
    scene({ pod: deleted(0), records: [record('app')], memory: { app: { stopping: { ...stopping, graceMs: 0 } } } }),
    ['SIGKILL app', 'wake +7s'],
  ],
  'a sidecar outlives the app container': [
    scene({
      pod: { ...sidecar, metadata: deleted(30).metadata },
      records: [record('proxy'), record('app', { finished: 1 })],
    }),
    ['stop proxy 30s'],
  ],
  'a deleted pod is not started': [scene({ pod: deleted(30), sandbox: false }), ['teardown']],
  'a deleted pod whose processes are over is torn down': [
    scene({ pod: deleted(30), records: [record('app', { finished: 2 })] }),
    ['teardown'],
  ],
  'and then deleted from the API': [
    scene({ pod: deleted(30), records: [record('app', { finished: 2 })], chores: { teardown: 'done' } }),
    ['delete'],
  ],
  'teardown waits for a container that is being made': [
    scene({ pod: deleted(30), memory: { app: { starting: true } } }),
    [],
  ],
  'a pod that is gone from the API is torn down with all that runs': [
    scene({ gone: true, statusWritten: false, records: [record('app')] }),
    ['teardown'],
  ],
  'and not deleted once more': [scene({ gone: true, chores: { teardown: 'done' } }), []],

  'activeDeadlineSeconds wakes the pod': [
    scene({ pod: pod({ activeDeadlineSeconds: 60 }), records: [record('app')] }),
    ['wake +60s'],
  ],
  'and stop it': [
    scene({ now: 60, pod: pod({ activeDeadlineSeconds: 60 }), records: [record('app')] }),
    ['stop app 30s'],
  ],
};

describe('the next steps of a pod', () => {
  for (const [name, [view, expected]] of Object.entries(cases)) {
    it(name, () => assert.deepEqual(steps(view), expected));
  }
});
