// Tests of room runtime: what a container is to its process and to the machine, under the real OCI runtime and conmon.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  container,
  ending,
  eventually,
  makeNode,
  open,
  readLog,
  removeDir,
  run,
  runSandbox,
  skip,
  stdout,
  traces,
  useNode,
} from './node.ts';

describe('a container', { skip }, () => {
  const scene = useNode();
  const { node } = scene;
  const spec = (name: string, script: string, more = {}) =>
    container(scene.runtime, node, 'pod', name, ['sh', '-c', script], more);

  it('writes its log line by line with stream and time, and ends with its exit code', async () => {
    const { status, lines } = await run(
      scene.runtime,
      spec('log', 'echo out; echo err >&2; printf unfinished; exit 3'),
    );
    assert.equal(status.state, 'exited');
    assert.equal(status.exitCode, 3);
    assert.equal(status.reason, 'Error');
    assert.ok(Date.parse(status.finishedAt!) >= Date.parse(status.startedAt) - 1000);
    assert.ok(lines.some((line) => line.stream === 'stdout' && line.tag === 'F' && line.text === 'out'));
    assert.ok(lines.some((line) => line.stream === 'stderr' && line.tag === 'F' && line.text === 'err'));
    assert.ok(lines.some((line) => line.stream === 'stdout' && line.tag === 'P' && line.text === 'unfinished'));
  });

  it('that succeeds is Completed', async () => {
    const { status } = await run(scene.runtime, spec('ok', 'true'));
    assert.equal(status.exitCode, 0);
    assert.equal(status.reason, 'Completed');
  });

  it('ended by a signal has the exit code 128 + signal', async () => {
    const sleeper = container(scene.runtime, node, 'pod', 'term', [
      'sh',
      '-c',
      'trap "exit 143" TERM; echo up; while :; do sleep 0.01; done',
    ]);
    const ended = ending(scene.runtime, sleeper.id);
    await scene.runtime.startContainer(sleeper);
    await eventually('the trap is set', () => stdout(readLog(sleeper.logPath)).includes('up'));
    await scene.runtime.signalContainer(sleeper.id, 'SIGTERM');
    assert.equal((await ended).exitCode, 143);

    const killed = container(scene.runtime, node, 'pod', 'kill', ['sleep', '1000']);
    const end = ending(scene.runtime, killed.id);
    await scene.runtime.startContainer(killed);
    await scene.runtime.signalContainer(killed.id, 'SIGKILL');
    assert.equal((await end).exitCode, 137);
  });

  for (const [command, message] of [
    ['no-such-program', /exec: "no-such-program": executable file not found in \$PATH/],
    ['/no/such/program', /exec: "\/no\/such\/program": stat \/no\/such\/program: no such file or directory/],
  ] as const) {
    it(`whose command is ${command} does not start, and says why`, async () => {
      const { status } = await run(
        scene.runtime,
        container(scene.runtime, node, 'pod', command.replaceAll('/', '-'), [command]),
      );
      assert.equal(status.reason, 'StartError');
      assert.equal(status.exitCode, 128);
      assert.match(status.message!, message);
    });
  }

  it('gets its environment, directory, arguments and the hostname of the pod', async () => {
    const { lines } = await run(
      scene.runtime,
      container(scene.runtime, node, 'pod', 'env', ['sh', '-c', 'echo "$A|$HOSTNAME|$(hostname)|$(pwd)|$0|$1"'], {
        env: [{ name: 'A', value: 'b c' }],
        args: ['zero', 'one two'],
        workingDir: '/etc',
      }),
    );
    assert.deepEqual(stdout(lines), ['b c|host-of-pod|host-of-pod|/etc|zero|one two']);
  });

  it('writes to a root file system of its own: neither the machine nor another container sees it', async () => {
    const script = 'echo mine > /written-by-container && rm /etc/hostname 2>/dev/null; cat /written-by-container';
    const { lines } = await run(scene.runtime, spec('write', script));
    assert.deepEqual(stdout(lines), ['mine']);
    assert.equal(existsSync('/written-by-container'), false);
    const upper = join(node.options.stateDir, 'runtime/containers/pod-write-0/upper/written-by-container');
    assert.equal(readFileSync(upper, 'utf8'), 'mine\n');
    const other = await run(scene.runtime, spec('write2', 'ls /written-by-container'));
    assert.notEqual(other.status.exitCode, 0);
  });

  it('sees nothing of the state of clusters', async () => {
    const { lines } = await run(
      scene.runtime,
      spec('hidden', `ls ${node.options.imageDir} | wc -l; ls -A /tmp /run | tr -d '\\n'`),
    );
    assert.deepEqual(stdout(lines), ['0', '/run:/tmp:']);
  });

  it('with a read-only root cannot write there, but to its volumes', async () => {
    const source = join(node.dir, 'volume');
    mkdirSync(source);
    writeFileSync(join(source, 'given'), 'hello\n');
    const readOnly = join(node.dir, 'volume-ro');
    mkdirSync(readOnly);
    const { lines } = await run(
      scene.runtime,
      spec(
        'ro',
        'cat /data/given; echo x > /nope || echo refused; echo y > /data/new; echo z > /fixed/new || echo refused',
        {
          readOnlyRoot: true,
          mounts: [
            { source, target: '/data', readOnly: false },
            { source: readOnly, target: '/fixed', readOnly: true },
          ],
        },
      ),
    );
    // A mount point that the image lacks is made before the root becomes read-only.
    assert.deepEqual(stdout(lines), ['hello', 'refused', 'refused']);
    assert.equal(readFileSync(join(source, 'new'), 'utf8'), 'y\n');
  });

  it('runs as the user that is asked for, with the groups', async () => {
    const { lines } = await run(
      scene.runtime,
      spec('user', 'id -u; id -g; id -G; grep CapEff /proc/self/status', {
        user: { uid: 1234, gid: 5678, supplementalGids: [9999] },
      }),
    );
    assert.deepEqual(stdout(lines), ['1234', '5678', '5678 9999', 'CapEff:\t0000000000000000']);
  });

  it('has the capabilities of a container, those added, or when privileged all', async () => {
    const effective = async (name: string, more: object) => {
      const { status, lines } = await run(scene.runtime, spec(name, 'grep CapEff /proc/self/status', more));
      assert.equal(stdout(lines).length, 1, JSON.stringify([status, lines]));
      return BigInt(`0x${stdout(lines)[0]!.split('\t')[1]}`);
    };
    const [NET_ADMIN, NET_RAW, SYS_ADMIN] = [1n << 12n, 1n << 13n, 1n << 21n];
    const plain = await effective('cap', {});
    assert.equal(plain & (NET_ADMIN | NET_RAW | SYS_ADMIN), NET_RAW);
    const changed = await effective('cap2', { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] });
    assert.equal(changed, NET_ADMIN);
    const all = await effective('cap3', { privileged: true });
    assert.equal(all & (NET_ADMIN | NET_RAW | SYS_ADMIN), NET_ADMIN | NET_RAW | SYS_ADMIN);
  });

  it('shares localhost, IPC and hostname with the others of its pod, but not processes', async () => {
    const server = container(scene.runtime, node, 'pod', 'server', [
      'sh',
      '-c',
      'echo shared > /dev/shm/note; ipcmk -Q; exec sleep 1000',
    ]);
    await scene.runtime.startContainer(server);
    await eventually('the queue is there', () => stdout(readLog(server.logPath)).length > 0);
    const pid = scene.runtime.containers().find(({ id }) => id === server.id)!.pid!;
    for (const namespace of ['net', 'ipc', 'uts']) {
      const { lines } = await run(scene.runtime, spec(`ns-${namespace}`, `readlink /proc/self/ns/${namespace}`));
      assert.deepEqual(stdout(lines), [readlinkSync(`/proc/${pid}/ns/${namespace}`)]);
    }
    const { lines } = await run(
      scene.runtime,
      spec(
        'client',
        'cat /dev/shm/note; ipcs -q | grep -c 0x; ls -d /proc/[0-9]* | head -1; pgrep sleep || echo alone',
      ),
    );
    assert.deepEqual(stdout(lines), ['shared', '1', '/proc/1', 'alone']);
    await scene.runtime.removeContainer(server.id);
  });

  it('that asks for a terminal has one', async () => {
    const { lines } = await run(scene.runtime, spec('tty', 'test -t 1 && echo terminal', { tty: true }));
    assert.deepEqual(
      stdout(lines).map((line) => line.trim()),
      ['terminal'],
    );
  });

  it('is started once, however often it is asked for, and removed as often as one likes', async () => {
    const twice = spec('twice', 'echo started; sleep 1000');
    const logged = () => stdout(readLog(twice.logPath));
    const [first, second] = await Promise.all([
      scene.runtime.startContainer(twice),
      scene.runtime.startContainer(twice),
    ]);
    assert.equal(first.pid, second.pid);
    assert.equal((await scene.runtime.startContainer(twice)).pid, first.pid);
    await eventually('it has written', () => logged().length > 0);
    await Promise.all([scene.runtime.removeContainer(twice.id), scene.runtime.removeContainer(twice.id)]);
    await scene.runtime.removeContainer(twice.id);
    assert.equal(
      scene.runtime.containers().some(({ id }) => id === twice.id),
      false,
    );
    assert.deepEqual(logged(), ['started'], 'the log stays');
  });

  it('whose conmon is killed is ended, and told of', async () => {
    const held = spec('orphan', 'sleep 1000');
    const ended = ending(scene.runtime, held.id);
    const { pid } = await scene.runtime.startContainer(held);
    const conmon = Number(
      readFileSync(join(node.options.stateDir, 'runtime/containers', held.id, 'conmon.pid'), 'utf8'),
    );
    process.kill(conmon, 'SIGKILL');
    const status = await ended;
    assert.equal(status.exitCode, 137);
    assert.match(status.message!, /conmon/);
    await eventually(
      'its process is gone',
      () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z'),
    );
  });
});

