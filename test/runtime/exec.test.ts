// Tests of room runtime: a further process in a running container, with pipes and with a terminal.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';
import type { ExecOptions } from '../../src/runtime/runtime.ts';
import { container, skip, useNode } from './node.ts';

describe('exec', { skip }, () => {
  const scene = useNode();
  const { node } = scene;
  const id = 'pod-main-0';
  before(async () => {
    const more = { env: [{ name: 'A', value: 'of the container' }], user: { uid: 0, supplementalGids: [4242] } };
    await scene.runtime.startContainer(container(scene.runtime, node, 'pod', 'main', ['sleep', '1000'], more));
  });

  async function exec(command: string[], options: Partial<ExecOptions> = {}, input = '') {
    const started = await scene.runtime.exec(id, { command, tty: false, stdin: input !== '', ...options });
    started.stdin?.end(input);
    const [out, err, code] = await Promise.all([
      text(started.stdout),
      started.stderr ? text(started.stderr) : undefined,
      started.exit,
    ]);
    return { out, err, code };
  }

  it('runs in the container, keeps stdout and stderr apart and gives the exit code', async () => {
    assert.deepEqual(await exec(['sh', '-c', 'echo "$A"; hostname; id -G; echo err >&2; exit 4']), {
      out: 'of the container\nhost-of-pod\n0 4242\n',
      err: 'err\n',
      code: 4,
    });
    assert.equal((await exec(['cat', '/proc/1/comm'])).out, 'sleep\n');
  });

  it('hands stdin on to its end, a megabyte of it', async () => {
    const input = 'x'.repeat(1 << 20);
    assert.equal((await exec(['wc', '-c'], {}, input)).out.trim(), String(1 << 20));
  });

  it('loses no byte of a large output', async () => {
    assert.equal((await exec(['head', '-c', '3000000', '/dev/zero'])).out.length, 3_000_000);
  });

  it('of what a signal ends has the exit code 128 + signal', async () => {
    assert.equal((await exec(['sh', '-c', 'kill -9 $$'])).code, 137);
  });

  for (const tty of [false, true]) {
    it(`of a program that is not there rejects with the reason${tty ? ', also with a terminal' : ''}`, async () => {
      const started = await scene.runtime.exec(id, { command: ['no-such-program'], tty, stdin: false });
      await assert.rejects(started.exit, /exec: "no-such-program": executable file not found in \$PATH/);
    });
  }

  it('with a terminal has one of the size that is set, and follows it', async () => {
    const script = 'tty; stty size; trap "stty size; exit 5" WINCH; echo ready; while :; do sleep 0.01; done';
    const shell = await scene.runtime.exec(id, { command: ['sh', '-c', script], tty: true, stdin: true });
    assert.equal(shell.stderr, undefined);
    let seen = '';
    for await (const chunk of shell.stdout) {
      seen += chunk;
      if (seen.endsWith('ready\r\n')) shell.resize(101, 33);
    }
    assert.match(seen, /^\/dev\/pts\/0\r\n\d+ \d+\r\nready\r\n33 101\r\n$/);
    assert.equal(await shell.exit, 5);
  });

  it('with a terminal takes what is typed, also control characters', async () => {
    const shell = await scene.runtime.exec(id, { command: ['sh'], tty: true, stdin: true });
    shell.stdin!.write('sleep 1000\n');
    let seen = '';
    let interrupted = false;
    for await (const chunk of shell.stdout) {
      seen += chunk;
      if (interrupted || !seen.includes('sleep 1000\r\n')) continue;
      interrupted = true;
      // Control-C once the shell has read the line, then an end of file.
      setTimeout(() => shell.stdin!.write('\x03echo in$((1+1))terrupted\nexit 6\n'), 50);
    }
    assert.match(seen, /in2terrupted/);
    assert.equal(await shell.exit, 6);
  });

  it('is killed when asked to, the process in the container too', async () => {
    const sleeper = await scene.runtime.exec(id, { command: ['sleep', '4321'], tty: false, stdin: false });
    for (;;) {
      const { out } = await exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
      if (out.includes('sleep 4321')) break;
    }
    sleeper.kill();
    assert.equal(await sleeper.exit, 137);
    assert.doesNotMatch((await exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "; true'])).out, /sleep 4321/);
  });

  it('leaves no file behind', () => {
    const files = readdirSync(join(node.options.stateDir, 'runtime/containers', id));
    assert.deepEqual(
      files.filter((file) => file.startsWith('exec-')),
      [],
    );
  });

  it('in a container that does not run is refused', async () => {
    await assert.rejects(scene.runtime.exec('nobody', { command: ['true'], tty: false, stdin: false }), /not running/);
  });
});
