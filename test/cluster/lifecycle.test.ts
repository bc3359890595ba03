// Up, down and what can go wrong in between: nothing is left behind, what ran is adopted, errors are one clear line.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { clusterSkip, inventory, Machine, type Outcome, processesOf, until } from './machine.ts';

const skip = clusterSkip() ?? false;
let machine: Machine;

before(async () => {
  if (!skip) machine = await Machine.create('life');
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

interface Status {
  nodes: { name: string; ready: boolean; ips: string[] }[];
  pods: { namespace: string; name: string; ip: string; ready: boolean }[];
  services: { name: string; namespace: string; clusterIP: string }[];
}

async function readStatus(...args: string[]): Promise<Status> {
  return JSON.parse(await machine.mustPodwire('status', '-o', 'json', ...args)) as Status;
}

function daemonPid(): number {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
  return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
}

/** Pids of what holds the cluster's containers and of the containers' own first processes. */
function holders(): string[] {
  const conmons = processesOf(machine).filter((each) => each.command.startsWith('/usr/bin/conmon'));
  return conmons.flatMap(({ pid }) => [pid, readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()]);
}

function assertOneLine(outcome: Outcome, pattern: RegExp): void {
  assert.notEqual(outcome.code, 0, outcome.stdout);
  assert.match(outcome.stderr, pattern);
  assert.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr);
  assert.doesNotMatch(outcome.stderr, /\n\s+at /);
}

test('up, status, down: every node is Ready, and down leaves the machine as it was', { skip }, async () => {
  const earlier = await inventory(machine);
  await machine.mustPodwire('up', '--demo');
  const status = await readStatus();
  assert.deepEqual(
    status.nodes.map((node) => [node.name, node.ready]),
    [
      ['node-1', true],
      ['node-2', true],
      ['node-3', true],
    ],
  );
  assert.ok(status.pods.filter((pod) => pod.namespace === 'demo' && pod.ready).length >= 3);
  assertOneLine(await machine.podwire('up'), /already up/);
  await machine.mustPodwire('down');
  assert.deepEqual(await inventory(machine), earlier);
});

test('what is wrong is said in one line, and the exit code is not 0', { skip }, async () => {
  assertOneLine(await machine.podwire('down', '--name', 'nosuch'), /there is no cluster nosuch/);
  assertOneLine(await machine.podwire('status', '--name', 'nosuch'), /there is no cluster nosuch/);
  assertOneLine(await machine.podwire('kubeconfig', '--name', 'nosuch'), /there is no cluster nosuch/);
  assertOneLine(await machine.podwire('up', '--name', 'No_Such'), /cannot be a cluster's name/);
  // Not a way to other folders of the state.
  mkdirSync(join(machine.state, 'images'), { recursive: true });
  assertOneLine(await machine.podwire('down', '--name', '../images'), /"\.\.\/images" cannot be a cluster's name/);
  assert.ok(existsSync(join(machine.state, 'images')));
  assertOneLine(await machine.podwire('up', '--nodes', 'three'), /--nodes takes a whole number/);
  const config = join(machine.state, 'config.yaml');
  writeFileSync(config, 'network:\n  podCIDR: [10.1.0.0/16]\n');
  assertOneLine(await machine.podwire('up', '--config', config), /no field network\.podCIDR; did you mean podCIDRs\?/);
  writeFileSync(config, 'nodes: many\n');
  assertOneLine(await machine.podwire('up', '--config', config), /nodes must be a whole number/);
  assertOneLine(await machine.podwire('up', '--config', `${config}.nosuch`), /cannot be read/);
  assertOneLine(await machine.podwire('image', 'load', `${config}.nosuch`), /nosuch/);
});

test('a busy port, a missing tool and a missing privilege are said before anything is made', { skip }, async () => {
  const earlier = await inventory(machine);
  const listen = "require('net').createServer().listen(7443,'127.0.0.1',()=>console.log('on'))";
  const squatter = machine.spawn(process.execPath, ['-e', listen]);
  await new Promise((resolve) => squatter.stdout!.once('data', resolve));
  assertOneLine(await machine.podwire('up', '--api-port', '7443'), /port 7443 on 127\.0\.0\.1 is busy/);
  squatter.kill('SIGKILL');
  const node = join(process.execPath, '..');
  const poor = await machine.run('env', [
    `PATH=${node}`,
    process.execPath,
    join(import.meta.dirname, '..', '..', 'bin', 'podwire.js'),
    'up',
  ]);
  // conmon stands in /usr/bin, which this PATH lacks; sbin folders are searched anyway.
  assertOneLine(poor, /conmon.* not found/);
  // In a user namespace of its own it is nobody, and may yet read a tree that lies in root's home.
  const user = await machine.run('unshare', [
    '--user',
    process.execPath,
    join(import.meta.dirname, '..', '..', 'bin', 'podwire.js'),
    'up',
  ]);
  assertOneLine(user, /needs root/);
  assert.deepEqual(await inventory(machine), { ...earlier });
});

test('two clusters stand side by side', { skip }, async () => {
  const second = `${machine.cluster}-2`;
  const earlier = await inventory(machine);
  await Promise.all([
    machine.mustPodwire('up', '--nodes', '1'),
    machine.mustPodwire('up', '--name', second, '--nodes', '1', '--config', secondConfig()),
  ]);
  const [one, other] = await Promise.all([readStatus(), readStatus('--name', second)]);
  assert.ok(one.nodes[0]!.ready && other.nodes[0]!.ready);
  assert.notEqual(one.nodes[0]!.ips[0], other.nodes[0]!.ips[0]);
  await machine.mustPodwire('down', '--name', second);
  assert.ok((await readStatus()).nodes[0]!.ready);
  await machine.mustPodwire('down', '--all');
  assert.deepEqual(await inventory(machine), earlier);
});

/** Started in the same instant as the first, the second must not depend on which of them looked first. */
function secondConfig(): string {
  const path = join(machine.state, 'second.yaml');
  const config = {
    network: { nodeCIDRs: ['172.30.9.0/24'], podCIDRs: ['10.9.0.0/16'], serviceCIDRs: ['10.109.0.0/16'] },
    api: { port: 7001 },
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

test('kill -9 of the daemon: traffic goes on, and up adopts what runs without a restart', { skip }, async () => {
  await machine.mustPodwire('up', '--demo');
  const status = await readStatus();
  const web = status.services.find((each) => each.name === 'web')!;
  const client = status.pods.find((each) => each.name === 'client')!;
  const earlier = holders();
  process.kill(daemonPid(), 'SIGKILL');
  await until('the daemon is gone', async () => (await machine.podwire('status')).code === 3);
  const { cluster } = machine;
  for (const words of [
    ['trace', 'demo/client', 'svc/web'],
    ['policy', 'matrix'],
    ['dns', 'trace', 'demo/client', 'web'],
    ['node', 'add'],
    ['overlay', 'set', 'host-gw'],
    ['lb'],
  ]) {
    const { code, stderr } = await machine.podwire(...words);
    assert.equal(code, 1, words.join(' '));
    assert.match(
      stderr,
      new RegExp(
        `^podwire: the daemon of cluster ${cluster} is not running; .* go on.*\\. Try: podwire up --name ${cluster}, `,
      ),
    );
  }
  const checked = await machine.podwire('check');
  assert.equal(checked.code, 1);
  assert.match(checked.stdout, new RegExp(`\ndaemon of ${cluster} +broken +is not running`));
  // From the machine through the Service, so over nft of a node, and over the overlay where the endpoint is remote.
  for (let i = 0; i < 30; i++) {
    const answer = await machine.must('curl', ['-sf', '--max-time', '20', `http://${web.clusterIP}/hostname`]);
    assert.match(answer, /^web-/);
  }
  await machine.mustPodwire('up');
  assert.deepEqual(holders(), earlier, 'no container was started or ended');
  const now = await until('all pods are Ready again', async () => {
    const seen = await readStatus();
    return seen.pods.every((pod) => pod.ready) && seen;
  });
  assert.deepEqual(
    now.pods.map((pod) => [pod.name, pod.ip]).sort(),
    status.pods.map((pod) => [pod.name, pod.ip]).sort(),
  );
  assert.equal(now.pods.find((pod) => pod.name === 'client')!.ip, client.ip);
  await machine.mustPodwire('down');
});

test('20 cycles of up and down with random kills leave nothing behind', { skip }, async () => {
  const earlier = await inventory(machine);
  let seed = 20260101;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  for (let cycle = 0; cycle < 20; cycle++) {
    const starting = machine.podwire('up', '--nodes', '2', ...(random(2) ? ['--demo'] : []));
    if (random(2)) {
      // Somewhere in the middle of the start, or soon after it.
      await new Promise((resolve) => setTimeout(resolve, 100 + random(1200)));
      try {
        process.kill(daemonPid(), 'SIGKILL');
      } catch {
        // not started yet, or gone
      }
    }
    await starting;
    const outcome = await machine.podwire('down');
    assert.ok(outcome.code === 0 || /there is no cluster/.test(outcome.stderr), outcome.stderr);
    assert.deepEqual(await inventory(machine), earlier, `after cycle ${cycle}`);
  }
});
