// Room sys: what the kernel says of a thread's slices after it asked for short ones, and of those of what it starts.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { preferShortSlices } from './scheduling.ts';

const sliceIn = (text: string) => Number(/^se\.slice\s*:\s*(\d+)/m.exec(text)?.[1]);
const ownSlice = () => sliceIn(readFileSync('/proc/thread-self/sched', 'utf8'));

test('the slices of this thread are short, those of its children are not', (t) => {
  const [major, minor] = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number);
  if (major! * 100 + minor! < 612 || !existsSync('/proc/thread-self/sched'))
    return t.skip('needs Linux 6.12 and /proc/PID/sched');
  if (!preferShortSlices()) return t.skip('the machine lets nobody choose slices');
  assert.equal(ownSlice(), 100_000);
  assert.ok(sliceIn(execFileSync('cat', ['/proc/self/sched'], { encoding: 'utf8' })) > 100_000);
});
