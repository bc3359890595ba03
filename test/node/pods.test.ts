// Pods on the real runtime: life, files, environment, hooks, restarts, adoption.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readLog } from '../../src/node/logs/log-reader.ts';
import { logPath } from '../../src/node/pod-paths.ts';
import type { Pod } from '../../src/objects/types.ts';
import { createWorld, isReady, shell, unable, until, type World } from './pod-world.ts';

describe('pods on a real runtime', { skip: unable() }, () => {
  let world: World;
  before(async () => {
    world = await createWorld();
  });
  after(() => world.close());

  async function log(pod: Pod, container = 'app', attempt = 0): Promise<string> {
    let text = '';
    for await (const chunk of readLog(logPath(world.stateDir, pod, container, attempt), { timestamps: false }))
      text += chunk;
    return text;
  }

  it('a pod runs, is ready, and ends within its grace when deleted', async () => {
    await world.create('plain', { containers: [shell('app', 'trap "exit 0" TERM; while :; do sleep 0.05; done')] });
    const pod = await world.pod('plain', isReady);
    assert.equal(pod.status?.phase, 'Running');
    assert.match(pod.status?.podIP ?? '', /^10\.244\.0\./);
    assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0);
    await world.client.delete('Pod', 'plain', 'default');
    await world.gone('plain');
    await until(async () => world.agent.runtime.sandboxes().length === 0 || { not: world.agent.runtime.sandboxes() });
    assert.equal(world.network.leases.size, 0);
  });

  it('a job pod succeeds and its log stays', async () => {
    await world.create('job', {
      restartPolicy: 'Never',
      containers: [shell('app', 'echo hello; echo done > /dev/termination-log')],
    });
    const pod = await world.pod('job', ({ status }) => status?.phase === 'Succeeded');
    const ended = pod.status?.containerStatuses?.[0]?.state?.terminated;
    assert.equal(ended?.reason, 'Completed');
    assert.equal(ended?.exitCode, 0);
    assert.equal(ended?.message, 'done\n');
    assert.equal(await log(pod), 'hello\n');
  });
});
