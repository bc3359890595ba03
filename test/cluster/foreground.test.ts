// `up` and `up --foreground` under signals: Ctrl-C takes the cluster down whole, and a start that is broken off leaves nothing.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { clusterSkip, inventory, Machine, PODWIRE, until } from './machine.ts';

const skip = clusterSkip() ?? false;
let machine: Machine;

before(async () => {
  if (!skip) machine = await Machine.create('fore');
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

interface Running {
  readonly child: ChildProcess;
  /** What it has said so far. */
  said(): string;
  readonly ended: Promise<number | null>;
}

/** Podwire in a process group of its own, as a shell's job, so that a signal to the group is what Ctrl-C is. */
function start(...words: string[]): Running {
  const args = [`--net=/run/netns/${machine.netns}`, '--', PODWIRE, ...words];
  const child = spawn('nsenter', args, { env: machine.env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk;
    });
  }
  return { child, said: () => text, ended: new Promise((resolve) => child.once('close', resolve)) };
}

function interrupt({ child }: Running, signal: NodeJS.Signals): void {
  if (child.exitCode === null) process.kill(-child.pid!, signal);
}

/** On a busy machine the signal may come when the cluster is already up: then once more. */
async function interruptedInTheMiddle(...words: string[]): Promise<Running> {
  for (;;) {
    const running = start(...words);
    await until('the daemon is started', async () => existsSync(pidfile()) || running.child.exitCode !== null);
    interrupt(running, 'SIGINT');
    await running.ended;
    if (!running.said().includes('is up')) return running;
    await machine.podwire('down');
  }
}

const pidfile = () => join(machine.state, 'clusters', machine.cluster, 'daemon.pid');

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`--foreground stays, and ${signal} takes the cluster down whole`, { skip }, async () => {
    const earlier = await inventory(machine);
    const running = start('up', '--nodes', '1', '--foreground');
    await until('the cluster is up', async () => running.said().includes('is up'));
    await machine.mustPodwire('status');
    assert.equal(running.child.exitCode, null);
    interrupt(running, signal);
    assert.equal(await running.ended, 0, running.said());
    assert.match(running.said(), /is down/);
    assert.deepEqual(await inventory(machine), earlier);
  });
}

for (const words of [['--foreground'], []]) {
  test(`Ctrl-C while 'up ${words.join(' ')}' is starting leaves nothing behind`, { skip }, async () => {
    const earlier = await inventory(machine);
    const running = await interruptedInTheMiddle('up', '--nodes', '3', '--demo', ...words);
    assert.equal(await running.ended, 130, running.said());
    assert.match(running.said(), /interrupted before cluster \S+ was ready\n$/);
    assert.deepEqual(await inventory(machine), earlier);
  });
}

test('--foreground ends well when another podwire takes the cluster down', { skip }, async () => {
  const running = start('up', '--nodes', '1', '--foreground');
  await until('the cluster is up', async () => running.said().includes('is up'));
  await machine.mustPodwire('down');
  assert.equal(await running.ended, 0, running.said());
  assert.match(running.said(), /is down\.\n$/);
});

test('--foreground ends with its daemon, and says how its pods are taken up', { skip }, async () => {
  const running = start('up', '--nodes', '1', '--foreground');
  await until('the cluster is up', async () => running.said().includes('is up'));
  process.kill((JSON.parse(readFileSync(pidfile(), 'utf8')) as { pid: number }).pid, 'SIGKILL');
  assert.equal(await running.ended, 1);
  assert.match(running.said(), /the daemon of cluster \S+ has ended; its pods go on\. Try: podwire up --name/);
  await machine.mustPodwire('up');
  await machine.mustPodwire('down');
});
