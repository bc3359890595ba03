// Small programs, run as the kernel runs them: on this machine's processor, and on the other under qemu where it is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Arm64 } from './arm64.ts';
import { type Architecture, executable, type Memory } from './executable.ts';
import type { Machine } from './machine.ts';
import { X64 } from './x64.ts';

const QEMU: Record<Architecture, string> = {
  x64: '/usr/bin/qemu-x86_64-static',
  arm64: '/usr/bin/qemu-aarch64-static',
};

function skipOn(architecture: Architecture): string | false {
  if (process.platform !== 'linux') return 'needs Linux';
  return architecture === process.arch || existsSync(QEMU[architecture]) ? false : `needs ${QEMU[architecture]}`;
}

function run(architecture: Architecture, write: (machine: Machine, memory: Memory) => void, ...args: string[]) {
  const dir = mkdtempSync(join(tmpdir(), 'pwt-elf-'));
  try {
    const path = join(dir, 'program');
    writeFileSync(path, executable(architecture, write));
    chmodSync(path, 0o755);
    const words = architecture === process.arch ? [path] : [QEMU[architecture], path];
    const { status, stdout } = spawnSync(words[0]!, [...words.slice(1), ...args], { encoding: 'utf8' });
    return { status, stdout };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

for (const architecture of ['x64', 'arm64'] as const) {
  const skip = skipOn(architecture);

  test(`${architecture}: constants, room, loads and stores of each width`, { skip }, () => {
    const outcome = run(architecture, (m, memory) => {
      const room = memory.room(64);
      m.set('a', memory.constant(Buffer.from('abcdefgh'))).set('b', room);
      m.load(8, 'c', 'a', 0).store(8, 'b', 8, 'c');
      m.load(4, 'd', 'a', 4).store(4, 'b', 0, 'd').load(1, 'e', 'a', 1).store(1, 'b', 4, 'e');
      m.call('write', 1, 'b', 16).call('exit_group', 0);
    });
    assert.deepEqual(outcome, { status: 0, stdout: 'efghb\0\0\0abcdefgh' });
  });

  test(`${architecture}: arithmetic and comparisons are with a sign`, { skip }, () => {
    const outcome = run(
      architecture,
      (m, memory) => {
        const words = (text: string) => m.call('write', 1, memory.text(text), text.length);
        const unless = (label: string, text: string, jump: () => void) => {
          jump();
          words(text);
          m.label(label);
        };
        m.set('a', -5).set('b', 0x7f00_0000).add('a', 2).set('c', 'a').subtract('c', 'b').add('c', 'b');
        unless('1', 'lt ', () => m.jumpIf('a', 'lt', 0, '1'));
        unless('2', 'eq ', () => m.jumpIf('a', 'eq', 'c', '2'));
        unless('3', 'ne ', () => m.jumpIf('a', 'ne', -2, '3'));
        unless('4', 'le ', () => m.jumpIf('a', 'le', -3, '4'));
        unless('5', 'not-lt ', () => m.jumpIf('b', 'lt', 'a', '5'));
        unless('6', 'not-eq ', () => m.jumpIf('a', 'eq', 'b', '6'));
        m.set('d', 'stack').load(8, 'result', 'd', 0).call('exit_group', 'result');
      },
      'one',
      'two',
    );
    assert.deepEqual(outcome, { status: 3, stdout: 'not-lt not-eq ' });
  });

  test(`${architecture}: registers last over system calls, a refusal is a negative number`, { skip }, () => {
    const outcome = run(architecture, (m, memory) => {
      const [a, b, c, d, e, f] = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
      for (const [i, register] of [a, b, c, d, e, f].entries()) m.set(register, i + 1);
      m.call('close', 999).jumpIf('result', 'ne', -9, 'wrong');
      m.set(a, a).add(a, b).add(a, c).add(a, d).add(a, e).add(a, f).call('exit_group', a);
      m.label('wrong').call('write', 1, memory.text('wrong'), 5).call('exit_group', 1);
    });
    assert.deepEqual(outcome, { status: 21, stdout: '' });
  });
}

const hex = (machine: Machine) => Buffer.from(machine.assemble()).toString('hex');

test('x86-64 instructions as the manual has them', () => {
  assert.equal(hex(new X64().set('a', 1)), '48c7c301000000');
  assert.equal(hex(new X64().load(8, 'c', 'd', 16)), '4d8ba510000000');
  assert.equal(hex(new X64().store(1, 'c', 0, 'a')), '4188' + '9c24' + '00000000');
  assert.equal(hex(new X64().label('x').jump('x')), 'e9fbffffff');
});

test('64-bit ARM instructions as the manual has them', () => {
  assert.equal(hex(new Arm64().set('a', 1)), '330080d2');
  assert.equal(hex(new Arm64().set('a', -1)), '13008092');
  assert.equal(hex(new Arm64().load(8, 'c', 'd', 16)), 'd50a40f9');
  assert.equal(hex(new Arm64().label('x').jump('x')), '00000014');
  assert.throws(() => new Arm64().load(8, 'a', 'b', 4), /offset 4/);
});

test('a jump to nowhere is an error', () => {
  assert.throws(() => new X64().jump('nowhere').assemble(), /no label nowhere/);
});
