// Pods on the real runtime: life, files, environment, hooks, probes, restarts, adoption.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readLog } from '../../src/node/logs/log-reader.ts';
import { logPath } from '../../src/node/pod-paths.ts';
import type { ContainerState } from '../../src/node/pod-view.ts';
import type { Pod } from '../../src/objects/types.ts';
import { createWorld, isReady, shell, unable, until, type World } from './pod-world.ts';

const FOREVER = 'trap "exit 0" TERM; while :; do sleep 0.02; done';

describe('pods on a real runtime', { skip: unable() }, () => {
  let world: World;
  before(async () => {
    world = await createWorld();
  });
  after(() => world.close());

  async function log(pod: Pod, container = 'app', attempt = 0): Promise<string> {
    let text = '';
    for await (const chunk of readLog(logPath(world.stateDir, pod, container, attempt), { timestamps: false })) {
      text += chunk;
    }
    return text;
  }
  const lines = async (pod: Pod, container?: string) => (await log(pod, container)).trimEnd().split('\n');
  const container = (pod: Pod, index = 0): ContainerState => pod.status!.containerStatuses![index]!;
  const succeeded = ({ status }: Pod) => status?.phase === 'Succeeded';
  const events = async (name: string) => {
    await world.agent.recorder.flush();
    const { items } = await world.client.list('Event', { namespace: 'default' });
    return items.filter(({ involvedObject }) => involvedObject.name === name).map(({ reason }) => reason);
  };

  it('a pod runs, is ready, ends when deleted, and leaves nothing', async () => {
    await world.create('plain', { containers: [shell('app', FOREVER)] });
    const pod = await world.pod('plain', isReady);
    assert.equal(pod.status?.phase, 'Running');
    assert.match(pod.status?.podIP ?? '', /^10\.244\.0\./);
    assert.equal(container(pod).restartCount, 0);
    await world.client.delete('Pod', 'plain', 'default');
    await world.gone('plain');
    await until(async () => world.agent.pods.size === 0 || { not: world.agent.pods.size });
    assert.deepEqual(world.agent.runtime.sandboxes(), []);
    assert.equal(world.network.leases.size, 0);
    for (const dir of ['pods', 'pod-data']) assert.deepEqual(readdirSync(join(world.stateDir, dir)), []);
    const said = await events('plain');
    for (const reason of ['Pulled', 'Created', 'Started', 'Killing']) assert.ok(said.includes(reason), reason);
  });

  it('a published port and limits of a pod come to its network; a wrong limit is said and stops it', async () => {
    const ports = [{ containerPort: 53, hostPort: 5353, hostIP: '172.30.0.11', protocol: 'UDP' as const }];
    const limits = (rate: string) => ({ 'kubernetes.io/egress-bandwidth': rate });
    await world.create('wishes', { containers: [{ ...shell('app', FOREVER), ports }] }, limits('10M'));
    await world.pod('wishes', isReady);
    const asked = world.network.asked.get('wishes');
    assert.deepEqual(asked?.hostPorts, [{ containerPort: 53, hostPort: 5353, hostIP: '172.30.0.11', protocol: 'udp' }]);
    assert.deepEqual(asked?.bandwidth, { egress: { rate: 10e6, burst: 1e6 } });
    await world.create('wrong', { containers: [shell('app', FOREVER)] }, limits('10'));
    const message = await until<string>(async () => {
      await world.agent.recorder.flush();
      const { items } = await world.client.list('Event', { namespace: 'default' });
      const event = items.find(({ involvedObject }) => involvedObject.name === 'wrong');
      return event?.reason === 'FailedCreatePodSandBox' ? event.message! : { not: event };
    });
    assert.match(message, /egress-bandwidth: "10": resource is unreasonably small/);
    assert.equal((await world.client.get('Pod', 'wrong', 'default')).status?.phase, 'Pending');
    await world.client.delete('Pod', 'wrong', 'default');
    await world.gone('wrong');
  });

  it('a port of the node that another pod has is refused for good, and free again when that pod is gone', async () => {
    const ports = [{ containerPort: 80, hostPort: 8088, protocol: 'TCP' as const }];
    const publishing = { containers: [{ ...shell('app', FOREVER), ports }] };
    await world.create('holder', publishing);
    await world.pod('holder', isReady);
    await world.create('late', publishing);
    const late = await world.pod('late', ({ status }) => status?.phase === 'Failed');
    assert.equal(late.status?.reason, 'NodePorts');
    assert.match(late.status?.message ?? '', /^Pod was rejected: Predicate NodePorts failed: .* pod default\/holder$/);
    assert.equal(late.status?.containerStatuses, undefined);
    assert.deepEqual(await events('late'), ['NodePorts']);
    assert.equal(world.network.asked.has('late'), false);
    await world.restartAgent(() => world.create('later', publishing));
    await world.pod('later', ({ status }) => status?.reason === 'NodePorts');
    assert.equal(isReady(await world.client.get('Pod', 'holder', 'default')), true);
    for (const name of ['late', 'later', 'holder']) {
      await world.client.delete('Pod', name, 'default');
      await world.gone(name);
    }
    await world.create('next', publishing);
    await world.pod('next', isReady);
    await world.client.delete('Pod', 'next', 'default');
    await world.gone('next');
  });

  it('a job succeeds; its message, log and status stay, its sandbox does not', async () => {
    const script = 'echo hello; echo done > /dev/termination-log';
    await world.create('job', { restartPolicy: 'Never', containers: [shell('app', script)] });
    const pod = await world.pod('job', succeeded);
    const ended = container(pod).state?.terminated;
    assert.deepEqual([ended?.reason, ended?.exitCode, ended?.message], ['Completed', 0, 'done\n']);
    const left = () => world.agent.runtime.sandboxes().filter(({ podName }) => podName === 'job').length;
    await until(async () => left() === 0 || { not: left() });
    assert.equal(await log(pod), 'hello\n');
  });

  it('the last lines of its log are the message of a container that failed', async () => {
    const app = shell('app', 'echo why >&2; exit 4', { terminationMessagePolicy: 'FallbackToLogsOnError' });
    await world.create('fallback', { restartPolicy: 'Never', containers: [app] });
    const pod = await world.pod('fallback', ({ status }) => status?.phase === 'Failed');
    const ended = container(pod).state?.terminated;
    assert.deepEqual([ended?.reason, ended?.exitCode, ended?.message], ['Error', 4, 'why\n']);
  });

  it('init containers run in order, a sidecar beside the app and no longer than it', async () => {
    const mark = (word: string) => `echo ${word} >> /shared/order`;
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    await world.create('order', {
      restartPolicy: 'Never',
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [
        shell('first', mark('first'), { volumeMounts }),
        shell('helper', `${mark('helper')}; ${FOREVER}`, { restartPolicy: 'Always', volumeMounts }),
        shell('second', mark('second'), { volumeMounts }),
      ],
      containers: [
        shell('app', `${mark('app')}; until grep -q helper /shared/order; do sleep 0.02; done; cat /shared/order`, {
          volumeMounts,
        }),
      ],
    });
    const pod = await world.pod('order', succeeded);
    const order = await lines(pod);
    assert.deepEqual(
      order.filter((word) => word !== 'helper'),
      ['first', 'second', 'app'],
    );
    assert.equal(pod.status?.initContainerStatuses?.[1]?.state?.terminated?.exitCode, 0);
  });

  it('files, environment and identity are those of the manifest', async () => {
    await world.client.create('ConfigMap', {
      metadata: { name: 'settings', namespace: 'default' },
      data: { colour: 'blue' },
    });
    const data = { password: Buffer.from('s3cret').toString('base64') };
    await world.client.create('Secret', { metadata: { name: 'login', namespace: 'default' }, data });
    const script = [
      'cat /config/colour; echo',
      'cat /secret/pw; stat -Lc " %a" /secret/pw',
      'cat /info/labels; echo',
      'cat /single',
      'echo; echo $GREETING $COLOUR $IP',
      'hostname; grep -c managed /etc/hosts; head -1 /etc/resolv.conf',
      'id -u; id -g; id -G; touch /config/x 2>/dev/null || echo read-only',
      'df --output=fstype /memory | tail -1',
      'echo $0 $1',
    ].join('\n');
    await world.create('files', {
      restartPolicy: 'Never',
      hostname: 'myhost',
      securityContext: { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000 },
      volumes: [
        { name: 'config', configMap: { name: 'settings' } },
        {
          name: 'secret',
          secret: { secretName: 'login', items: [{ key: 'password', path: 'pw' }], defaultMode: 0o400 },
        },
        { name: 'info', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.name' } }] } },
        { name: 'memory', emptyDir: { medium: 'Memory' } },
      ],
      containers: [
        {
          name: 'app',
          image: 'host',
          command: ['/bin/sh', '-c', script],
          args: ['$(GREETING)', '$$(GREETING)'],
          env: [
            { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
            { name: 'GREETING', value: 'hello-$(COLOUR)' },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          ],
          volumeMounts: [
            { name: 'config', mountPath: '/config' },
            { name: 'secret', mountPath: '/secret' },
            { name: 'info', mountPath: '/info' },
            { name: 'config', mountPath: '/single', subPath: 'colour' },
            { name: 'memory', mountPath: '/memory' },
          ],
        },
      ],
    });
    const pod = await world.pod('files', succeeded);
    assert.deepEqual(await lines(pod), [
      'blue',
      's3cret 440',
      'files',
      'blue',
      `hello-blue blue ${pod.status?.podIP}`,
      'myhost',
      '1',
      'search default.svc.cluster.local svc.cluster.local cluster.local',
      '1000',
      '2000',
      '2000 3000',
      'read-only',
      'tmpfs',
      'hello-blue $(GREETING)',
    ]);
  });

  it('a container waits for the ConfigMap that it names, and its files follow when that changes', async () => {
    const volumes = [{ name: 'late', configMap: { name: 'late' } }];
    const script = 'until grep -q two /late/word; do sleep 0.02; done; cat /late/word';
    const env = [{ name: 'WORD', valueFrom: { configMapKeyRef: { name: 'late', key: 'word' } } }];
    const app = shell('app', script, { env, volumeMounts: [{ name: 'late', mountPath: '/late' }] });
    await world.create('late', { restartPolicy: 'Never', volumes, containers: [app] });
    await until(async () => (await events('late')).includes('FailedMount') || { not: await events('late') });
    await world.client.create('ConfigMap', { metadata: { name: 'late', namespace: 'default' }, data: { word: 'one' } });
    await world.pod('late', isReady);
    await world.client.patch('ConfigMap', { name: 'late', namespace: 'default' }, { data: { word: 'two' } });
    assert.equal(await log(await world.pod('late', succeeded)), 'two');
  });

  it('a ConfigMap that only the environment names is waited for too', async () => {
    const env = [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'env-late', key: 'x' } } }];
    await world.create('env-late', { restartPolicy: 'Never', containers: [shell('app', 'echo $X', { env })] });
    const waiting = await world.pod(
      'env-late',
      (pod) => pod.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError',
    );
    assert.equal(container(waiting).state?.waiting?.message, 'configmap "env-late" not found');
    await world.client.create('ConfigMap', {
      metadata: { name: 'env-late', namespace: 'default' },
      data: { x: 'here' },
    });
    assert.equal(await log(await world.pod('env-late', succeeded)), 'here\n');
  });

  it('a missing image and a program that is not there are said in Kubernetes words', async () => {
    await world.create('no-image', { containers: [{ name: 'app', image: 'registry.example/none:1' }] });
    const pod = await world.pod(
      'no-image',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull',
    );
    assert.match(container(pod).state?.waiting?.message ?? '', /podwire image load/);
    const containers = [{ name: 'app', image: 'podwire.io/agnhost' }];
    await world.client.patch('Pod', { name: 'no-image', namespace: 'default' }, { spec: { containers } }, 'strategic');
    await world.pod('no-image', isReady);
    await world.create('no-program', {
      restartPolicy: 'Never',
      containers: [{ name: 'app', image: 'host', command: ['/no/such'] }],
    });
    const failed = await world.pod('no-program', ({ status }) => status?.phase === 'Failed');
    assert.equal(container(failed).state?.terminated?.reason, 'StartError');
  });

  it('a crashing container is started again, then waits in back-off', async () => {
    await world.create('crash', { containers: [shell('app', 'echo run; exit 3')] });
    const pod = await world.pod(
      'crash',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
    );
    assert.equal(container(pod).restartCount, 1);
    assert.equal(container(pod).lastState?.terminated?.exitCode, 3);
    assert.match(container(pod).state?.waiting?.message ?? '', /^back-off 10s restarting failed container=app/);
    assert.equal(await log(pod, 'app', 0), 'run\n');
    assert.ok((await events('crash')).includes('BackOff'));
  });

  it('readiness follows its probe, and liveness ends a container', async () => {
    const readinessProbe = { exec: { command: ['test', '-e', '/state/ready'] }, periodSeconds: 1, failureThreshold: 1 };
    const livenessProbe = {
      exec: { command: ['test', '!', '-e', '/state/dead'] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    const app = shell('app', FOREVER, {
      readinessProbe,
      livenessProbe,
      volumeMounts: [{ name: 'state', mountPath: '/state' }],
    });
    await world.create('probed', { volumes: [{ name: 'state', emptyDir: {} }], containers: [app] });
    const running = await world.pod('probed', ({ status }) => status?.containerStatuses?.[0]?.started === true);
    assert.equal(isReady(running), false);
    const run = async (command: string[]) => {
      const [record] = world.agent.pods
        .get('default', 'probed')!
        .containers.records.filter((r) => r.state === 'running');
      const process = await world.agent.runtime.exec(record!.id, { command, tty: false, stdin: false });
      return process.exit;
    };
    await run(['touch', '/state/ready']);
    await world.pod('probed', isReady);
    await run(['touch', '/state/dead']);
    const restarted = await world.pod('probed', (pod) => container(pod).restartCount > 0);
    assert.ok(container(restarted).lastState?.terminated);
    assert.ok((await events('probed')).includes('Unhealthy'));
  });

  it('a new image in the manifest starts the container anew', async () => {
    await world.create('image', { containers: [shell('app', FOREVER)] });
    await world.pod('image', isReady);
    const containers = [{ name: 'app', image: 'podwire.io/host' }];
    await world.client.patch('Pod', { name: 'image', namespace: 'default' }, { spec: { containers } }, 'strategic');
    const again = await world.pod('image', (pod) => isReady(pod) && container(pod).restartCount === 1);
    assert.equal(container(again).image, 'podwire.io/host');
    assert.ok((await events('image')).includes('Killing'));
  });

  it('hooks run after the start and before the end', async () => {
    const lifecycle = {
      postStart: { exec: { command: ['sh', '-c', 'echo begun > /state/hooks'] } },
      preStop: { exec: { command: ['sh', '-c', 'echo ending >> /state/hooks'] } },
    };
    const volumeMounts = [{ name: 'state', mountPath: '/state' }];
    const script = 'trap "cat /state/hooks; exit 0" TERM; while :; do sleep 0.02; done';
    await world.create('hooks', {
      volumes: [{ name: 'state', emptyDir: {} }],
      containers: [shell('app', script, { lifecycle, volumeMounts })],
    });
    const pod = await world.pod('hooks', isReady);
    const text: string[] = [];
    const end = world.agent.pods
      .get('default', 'hooks')!
      .containers.end(world.agent.pods.get('default', 'hooks')!.containers.records[0]!.id);
    const reading = (async () => {
      for await (const chunk of readLog(logPath(world.stateDir, pod, 'app', 0), { timestamps: false, follow: end }))
        text.push(String(chunk));
    })();
    await world.client.delete('Pod', 'hooks', 'default');
    await world.gone('hooks');
    await reading;
    assert.equal(text.join(''), 'begun\nending\n');
  });

  it('what does not heed SIGTERM is killed when its grace is over', async () => {
    await world.create('deaf', {
      terminationGracePeriodSeconds: 1,
      containers: [shell('app', 'trap "" TERM; while :; do sleep 0.02; done')],
    });
    await world.pod('deaf', isReady);
    const started = performance.now();
    await world.client.delete('Pod', 'deaf', 'default');
    await world.gone('deaf');
    assert.ok(performance.now() - started >= 500, 'it was not killed at once');
  });

  it('a pod that is deleted by force is cleared away', async () => {
    await world.create('forced', { containers: [shell('app', 'trap "" TERM; while :; do sleep 0.02; done')] });
    await world.pod('forced', isReady);
    await world.client.delete('Pod', 'forced', 'default', { gracePeriodSeconds: 0 });
    const left = () => world.agent.runtime.sandboxes().filter(({ podName }) => podName === 'forced').length;
    await until(async () => left() === 0 || { not: left() });
  });

  it('activeDeadlineSeconds end a pod for good', async () => {
    await world.create('deadline', { activeDeadlineSeconds: 1, containers: [shell('app', FOREVER)] });
    const pod = await world.pod('deadline', ({ status }) => status?.phase === 'Failed');
    assert.equal(pod.status?.reason, 'DeadlineExceeded');
    await until(
      async () => (await events('deadline')).includes('DeadlineExceeded') || { not: await events('deadline') },
    );
  });

  it('a new agent adopts what runs, without restarting it, and removes what is no longer wanted', async () => {
    await world.create('kept', { containers: [shell('app', FOREVER)] });
    await world.create('dropped', { containers: [shell('app', FOREVER)] });
    const before = await world.pod('kept', isReady);
    await world.pod('dropped', isReady);
    const started = world.restartAgent(() =>
      world.client.delete('Pod', 'dropped', 'default', { gracePeriodSeconds: 0 }),
    );
    await started;
    const left = () => world.agent.runtime.sandboxes().filter(({ podName }) => podName === 'dropped').length;
    await until(async () => left() === 0 || { not: left() });
    const after = await world.pod('kept', isReady);
    assert.deepEqual(after.status, before.status);
    assert.equal(world.agent.runtime.containers().filter(({ state }) => state === 'running').length > 0, true);
    await world.client.delete('Pod', 'kept', 'default');
    await world.gone('kept');
    assert.equal(existsSync(logPath(world.stateDir, after, 'app', 0)), false);
  });
});
