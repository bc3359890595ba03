// Tests of room runtime: attaching to what a container's own process reads and writes.
import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { container, readLog, skip, stdout, useNode } from './node.ts';

describe('attach', { skip }, () => {
  const scene = useNode();
  const { node } = scene;
  const start = async (name: string, script: string, more: object) => {
    const spec = container(scene.runtime, node, 'pod', name, ['sh', '-c', script], more);
    await scene.runtime.startContainer(spec);
    return spec;
  };

  it('writes to stdin until it is ended, reads both outputs apart, and gives the exit code', async () => {
    const spec = await start('cat', 'n=$(wc -c); echo "$n bytes"; echo err >&2; exit 9', { stdin: true });
    const attached = await scene.runtime.attach!(spec.id);
    attached.stdin!.end('x'.repeat(300_000));
    const [out, err, code] = await Promise.all([text(attached.stdout), text(attached.stderr!), attached.exit]);
    assert.deepEqual([out, err, code], ['300000 bytes\n', 'err\n', 9]);
    assert.deepEqual(stdout(readLog(spec.logPath)), ['300000 bytes'], 'the log has it too');
  });

  it('to a terminal types, sees the echo, and sets the size', async () => {
    const spec = await start('tty', 'read line; stty size; exit 4', { stdin: true, tty: true });
    const attached = await scene.runtime.attach!(spec.id);
    assert.equal(attached.stderr, undefined);
    attached.resize(120, 40);
    let seen = '';
    // The size goes by another way than the bytes: type when it has arrived.
    const size = async () => {
      const asked = await scene.runtime.exec(spec.id, {
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
    const attached = await scene.runtime.attach!(spec.id);
    assert.equal(attached.stdin, undefined);
    assert.equal(await text(attached.stdout), 'later\n');
    await assert.rejects(scene.runtime.attach!('nobody'), /not running/);
  });
});
