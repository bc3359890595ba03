// What dies beside the daemon: a node's thread, a container's process 1, its conmon, an exec. And what is said while they do.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { createInformer } from '../../src/cache/informer.ts';
import { Client } from '../../src/client/client.ts';
import { openKubeconfig } from '../../src/client/kubeconfig.ts';
import type { Pod } from '../../src/objects/types.ts';
import { startTimeOf } from '../../src/sys/identity.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { containerIds, untilNothingBesides } from './audit.ts';
import { breakThread, hangThread } from './break-thread.ts';
import { inventory, kubectlSkip, Machine, processesOf, until } from './machine.ts';

const skip = kubectlSkip() ?? false;
let machine: Machine;
let bare: Record<string, string[]>;
let client: Client;

before(async () => {
  if (skip) return;
  machine = await Machine.create('death');
  bare = await inventory(machine);
  enterNetns(`/run/netns/${machine.netns}`);
  await machine.mustPodwire('up', '--nodes', '2');
  client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
});

after(async () => {
  client?.transport.close();
  await machine?.[Symbol.asyncDispose]();
});

afterEach((t) => {
  if (machine && !(t as { passed?: boolean }).passed) console.error(machine.logEnd());
});

const file = (...path: string[]) => join(machine.state, 'clusters', machine.cluster, ...path);
const daemonPid = () => (JSON.parse(readFileSync(file('daemon.pid'), 'utf8')) as { pid: number }).pid;

function manifest(name: string, node: string, script: string, more: object = {}): string {
  const container = { name: 'c', image: 'host', command: ['bash', '-c', script] };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { nodeSelector: { 'kubernetes.io/hostname': node }, containers: [container], ...more },
  });
}

const isReady = (pod: Pod) => pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True');

function ready(name: string, condition: (pod: Pod) => boolean = () => true): Promise<Pod> {
  return until(`${name} is Ready`, async () => {
    const pod = await client.get('Pod', name, 'default');
    return isReady(pod) && condition(pod) && pod;
  });
}

async function start(name: string, node = 'node-1', script = 'sleep infinity', more: object = {}): Promise<Pod> {
  await machine.apply(manifest(name, node, script, more));
  return ready(name);
}

/** conmon of a running container and the container's process 1. */
function processesIn(pod: Pod): { conmon: number; init: number } {
  const [id] = containerIds(pod);
  const conmon = processesOf(machine).find(({ command }) => command.includes(`--cid ${id} `));
  const record = file('nodes', pod.spec.nodeName!, 'runtime/containers', id!, 'record.json');
  const { init } = JSON.parse(readFileSync(record, 'utf8')) as { init: { pid: number } };
  return { conmon: Number(conmon!.pid), init: init.pid };
}

const restarts = (pod: Pod) => pod.status?.containerStatuses?.[0]?.restartCount;

const nothingBesides = () => untilNothingBesides(machine, client);

test('a container whose process 1 is killed is started again, and its status says how it ended', { skip }, async () => {
  const pod = await start('victim');
  process.kill(processesIn(pod).init, 'SIGKILL');
  const again = await ready('victim', (now) => restarts(now) === 1);
  const last = again.status!.containerStatuses![0]!.lastState?.terminated;
  assert.deepEqual([last?.exitCode, last?.reason], [137, 'Error']);
  assert.equal(again.status!.podIP, pod.status!.podIP);
  await nothingBesides();
});

test('a container whose conmon is killed is ended and started again: none runs on unknown', { skip }, async () => {
  const pod = await start('orphan', 'node-1', 'while :; do sleep 1; done');
  const { conmon, init } = processesIn(pod);
  process.kill(conmon, 'SIGKILL');
  const again = await ready('orphan', (now) => restarts(now) === 1);
  assert.match(again.status!.containerStatuses![0]!.lastState?.terminated?.message ?? '', /conmon.* was killed/);
  await until('the old one has ended', async () => !readdirSync('/proc').includes(String(init)));
  await nothingBesides();
});

test('a conmon that is killed while the daemon is dead too: the next daemon ends its container', { skip }, async () => {
  // Another one: a second end within ten minutes would be waited for.
  const pod = await start('orphan-2');
  const { conmon, init } = processesIn(pod);
  process.kill(daemonPid(), 'SIGKILL');
  process.kill(conmon, 'SIGKILL');
  await until('it is dead', async () => (await machine.podwire('status')).code === 3);
  await machine.mustPodwire('up');
  await ready('orphan-2', (now) => restarts(now) === 1);
  await until('the old one has ended', async () => !readdirSync('/proc').includes(String(init)));
  await nothingBesides();
});

test('an exec that is killed ends with its code, and its container runs on', { skip }, async () => {
  const pod = await ready('victim');
  const running = machine.run('kubectl', ['exec', 'victim', '--', 'sleep', '4321']);
  const sleeper = await until('it runs', async () => {
    const found = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && words(pid) === 'sleep 4321 ');
    return found.length === 1 && Number(found[0]);
  });
  process.kill(sleeper, 'SIGKILL');
  assert.equal((await running).code, 137);
  assert.deepEqual(containerIds(await ready('victim')), containerIds(pod));
});

