// What up and down do when files of the state are damaged, missing or cannot be written, and when several of them run at once.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { clusterSkip, inventory, Machine, type Outcome, processesOf, until } from './machine.ts';

const skip = clusterSkip() ?? false;
let machine: Machine;
let bare: Record<string, string[]>;

before(async () => {
  if (skip) return;
  machine = await Machine.create('dmg');
  bare = await inventory(machine);
});

afterEach(async () => {
  await machine?.podwire('down', '--all');
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

interface Status {
  readonly nodes: readonly { readonly name: string; readonly ready: boolean }[];
  readonly pods: readonly { readonly name: string; readonly ip: string; readonly ready: boolean }[];
}

const file = (...path: string[]) => join(machine.state, 'clusters', machine.cluster, ...path);

async function status(): Promise<Status> {
  return JSON.parse((await machine.podwire('status', '-o', 'json')).stdout) as Status;
}

function daemons(): number[] {
  return processesOf(machine)
    .filter(({ command }) => /daemon\.[jt]s /.test(command))
    .map(({ pid }) => Number(pid));
}

async function killDaemon(): Promise<void> {
  for (const pid of daemons()) process.kill(pid, 'SIGKILL');
  await until('the daemon is gone', async () => daemons().length === 0);
}

function assertOneLine(outcome: Outcome, pattern: RegExp): void {
  assert.notEqual(outcome.code, 0, outcome.stdout);
  const lines = outcome.stderr.trimEnd().split('\n');
  assert.match(lines.at(-1)!, pattern);
  // Before it: only the steps that took long.
  assert.ok(
    lines.slice(0, -1).every((line) => line.startsWith('  ') && !line.includes(' at ')),
    outcome.stderr,
  );
}

async function downLeavesNothing(): Promise<void> {
  await machine.mustPodwire('down');
  assert.deepEqual(await inventory(machine), bare);
}

const podsReady = () =>
  until('every pod is Ready', async () => {
    const seen = await status();
    return seen.pods.length > 0 && seen.pods.every((pod) => pod.ready) && seen;
  });

test('of two ups at once one starts the cluster, and the other says so', { skip }, async () => {
  const outcomes = await Promise.all([machine.podwire('up', '--nodes', '1'), machine.podwire('up', '--nodes', '1')]);
  assert.deepEqual(outcomes.map((each) => each.code).sort(), [0, 1]);
  assertOneLine(outcomes.find((each) => each.code === 1)!, /at this moment|already up/);
  assert.equal(daemons().length, 1);
  assert.deepEqual(
    (await status()).nodes.map((node) => node.ready),
    [true],
  );
  const downs = await Promise.all([machine.podwire('down'), machine.podwire('down')]);
  assert.ok(downs.some((each) => each.code === 0));
  for (const each of downs) if (each.code !== 0) assertOneLine(each, /there is no cluster/);
  assert.deepEqual(await inventory(machine), bare);
});

test('down while up is at any point of its way: nothing is left, and up says what happened', { skip }, async () => {
  for (const delayMs of [0, 60, 150, 300, 500, 800]) {
    const starting = machine.podwire('up', '--nodes', '1', '--demo');
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const down = await machine.podwire('down');
    const up = await starting;
    if (up.code !== 0) assertOneLine(up, /was killed before/);
    if (down.code !== 0) {
      // It was there before there was anything to take down.
      assertOneLine(down, /there is no cluster/);
      assert.equal(up.code, 0, up.stderr);
      await machine.mustPodwire('down');
    }
    assert.deepEqual(await inventory(machine), bare, `down ${delayMs} ms after up`);
  }
  await machine.mustPodwire('up', '--nodes', '1');
  await downLeavesNothing();
});

test('a damaged pidfile hides no daemon from up, status and down', { skip }, async () => {
  await machine.mustPodwire('up', '--nodes', '1');
  for (const text of ['', 'garbage', '{"pid":1', '{"pid":1,"startTime":"0"}', 'null']) {
    writeFileSync(file('daemon.pid'), text);
    assertOneLine(await machine.podwire('up'), /already up/);
  }
  rmSync(file('daemon.pid'));
  assertOneLine(await machine.podwire('up'), /already up/);
  assert.equal((await machine.podwire('status')).code, 0);
  await downLeavesNothing();
});

test('damaged records, leases and sockets: what they told of is made anew, all else runs on', { skip }, async () => {
  await machine.mustPodwire('up', '--nodes', '1', '--demo');
  await killDaemon();
  const node = (...path: string[]) => file('nodes', 'node-1', ...path);
  const [first, second] = readdirSync(node('runtime/containers'));
  writeFileSync(node('runtime/containers', first!, 'record.json'), '');
  writeFileSync(node('runtime/containers', second!, 'record.json'), '{"spec":{"id":"x"');
  const leases = readFileSync(node('leases.jsonl'), 'utf8').split('\n');
  writeFileSync(node('leases.jsonl'), [leases[0], 'rubbish', ...leases.slice(2, -2), '{"torn'].join('\n'));
  rmSync(node('kubelet.sock'));
  writeFileSync(node('kubelet.sock'), 'no socket');
  rmSync(file('control.sock'));
  writeFileSync(file('kubeconfig'), '');
  await machine.mustPodwire('up');
  const { pods } = await podsReady();
  assert.equal(new Set(pods.map((pod) => pod.ip)).size, pods.length, 'every pod has an address of its own');
  const running = processesOf(machine).filter(({ command }) => command.startsWith('/usr/bin/conmon'));
  assert.equal(running.length, pods.length);
  await downLeavesNothing();
});

test('what cannot be read is named in one line, and down takes all of it away', { skip }, async () => {
  const start = async () => {
    await machine.mustPodwire('up', '--nodes', '1', '--demo');
    await killDaemon();
  };
  await start();
  const config = readFileSync(file('cluster.json'), 'utf8');
  for (const text of ['', '{"name":', '{}', 'null']) {
    writeFileSync(file('cluster.json'), text);
    assertOneLine(await machine.podwire('up'), /cluster\.json is damaged.*podwire down/);
  }
  writeFileSync(file('cluster.json'), config);
  await machine.mustPodwire('up');
  await killDaemon();
  writeFileSync(file('api/api.db'), 'This was a database once. '.repeat(400));
  rmSync(file('api/api.db-wal'), { force: true });
  assertOneLine(await machine.podwire('up'), /api\.db cannot be read: file is not a database/);
  assert.equal(daemons().length, 0);
  await downLeavesNothing();

  await start();
  writeFileSync(file('cluster.json'), '');
  await downLeavesNothing();

  await start();
  // What is mounted there stays.
  await machine.run('rm', ['-rf', file()]);
  await machine.mustPodwire('down');
  assert.deepEqual(await inventory(machine), bare, 'its namespaces tell what ran, where its files are gone');
});

test('a write-ahead log that was cut off loses no more than was cut off', { skip }, async () => {
  await machine.mustPodwire('up', '--nodes', '1', '--demo');
  await killDaemon();
  const wal = readFileSync(file('api/api.db-wal'));
  writeFileSync(file('api/api.db-wal'), wal.subarray(0, wal.length - 1000));
  await machine.mustPodwire('up');
  await podsReady();
  await downLeavesNothing();
});

test('a port that was taken while the daemon was dead is named; once it is free, what ran is adopted', {
  skip,
}, async () => {
  await machine.mustPodwire('up', '--nodes', '1', '--demo', '--api-port', '7443');
  await killDaemon();
  const listen = "require('net').createServer().listen(7443,'127.0.0.1',()=>console.log('on'))";
  const squatter = machine.spawn(process.execPath, ['-e', listen]);
  await new Promise((resolve) => squatter.stdout!.once('data', resolve));
  assertOneLine(await machine.podwire('up'), /port 7443 on 127\.0\.0\.1 is busy/);
  const ended = new Promise((resolve) => squatter.once('exit', resolve));
  squatter.kill('SIGKILL');
  await ended;
  const [before] = processesOf(machine).filter(({ command }) => command.includes('conmon'));
  await machine.mustPodwire('up');
  assert.ok(before && existsSync(`/proc/${before.pid}`), 'no container was ended');
  await downLeavesNothing();
});

test('a full disk: writes are refused in plain words, nothing that was said is lost, and down works', {
  skip,
}, async () => {
  await using small = await Machine.create('full');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', small.state]);
  try {
    await small.mustPodwire('up', '--nodes', '1');
    await small.kubectl('create', 'configmap', 'early', '--from-literal=a=b');
    const filler = join(small.state, 'filler');
    const fill = () =>
      assert.throws(() => execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' }));
    fill();
    const big = `--from-literal=a=${'x'.repeat(100_000)}`;
    const refused = await until('the disk refuses', async () => {
      const outcome = await small.run('kubectl', ['create', 'configmap', `late-${Date.now()}`, big]);
      return outcome.code !== 0 && outcome;
    });
    assert.match(refused.stderr, /disk|space|full/i);
    rmSync(filler);
    await until(
      'there is room again',
      async () => (await small.run('kubectl', ['create', 'configmap', 'after'])).code === 0,
    );
    for (const name of ['early', 'after']) await small.kubectl('get', 'configmap', name);
    fill();
    await small.mustPodwire('down');
    assert.equal(existsSync(join(small.state, 'clusters', small.cluster)), false);
    fill();
    assertOneLine(await small.podwire('up', '--nodes', '1'), /space/);
    assert.deepEqual(
      readdirSync('/run/netns').filter((name) => name.startsWith(`pw-${small.cluster}`)),
      [],
    );
    execFileSync('mount', ['-o', 'remount,ro', small.state]);
    assertOneLine(await small.podwire('up', '--nodes', '1'), /read-only/);
  } finally {
    execFileSync('umount', ['-l', small.state]);
  }
});
