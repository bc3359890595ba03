// Tests of room runtime: attaching to what a container's own process reads and writes.
import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { container, makeNode, open, readLog, removeDir, runSandbox, skip, stdout } from './node.ts';

describe('attach', { skip }, () => {
  const node = makeNode();
  let runtime: Runtime;
  before(async () => {
    runtime = await open(node);
    await runSandbox(runtime, 'pod');
  });
  after(async () => {
    await runtime.removeSandbox('pod');
    runtime.close();
    removeDir(node);
  });
  const start = async (name: string, script: string, more: object) => {
    const spec = container(runtime, node, 'pod', name, ['sh', '-c', script], more);
    await runtime.startContainer(spec);
    return spec;
  };

  it('writes to stdin until it is ended, reads both outputs apart, and gives the exit code', async () => {
    const spec = await start('cat', 'n=$(wc -c); echo "$n bytes"; echo err >&2; exit 9', { stdin: true });
    const attached = await runtime.attach!(spec.id);
    attached.stdin!.end('x'.repeat(300_000));
    const [out, err, code] = await Promise.all([text(attached.stdout), text(attached.stderr!), attached.exit]);
    assert.deepEqual([out, err, code], ['300000 bytes\n', 'err\n', 9]);
    assert.deepEqual(stdout(readLog(spec.logPath)), ['300000 bytes'], 'the log has it too');
  });

  it('to a terminal types, sees the echo, and sets the size', async () => {
    const spec = await start('tty', 'read line; stty size; exit 4', { stdin: true, tty: true });
    const attached = await runtime.attach!(spec.id);
    assert.equal(attached.stderr, undefined);
    attached.resize(120, 40);
    let seen = '';
    // The size goes by another way than the bytes: type when it has arrived.
    const size = async () => {
      const asked = await runtime.exec(spec.id, {
        command: ['stty', '-F', '/proc/1/fd/0', 'size'],
        tty: false,
        stdin: false,
      });
      return text(asked.stdout);
    };
    for (let i = 0; i < 300 && (await size()) !== '40 120\n'; i++);
    attached.stdin!.write('typed\n');
    for await (const chunk of attached.stdout) seen += chunk;
    assert.equal(seen, 'typed\r\n40 120\r\n');
    assert.equal(await attached.exit, 4);
  });

  it('without stdin reads what comes', async () => {
    const spec = await start('out', 'sleep 0.3; echo later; exit 0', {});
    const attached = await runtime.attach!(spec.id);
    assert.equal(attached.stdin, undefined);
    assert.equal(await text(attached.stdout), 'later\n');
    await assert.rejects(runtime.attach!('nobody'), /not running/);
  });
});