describe('a sandbox', { skip }, () => {
  const node = makeNode();
  after(() => removeDir(node));

  it('leaves nothing on the machine when it is removed, with all its containers', async () => {
    const runtime = await open(node);
    const sandboxes = await Promise.all(['a', 'b'].map((id) => runSandbox(runtime, id)));
    assert.equal(new Set(sandboxes.map(({ netns }) => netns)).size, 2);
    assert.deepEqual(await runtime.runSandbox(sandboxes[0]!), sandboxes[0], 'asked for again it is the same');
    const specs = ['a', 'b'].flatMap((id) =>
      ['x', 'y'].map((name) => container(runtime, node, id, name, ['sleep', '1000'])),
    );
    const started = await Promise.all(specs.map((spec) => runtime.startContainer(spec)));
    assert.deepEqual(
      started.map(({ state }) => state),
      ['running', 'running', 'running', 'running'],
    );
    assert.equal(
      traces(node).some((line) => line.startsWith('mount') && !line.includes('nsfs')),
      false,
      'no mount shows outside',
    );
    await Promise.all([runtime.removeSandbox('a'), runtime.removeSandbox('b')]);
    await runtime.removeSandbox('a');
    assert.deepEqual(runtime.sandboxes(), []);
    assert.deepEqual(runtime.containers(), []);
    await eventually('conmons are reaped', () => traces(node).length === 0);
    runtime.close();
  });
});
