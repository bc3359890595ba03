// Room wire: the small program's instructions for 64-bit ARM (Arm ARM, A64 base instructions).
import {
  Code,
  type Condition,
  type Machine,
  type Operand,
  type Register,
  type SystemCall,
  type Width,
} from './machine.ts';

const NUMBER: Record<Register, number> = { result: 0, a: 19, b: 20, c: 21, d: 22, e: 23, f: 24, stack: 31 };
const CALL_NUMBER = 8;
/** For numbers that no instruction has room for. */
const SCRATCH = 9;
const ZERO = 31;
/** asm-generic/unistd.h */
const CALLS: Record<SystemCall, number> = {
  dup3: 24,
  ftruncate: 46,
  openat: 56,
  close: 57,
  lseek: 62,
  read: 63,
  write: 64,
  pread64: 67,
  ppoll: 73,
  exit_group: 94,
  socket: 198,
  connect: 203,
  recvfrom: 207,
  shutdown: 210,
  sendmsg: 211,
  execve: 221,
  memfd_create: 279,
};
const CODES: Record<Condition, number> = { eq: 0, ne: 1, lt: 11, le: 13 };
const LOAD: Record<Width, number> = { 1: 0x39400000, 4: 0xb9400000, 8: 0xf9400000 };
const STORE: Record<Width, number> = { 1: 0x39000000, 4: 0xb9000000, 8: 0xf9000000 };
const MOVE_WIDE = { zero: 0xd2800000, not: 0x92800000, keep: 0xf2800000 };
const UPPER_HALF = 1 << 21;
const ADD = 0x8b000000;
const SUBTRACT = 0xcb000000;
const SUBTRACT_FLAGS = 0xeb000000;
const OR = 0xaa000000;
const ADD_NUMBER = 0x91000000;
const B = 0x14000000;
const B_CONDITION = 0x54000000;
const SVC = 0xd4000001;

export class Arm64 implements Machine {
  readonly #code = new Code();

  #three(opcode: number, to: number, left: number, right: number): void {
    this.#code.word(opcode | (right << 16) | (left << 5) | to);
  }

  #move(to: number, value: Operand): void {
    if (value === 'stack') this.#three(ADD_NUMBER, to, NUMBER.stack, 0);
    else if (typeof value === 'string') this.#three(OR, to, ZERO, NUMBER[value]);
    else if (value < 0 && value >= -0x10000) this.#code.word(MOVE_WIDE.not | (~value << 5) | to);
    else if (value >= 0 && value < 2 ** 31) {
      this.#code.word(MOVE_WIDE.zero | ((value & 0xffff) << 5) | to);
      if (value > 0xffff) this.#code.word(MOVE_WIDE.keep | UPPER_HALF | ((value >>> 16) << 5) | to);
    } else throw new RangeError(`${value} is out of range`);
  }

  /** The operand's register, into which a number is put first. */
  #register(value: Operand): number {
    if (typeof value === 'string') return NUMBER[value];
    this.#move(SCRATCH, value);
    return SCRATCH;
  }

  set(to: Register, value: Operand): this {
    this.#move(NUMBER[to], value);
    return this;
  }

  load(width: Width, to: Register, base: Register, offset: number): this {
    return this.#access(LOAD[width], width, NUMBER[to], NUMBER[base], offset);
  }

  store(width: Width, base: Register, offset: number, value: Register): this {
    return this.#access(STORE[width], width, NUMBER[value], NUMBER[base], offset);
  }

  /** The offset counts in widths, and has 12 bits. */
  #access(opcode: number, width: Width, value: number, base: number, offset: number): this {
    if (offset < 0 || offset % width !== 0 || offset / width > 0xfff) throw new RangeError(`offset ${offset}`);
    this.#code.word(opcode | ((offset / width) << 10) | (base << 5) | value);
    return this;
  }

  add(to: Register, value: Operand): this {
    this.#three(ADD, NUMBER[to], NUMBER[to], this.#register(value));
    return this;
  }

  subtract(to: Register, value: Register): this {
    this.#three(SUBTRACT, NUMBER[to], NUMBER[to], NUMBER[value]);
    return this;
  }

  jump(label: string): this {
    this.#code.place(label);
    this.#code.word(B);
    return this;
  }

  jumpIf(left: Register, condition: Condition, right: Operand, label: string): this {
    this.#three(SUBTRACT_FLAGS, ZERO, NUMBER[left], this.#register(right));
    this.#code.place(label);
    this.#code.word(B_CONDITION | CODES[condition]);
    return this;
  }

  label(name: string): this {
    this.#code.label(name);
    return this;
  }

  call(name: SystemCall, ...args: readonly Operand[]): this {
    // The first argument's register is that of the result: it is written last.
    for (const [i, value] of [...args.entries()].reverse()) this.#move(i, value);
    this.#move(CALL_NUMBER, CALLS[name]);
    this.#code.word(SVC);
    return this;
  }

  assemble(): Uint8Array {
    return this.#code.finish((word, distance) => {
      const steps = distance >> 2;
      return word >>> 24 === B_CONDITION >>> 24 ? word | ((steps & 0x7ffff) << 5) : word | (steps & 0x3ffffff);
    });
  }
}