function words(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

test("a node's thread that dies is started again and adopts what runs on its node", { skip }, async () => {
  const pid = daemonPid();
  const earlier = [await start('onlooker', 'node-2'), await ready('victim')];
  for (let round = 0; round < 2; round++) {
    await breakThread(daemonPid(), 'node-2');
    await until('its agent answers again', async () => (await machine.podwire('status')).code === 0);
    await start(`later-${round}`, 'node-2');
  }
  assert.equal(daemonPid(), pid);
  for (const pod of earlier) assert.deepEqual(containerIds(await ready(pod.metadata.name)), containerIds(pod));
  assert.match(await machine.kubectl('exec', 'onlooker', '--', 'echo', 'heard'), /heard/);
  await nothingBesides();
  // With a thread missing the daemon ends in good order all the same.
  await breakThread(daemonPid(), 'node-2');
  process.kill(pid, 'SIGTERM');
  await until('the daemon has ended', async () => startTimeOf(pid) === undefined);
  await machine.mustPodwire('up');
  for (const pod of earlier) assert.deepEqual(containerIds(await ready(pod.metadata.name)), containerIds(pod));
});

test("with a node's thread that hangs the daemon ends all the same, and the next one adopts what runs there", {
  skip,
}, async () => {
  const onlooker = await ready('onlooker');
  const pid = daemonPid();
  assert.ok(await hangThread(pid, 'node-2'));
  await until('it hangs', async () => (await machine.podwire('status')).code !== 0);
  const { code, stderr } = await machine.podwire('node', 'kill', 'node-2');
  assert.notEqual(code, 0);
  assert.match(stderr, /the agent of node-2 hangs/);
  process.kill(pid, 'SIGTERM');
  await until('the daemon has ended', async () => startTimeOf(pid) === undefined);
  const said = readFileSync(file('daemon.log'), 'utf8');
  assert.match(said, /the thread of the agent hangs/);
  assert.doesNotMatch(said, /FATAL ERROR/);
  await machine.mustPodwire('up');
  assert.deepEqual(containerIds(await ready('onlooker')), containerIds(onlooker));
  assert.match(await machine.kubectl('exec', 'onlooker', '--', 'echo', 'heard'), /heard/);
});

test('kill -9 in the middle of writes: whatever was acknowledged is there, and watches miss nothing', {
  skip,
}, async () => {
  const seen = new Set<string>();
  const informer = createInformer(client, 'ConfigMap', { namespace: 'default' });
  informer.onChange(({ type, object }) => type === 'add' && seen.add(object.metadata.name));
  await informer.synced;
  const acknowledged: string[] = [];
  let tried = 0;
  const write = async () => {
    const name = `note-${tried++}`;
    try {
      await client.create('ConfigMap', { metadata: { name, namespace: 'default' }, data: { name } });
      acknowledged.push(name);
    } catch {
      // Not acknowledged: it may be there or not.
    }
  };
  for (let round = 0; round < 3; round++) {
    const upTo = acknowledged.length + 40;
    let dead = false;
    const writers = [0, 1, 2, 3].map(async () => {
      while (!dead) await write();
    });
    await until('some are written', async () => acknowledged.length >= upTo);
    process.kill(daemonPid(), 'SIGKILL');
    await until('it is dead', async () => (await machine.podwire('status')).code === 3);
    dead = true;
    await Promise.all(writers);
    await machine.mustPodwire('up');
    const there = new Set(
      (await client.list('ConfigMap', { namespace: 'default' })).items.map((each) => each.metadata.name),
    );
    assert.deepEqual(
      acknowledged.filter((name) => !there.has(name)),
      [],
    );
    await until('the informer has seen all that is there', async () => [...there].every((name) => seen.has(name)));
  }
  informer.close();
});

test('down with processes that ignore SIGTERM, deep trees and open sessions leaves nothing', { skip }, async () => {
  const deep = 'f() { if (( $1 > 0 )); then f $(( $1 - 1 )) & wait; else sleep infinity; fi; }; trap "" TERM; f 12';
  await start('deep', 'node-1', deep);
  await start('stubborn', 'node-2', 'trap "" TERM INT HUP; setsid sleep infinity & while :; do sleep 1; done');
  const sessions = [
    machine.spawn('kubectl', ['exec', '-i', 'deep', '--', 'bash', '-c', 'trap "" TERM HUP; echo on; sleep infinity']),
    machine.spawn('kubectl', ['exec', '-i', 'stubborn', '--', 'sh', '-c', 'echo on; cat']),
  ];
  await Promise.all(sessions.map((each) => new Promise((resolve) => each.stdout!.once('data', resolve))));
  sessions.push(machine.spawn('kubectl', ['logs', '-f', 'deep']), machine.spawn('kubectl', ['get', 'pods', '-w']));
  const ends = sessions.map((each) => each.exitCode ?? new Promise((resolve) => each.once('exit', resolve)));
  const began = Date.now();
  await machine.mustPodwire('down');
  assert.ok(Date.now() - began < 20_000, 'nobody was waited for');
  await Promise.all(ends);
  assert.deepEqual(await inventory(machine), bare);
});
