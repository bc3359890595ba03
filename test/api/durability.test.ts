// Test api: what was acknowledged is there after kill -9, under the revision that was told.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from '../../src/client/client.ts';
import { startTestApi } from './server.ts';

const ACKNOWLEDGED = 300;

for (const round of [1, 2, 3]) {
  test(`kill -9 in the middle of writes loses none that was acknowledged (round ${round})`, async (t) => {
    const stateDir = mkdtempSync(join(tmpdir(), 'podwire-kill-'));
    t.after(() => rmSync(stateDir, { recursive: true, force: true }));
    const fixture = join(import.meta.dirname, 'writer.fixture.ts');
    const writer = spawn(process.execPath, [fixture, stateDir], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(writer, 'close');
    let output = '';
    writer.stdout.on('data', (chunk) => {
      output += chunk;
      if (output.split('\n').length > ACKNOWLEDGED * round) writer.kill('SIGKILL');
    });
    await ended;
    const lines = output.split('\n').slice(0, -1); // what comes after the last line break was cut off
    assert.ok(lines.length >= ACKNOWLEDGED);
    const server = await startTestApi(t, { stateDir });
    const { items } = await new Client(server.transport).list('ConfigMap', { namespace: 'default' });
    const stored = new Set(items.map(({ metadata }) => `${metadata.resourceVersion} ${metadata.name}`));
    assert.deepEqual(
      lines.filter((line) => !stored.has(line)),
      [],
    );
  });
}
