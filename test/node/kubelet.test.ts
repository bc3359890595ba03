// The kubelet's socket as the API server and kubectl use it: logs over HTTP, exec over WebSocket channels.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import WebSocket from 'ws';
import { type KubeletServer, startKubeletServer } from '../../src/node/kubelet/server.ts';
import { createWorld, isReady, shell, unable, until, type World } from './pod-world.ts';

interface Answer {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly status: { status: string; message?: string; reason?: string; details?: { causes: { message: string }[] } };
}

describe('the kubelet server', { skip: unable() }, () => {
  let world: World;
  let server: KubeletServer;
  let socketPath: string;

  before(async () => {
    world = await createWorld();
    socketPath = join(world.stateDir, 'kubelet.sock');
    const { stateDir } = world;
    const findPod = (namespace: string, name: string) => world.agent.pods.get(namespace, name);
    server = await startKubeletServer({ socketPath, stateDir, runtime: world.agent.runtime, findPod });
    await world.create('talker', {
      containers: [shell('app', 'echo one; echo two; trap "exit 0" TERM; while :; do sleep 0.02; done')],
    });
    await world.pod('talker', isReady);
  });
  after(async () => {
    await server.close();
    await world.close();
  });

  const get = (path: string) =>
    new Promise<IncomingMessage>((resolve, reject) => request({ socketPath, path }, resolve).on('error', reject).end());
  const text = async (path: string) => {
    const response = await get(path);
    return [response.statusCode, Buffer.concat(await response.toArray()).toString()];
  };
  const LOGS = '/containerLogs/default/talker/app';

  it('is well', async () => assert.deepEqual(await text('/healthz'), [200, 'ok']));

  it('gives the log, its end, and its times', async () => {
    await until(async () => {
      const answer = await text(LOGS);
      return answer[1] === 'one\ntwo\n' || { not: answer };
    });
    assert.deepEqual(await text(`${LOGS}?tailLines=1`), [200, 'two\n']);
    assert.deepEqual(await text(`${LOGS}?limitBytes=2`), [200, 'on']);
    assert.match((await text(`${LOGS}?timestamps=true&tailLines=1`))[1] as string, /^\d{4}-\d\d-\d\dT[\d:.]+Z two\n$/);
    assert.deepEqual(await text(`${LOGS}?sinceTime=2100-01-01T00:00:00Z`), [200, '']);
  });

  it('says in Kubernetes words what is not there', async () => {
    assert.deepEqual(await text('/containerLogs/default/none/app'), [404, 'pod "none" is not on this node']);
    assert.deepEqual(await text(`${LOGS}?previous=true`), [
      400,
      'previous terminated container "app" in pod "talker" not found',
    ]);
    assert.equal((await text(`${LOGS}?tailLines=x`))[0], 400);
    await world.create('imageless', { containers: [{ name: 'app', image: 'registry.example/none:1' }] });
    await world.pod(
      'imageless',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull',
    );
    assert.deepEqual(await text('/containerLogs/default/imageless/app'), [
      400,
      'container "app" in pod "imageless" is waiting to start: ErrImagePull',
    ]);
  });

  it('follows a log to its end', async () => {
    const script = 'for i in 1 2 3; do echo $i; sleep 0.1; done';
    await world.create('counter', { restartPolicy: 'Never', containers: [shell('app', script)] });
    await world.pod('counter', ({ status }) => status?.containerStatuses?.[0]?.containerID !== undefined);
    assert.deepEqual(await text('/containerLogs/default/counter/app?follow=true'), [200, '1\n2\n3\n']);
  });

  /** Runs a command as kubectl does: `input` on channel 0, then the channel is closed (v5). */
  async function exec(
    command: string[],
    options: { input?: Buffer; tty?: [columns: number, rows: number]; protocol?: string; path?: string } = {},
  ): Promise<Answer> {
    const query = new URLSearchParams(command.map((word): [string, string] => ['command', word]));
    query.append('output', '1');
    if (options.tty) query.append('tty', '1');
    else query.append('error', '1');
    if (options.input) query.append('input', '1');
    const { protocol = 'v5.channel.k8s.io', path = '/exec/default/talker/app' } = options;
    const socket = new WebSocket(`ws+unix://${socketPath}:${path}?${query}`, [protocol]);
    const channels: Buffer[][] = [[], [], [], []];
    socket.on('message', (data: Buffer) => channels[data[0]!]!.push(data.subarray(1)));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    assert.equal(socket.protocol, protocol);
    if (options.tty) {
      const [Width, Height] = options.tty;
      socket.send(Buffer.concat([Buffer.from([4]), Buffer.from(JSON.stringify({ Width, Height }))]));
    }
    for (let i = 0; i < (options.input?.length ?? 0); i += 32768) {
      socket.send(Buffer.concat([Buffer.from([0]), options.input!.subarray(i, i + 32768)]));
    }
    if (options.input) socket.send(Buffer.from([255, 0]));
    await new Promise((resolve) => socket.once('close', resolve));
    const [, stdout, stderr, status] = channels.map((chunks) => Buffer.concat(chunks));
    return { stdout: stdout!, stderr: stderr!, status: JSON.parse(status!.toString()) };
  }

  it('runs a command with its output apart and its exit code', async () => {
    const { stdout, stderr, status } = await exec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
    assert.equal(stdout.toString(), 'out\n');
    assert.equal(stderr.toString(), 'err\n');
    assert.equal(status.reason, 'NonZeroExitCode');
    assert.equal(status.details?.causes[0]?.message, '7');
  });

  it('says Success, in both protocols', async () => {
    for (const protocol of ['v5.channel.k8s.io', 'v4.channel.k8s.io']) {
      assert.equal((await exec(['true'], { protocol })).status.status, 'Success');
    }
  });

  it('carries megabytes both ways unharmed, and closes stdin', async () => {
    const input = randomBytes(5_000_000);
    const { stdout, status } = await exec(['cat'], { input });
    assert.equal(status.status, 'Success');
    assert.equal(hash(stdout), hash(input));
  });

  it('gives a terminal of the right size', async () => {
    const { stdout } = await exec(['sh', '-c', 'sleep 0.2; stty size; tty'], {
      tty: [123, 45],
      input: Buffer.alloc(0),
    });
    assert.match(stdout.toString(), /45 123\r\n\/dev\/pts\/0\r\n/);
  });

  it('ends though what the command left running holds its output open', async () => {
    const { stdout, status } = await exec(['sh', '-c', 'sleep 60 & echo started']);
    assert.equal(stdout.toString(), 'started\n');
    assert.equal(status.status, 'Success');
  });

  it('attaches to the process itself, and says Success however that ends', async () => {
    const app = shell('app', 'read line; echo "$line"; exit 4', { stdin: true, stdinOnce: true });
    await world.create('reader', { restartPolicy: 'Never', containers: [app] });
    await world.pod('reader', isReady);
    const path = '/attach/default/reader/app';
    const { stdout, status } = await exec([], { path, input: Buffer.from('hello\n') });
    assert.equal(stdout.toString(), 'hello\n');
    assert.deepEqual(status, { metadata: {}, status: 'Success' });
    const { status: ended } = await world.pod('reader', ({ status }) => status?.phase === 'Failed');
    assert.equal(ended?.containerStatuses?.[0]?.state?.terminated?.exitCode, 4);
  });

  it('says why a command cannot be run, and that a container is not there', async () => {
    const missing = await exec(['no-such-program']);
    assert.equal(missing.status.status, 'Failure');
    assert.match(missing.status.message!, /no-such-program/);
    await world.client.delete('Pod', 'talker', 'default');
    await world.gone('talker');
    assert.match((await exec(['true'])).status.message!, /"talker" is not on this node/);
  });
});

function hash(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
