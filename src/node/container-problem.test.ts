// Room node: reasons for which a container is not made, runs that were lost, and what a request finds.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StatusError } from '../objects/status.ts';
import { ContainerProblem, problemAfter } from './container-problem.ts';
import { ConfigError } from './downward.ts';
import { findLog, findRunning } from './kubelet/find-container.ts';
import { lostRecords } from './lost-records.ts';
import { at, container, pod, record, scene, T0 } from './pod-view.fixture.ts';
import type { Problem } from './pod-view.ts';

describe('a container that cannot be made', () => {
  const app = container('app', { image: 'shop:1' });

  it('first lacks its image, then is in back-off, with the sentence that tells how to load it', () => {
    const error = ContainerProblem.noImage(app);
    let problem: Problem | undefined;
    const said: [string, number][] = [];
    for (let i = 0; i < 3; i++) {
      problem = problemAfter(error, app, problem, T0);
      said.push([problem.reason, (problem.retryAt - T0) / 1000]);
      assert.match(problem.message, /podwire image load/);
    }
    assert.deepEqual(said, [
      ['ErrImagePull', 10],
      ['ImagePullBackOff', 20],
      ['ImagePullBackOff', 40],
    ]);
  });

  it('is never to be pulled', () => {
    const error = ContainerProblem.noImage({ ...app, imagePullPolicy: 'Never' });
    assert.equal(problemAfter(error, app, undefined, T0).reason, 'ErrImageNeverPull');
  });

  it('has a wrong configuration, or was refused by the runtime', () => {
    assert.equal(problemAfter(new ConfigError('x'), app, undefined, T0).reason, 'CreateContainerConfigError');
    assert.equal(problemAfter(new Error('x'), app, undefined, T0).reason, 'CreateContainerError');
  });
});

describe('runs that the runtime has lost', () => {
  const status = (state: object, restartCount = 2) => ({
    ...pod(),
    status: {
      phase: 'Running',
      containerStatuses: [
        { name: 'app', image: 'host', imageID: 'host', ready: true, restartCount, containerID: 'podwire://abc', state },
      ],
    },
  });

  it('a container that ran counts as killed', () => {
    const [lost] = lostRecords(status({ running: { startedAt: at(1) } }), [], at(9));
    assert.deepEqual([lost?.id, lost?.attempt, lost?.exitCode, lost?.finishedAt], ['abc', 2, 137, at(9)]);
  });

  it('one that had ended keeps its exit code', () => {
    const terminated = { exitCode: 3, reason: 'Error', startedAt: at(1), finishedAt: at(2) };
    const [lost] = lostRecords(status({ terminated }), [], at(9));
    assert.deepEqual([lost?.exitCode, lost?.finishedAt], [3, at(2)]);
  });

  it('what is known is not lost, and what never ran neither', () => {
    assert.deepEqual(lostRecords(status({ running: { startedAt: at(1) } }), [record('app')], at(9)), []);
    assert.deepEqual(lostRecords(pod(), [], at(9)), []);
  });
});

describe('the log that a request means', () => {
  const runs = [record('app', { attempt: 1 }), record('app', { attempt: 0, finished: 1 })];

  it('is that of the newest run, or of the one before', () => {
    const view = scene({ records: runs });
    assert.equal(findLog(view, 'app', false, '/state').path, '/logs/app/1.log');
    assert.equal(findLog(view, 'app', true, '/state').path, '/logs/app/0.log');
    assert.equal(findRunning(view, 'app').id, 'app-1');
  });

  it('is found by the number of restarts when the runtime has forgotten', () => {
    const containerStatuses = [
      { name: 'app', image: '', imageID: '', ready: false, restartCount: 1, containerID: 'podwire://x' },
    ];
    const view = scene({ base: { phase: 'Succeeded', containerStatuses } });
    assert.match(findLog(view, 'app', false, '/state').path, /^\/state\/pods\/shop_web_.*\/app\/1\.log$/);
    assert.match(findLog(view, 'app', true, '/state').path, /\/app\/0\.log$/);
  });

  it('is not there before the container has begun', () => {
    const refused = (code: number) => (error: unknown) => error instanceof StatusError && error.code === code;
    assert.throws(() => findLog(scene(), 'app', false, '/state'), refused(400));
    assert.throws(() => findLog(scene({ records: [record('app')] }), 'app', true, '/state'), refused(400));
    assert.throws(() => findRunning(scene(), 'app'), refused(404));
  });
});
