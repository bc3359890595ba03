// Room wire: a static executable of the ELF format (System V gABI): constants and code in one segment, zeroed room in another.
import { Arm64 } from './arm64.ts';
import type { Machine } from './machine.ts';
import { X64 } from './x64.ts';

/** As process.arch has them. */
export type Architecture = 'x64' | 'arm64';

export function isArchitecture(name: string): name is Architecture {
  return name === 'x64' || name === 'arm64';
}

const MACHINES = { x64: { number: 62, make: () => new X64() }, arm64: { number: 183, make: () => new Arm64() } };
const BASE = 0x400000;
const ROOM = 0x800000;
const HEADER = 64;
const PROGRAM_HEADER = 56;
const SEGMENTS = 3;
const HEADERS = HEADER + SEGMENTS * PROGRAM_HEADER;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const R = 4;
const W = 2;
const X = 1;
/** Of the largest pages that there are on 64-bit ARM. */
const ALIGNMENT = 0x10000;

/** What a program finds in memory; every address is known before its code is. */
export class Memory {
  readonly #constants: number[] = [];
  #room = 0;

  /** Returns the address. */
  constant(bytes: Uint8Array): number {
    while (this.#constants.length % 8 !== 0) this.#constants.push(0);
    const address = BASE + HEADERS + this.#constants.length;
    this.#constants.push(...bytes);
    return address;
  }

  /** UTF-8 with a zero behind it. */
  text(text: string): number {
    return this.constant(new TextEncoder().encode(`${text}\0`));
  }

  /** Zeroed and writable; returns the address, a multiple of 16. */
  room(bytes: number): number {
    const address = ROOM + this.#room;
    this.#room += Math.ceil(bytes / 16) * 16;
    return address;
  }

  get constants(): Uint8Array {
    return Uint8Array.from(this.#constants);
  }

  get roomBytes(): number {
    return this.#room;
  }
}

/** `write` puts its constants into the memory and its code, which begins with the first instruction, into the machine. */
export function executable(architecture: Architecture, write: (machine: Machine, memory: Memory) => void): Uint8Array {
  const { number, make } = MACHINES[architecture];
  const machine = make();
  const memory = new Memory();
  write(machine, memory);
  const code = machine.assemble();
  const entry = Math.ceil((HEADERS + memory.constants.length) / 16) * 16;
  const file = new Uint8Array(entry + code.length);
  file.set(memory.constants, HEADERS);
  file.set(code, entry);
  const view = new DataView(file.buffer);
  writeHeader(view, number, BASE + entry);
  writeSegment(view, 0, { type: PT_LOAD, flags: R | X, address: BASE, inFile: file.length, size: file.length });
  writeSegment(view, 1, { type: PT_LOAD, flags: R | W, address: ROOM, inFile: 0, size: memory.roomBytes });
  // Its flags say that the stack holds no code.
  writeSegment(view, 2, { type: PT_GNU_STACK, flags: R | W, address: 0, inFile: 0, size: 0 });
  return file;
}

function writeHeader(view: DataView, machine: number, entry: number): void {
  const CLASS_64 = 2;
  const LITTLE_ENDIAN = 1;
  const VERSION = 1;
  for (const [i, byte] of [0x7f, 0x45, 0x4c, 0x46, CLASS_64, LITTLE_ENDIAN, VERSION].entries()) view.setUint8(i, byte);
  const ET_EXEC = 2;
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, machine, true);
  view.setUint32(20, VERSION, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, BigInt(HEADER), true);
  view.setUint16(52, HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, SEGMENTS, true);
}

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly inFile: number;
  readonly size: number;
}

function writeSegment(view: DataView, index: number, { type, flags, address, inFile, size }: Segment): void {
  const at = HEADER + index * PROGRAM_HEADER;
  view.setUint32(at, type, true);
  view.setUint32(at + 4, flags, true);
  view.setBigUint64(at + 16, BigInt(address), true);
  view.setBigUint64(at + 24, BigInt(address), true);
  view.setBigUint64(at + 32, BigInt(inFile), true);
  view.setBigUint64(at + 40, BigInt(size), true);
  view.setBigUint64(at + 48, BigInt(ALIGNMENT), true);
}
