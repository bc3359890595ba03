// Instructions as RFC 9669 encodes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler } from './assembler.ts';
import { peerKey } from './ipip.ts';

const hex = (asm: Assembler) => Buffer.from(asm.assemble()).toString('hex').match(/.{16}/g);

test('operations, loads and stores', () => {
  const asm = new Assembler().mov(6, { r: 1 }).mov(2, -20).mov32(3, 0xac1e000b).alu('and', 1, 0xffff);
  asm
    .load('u32', 2, 1, 16)
    .load('u16', 2, 10, -22)
    .store('u8', 10, -56, 0x45)
    .store('u32', 10, -44, { r: 7 })
    .swap16(2);
  assert.deepEqual(hex(asm), [
    'bf16000000000000', // r6 = r1
    'b7020000ecffffff', // r2 = -20
    'b40300000b001eac', // w3 = 0xac1e000b
    '57010000ffff0000', // r1 &= 0xffff
    '6112100000000000', // r2 = *(u32 *)(r1 + 16)
    '69a2eaff00000000', // r2 = *(u16 *)(r10 - 22)
    '720ac8ff45000000', // *(u8 *)(r10 - 56) = 0x45
    '637ad4ff00000000', // *(u32 *)(r10 - 44) = r7
    'dc02000010000000', // r2 = be16 r2
  ]);
});

test('jumps count instructions, a map takes two', () => {
  const asm = new Assembler().jump('ne', 2, 8, 'pass').loadMap(1, 5).call(1).jump('eq', 0, { r: 3 }, 'pass');
  assert.deepEqual(hex(asm.label('pass').exit(-1)), [
    '5502040008000000', // if r2 != 8 goto +4
    '1811000005000000', // r1 = map fd 5
    '0000000000000000',
    '8500000001000000', // call 1
    '1d30000000000000', // if r0 == r3 goto +0
    'b7000000ffffffff', // r0 = -1
    '9500000000000000', // exit
  ]);
});

test('functions of the kernel, jumps without a condition, and an end with what is in r0', () => {
  const asm = new Assembler().jump('set', 2, 7, 'end').jump('gt', 1, { r: 8 }, 'end').callKernel(0x10085).go('end');
  assert.deepEqual(hex(asm.label('end').leave()), [
    '4502030007000000', // if r2 & 7 goto +3
    '2d81020000000000', // if r1 > r8 goto +2
    '8520000085000100', // call kernel function 65669
    '0500000000000000', // goto +0
    '9500000000000000', // exit
  ]);
});

test('a jump to nowhere is an error', () => {
  assert.throws(() => new Assembler().jump('eq', 0, 0, 'nowhere').assemble(), /no label nowhere/);
});

test('a prefix of pods as the key of the map: its length, then its address', () => {
  assert.deepEqual([...peerKey('10.244.1.0/24')], [24, 0, 0, 0, 10, 244, 1, 0]);
});
