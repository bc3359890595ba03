// Tests of room runtime: what it runs outlives the process that started it, however that ended, and the next one takes it over.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { removeNodeRuntime } from '../../src/runtime/remove.ts';
import type { ContainerStatus } from '../../src/runtime/runtime.ts';
import { eventually, makeNode, type Node, open, readLog, removeDir, skip, stdout, traces } from './node.ts';

const STARTER = join(import.meta.dirname, 'starter.ts');

const children: ChildProcess[] = [];

function starter(node: Node, ...args: string[]): { child: ChildProcess; said: (word: string) => Promise<void> } {
  const child = spawn(process.execPath, [STARTER, node.dir, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const said = (word: string) =>
    eventually(`starter says ${word}`, () => {
      assert.equal(child.exitCode, null, 'the starter failed');
      return output.includes(word);
    });
  return { child, said };
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

describe('after kill -9 of its process', { skip }, () => {
  const nodes: Node[] = [];
  const fresh = () => {
    const node = makeNode();
    nodes.push(node);
    return node;
  };
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const node of nodes) {
      await removeNodeRuntime(node.options);
      removeDir(node);
    }
  });

  it('containers run on, no line of a log and no exit code is lost, and a new process adopts them', async () => {
    const node = fresh();
    const { child, said } = starter(node);
    await said('started');
    await kill(child);
    const log = join(node.dir, 'logs/pod-c0.log');
    const before = readLog(log).length;
    await eventually('it writes on while nobody is there', () => readLog(log).length > before + 20);
    // c1 ends while nobody is there.
    await eventually('c1 has ended', () => existsSync(join(node.options.stateDir, 'runtime/exits/pod-c1-0')));

    const runtime = await open(node);
    assert.deepEqual(
      runtime.sandboxes().map(({ hostname }) => hostname),
      ['host-of-pod'],
    );
    const heard: ContainerStatus[] = [];
    runtime.onExit((status) => heard.push(status));
    await eventually('the end of c1 is told', () => heard.some(({ id }) => id === 'pod-c1-0'));
    assert.equal(heard.find(({ id }) => id === 'pod-c1-0')!.exitCode, 7);
    assert.deepEqual(stdout(readLog(join(node.dir, 'logs/pod-c1.log'))), ['bye']);
    const states = runtime.containers().map(({ name, state, exitCode }) => [name, state, exitCode]);
    assert.deepEqual(states.sort(), [
      ['c0', 'running', undefined],
      ['c1', 'exited', 7],
      ['c2', 'exited', 3],
    ]);

    // An adopted container takes an exec, a signal and tells its end.
    const exec = await runtime.exec('pod-c0-0', { command: ['true'], tty: false, stdin: false });
    assert.equal(await exec.exit, 0);
    await runtime.signalContainer('pod-c0-0', 'SIGKILL');
    await eventually('the end of c0 is told', () => heard.some(({ id }) => id === 'pod-c0-0'));
    assert.equal(heard.filter(({ id }) => id === 'pod-c0-0').length, 1);
    const lines = stdout(readLog(log)).filter((line) => line !== '');
    assert.deepEqual(
      lines,
      lines.map((_, i) => `line ${i + 1}`),
    );
    await runtime.removeSandbox('pod');
    assert.deepEqual(runtime.containers(), []);
    runtime.close();
    await eventually('nothing is left', () => traces(node).length === 0);
  });

  it('at any moment of a start, the next process finds whole containers only, and clears the rest away', async () => {
    for (const delay of [0, 5, 12, 20, 35]) {
      const node = fresh();
      const { child, said } = starter(node, '4');
      await said('opened');
      await new Promise((resolve) => setTimeout(resolve, delay));
      await kill(child);
      const next = starter(node, '4');
      await next.said('started');
      const counting = () =>
        [0, 1, 2, 3].every((i) => {
          const lines = stdout(readLog(join(node.dir, `logs/pod-c${i}.log`)));
          return lines.length > 5;
        });
      await eventually(`all four count (killed after ${delay} ms)`, counting);
      await kill(next.child);
      const holders = traces(node).filter((line) => line.includes('/conmon'));
      assert.equal(holders.length, 4, holders.join('\n'));
      await removeNodeRuntime(node.options);
      await eventually('nothing is left', () => traces(node).length === 0);
    }
  });

  it('damaged records lose the containers they tell of, and nothing else', async () => {
    const node = fresh();
    const { child, said } = starter(node, '3');
    await said('started');
    await kill(child);
    const record = (id: string) => join(node.options.stateDir, 'runtime/containers', id, 'record.json');
    writeFileSync(record('pod-c0-0'), '');
    writeFileSync(record('pod-c1-0'), readFileSync(record('pod-c1-0'), 'utf8').slice(0, 40));
    const holders = () => traces(node).filter((line) => line.includes('/conmon'));
    const runtime = await open(node);
    assert.deepEqual(
      runtime.containers().map(({ id, state }) => [id, state]),
      [['pod-c2-0', 'running']],
    );
    assert.equal(holders().length, 1);
    runtime.close();
    // Without its sandbox's record a container is in namespaces that nobody can name.
    writeFileSync(join(node.options.stateDir, 'runtime/sandboxes/pod/record.json'), '{"id":');
    const next = await open(node);
    assert.deepEqual([next.sandboxes(), next.containers(), holders()], [[], [], []]);
    next.close();
    await removeNodeRuntime(node.options);
    await eventually('nothing is left', () => traces(node).length === 0);
  });

  it('removeNodeRuntime alone ends everything of the node, and succeeds when there is nothing', async () => {
    const node = fresh();
    const { child, said } = starter(node, '5');
    await said('started');
    await kill(child);
    assert.ok(traces(node).length > 0);
    await removeNodeRuntime(node.options);
    assert.equal(existsSync(join(node.options.stateDir, 'runtime')), false);
    await eventually('nothing is left', () => traces(node).length === 0);
    await removeNodeRuntime(node.options);
  });
});
