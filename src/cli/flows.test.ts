// What the commands about flows say to what they cannot mean.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PolicyEngine } from '../plan/policy/engine.ts';
import { flowsOfFile } from './flow-file.ts';
import { runFlows } from './flows.ts';

test('--pod is a name, with its namespace or without', () => {
  for (const pod of ['a/b/c', '/web', 'shop/', ''])
    assert.throws(() => runFlows({ name: 'podwire', output: 'text', pod }), {
      message: `--pod takes NAME or NAMESPACE/NAME, not "${pod}"`,
      exitCode: 2,
    });
});

test('a file that names no flow is refused, and what a line looks like is said', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pwt-'));
  const file = join(dir, 'flows');
  const flows = (text: string) => {
    writeFileSync(file, text);
    return flowsOfFile(file, new PolicyEngine());
  };
  try {
    assert.throws(() => flows(''), {
      message: `${file} is empty: it names no flow`,
      exitCode: 2,
      mend: /conntrack -L/,
    });
    const message = `2 lines of ${file} name no flow of TCP, UDP or SCTP that was answered`;
    assert.throws(() => flows('icmp 1 29 src=10.0.0.1\n{"from": 5}\n'), { message, exitCode: 2, mend: /conntrack -L/ });
    const line = { from: '10.0.0.1', to: '10.0.0.2', protocol: 'TCP', port: 80 };
    assert.deepEqual(flows(JSON.stringify(line)), [line]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
