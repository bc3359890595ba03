// Room wire: the small program's instructions for x86-64 (Intel SDM volume 2), always in their longest form.
import {
  Code,
  type Condition,
  type Machine,
  type Operand,
  type Register,
  type SystemCall,
  type Width,
} from './machine.ts';

const NUMBER: Record<Register, number> = { result: 0, a: 3, b: 5, c: 12, d: 13, e: 14, f: 15, stack: 4 };
/** rdi, rsi, rdx, r10, r8, r9 */
const ARGUMENTS = [7, 6, 2, 10, 8, 9];
const RAX = 0;
const CALLS: Record<SystemCall, number> = {
  read: 0,
  write: 1,
  close: 3,
  lseek: 8,
  pread64: 17,
  socket: 41,
  connect: 42,
  recvfrom: 45,
  sendmsg: 46,
  shutdown: 48,
  execve: 59,
  ftruncate: 77,
  exit_group: 231,
  openat: 257,
  ppoll: 271,
  dup3: 292,
  memfd_create: 319,
};
const JCC: Record<Condition, number> = { eq: 0x84, ne: 0x85, lt: 0x8c, le: 0x8e };
const WIDE = 0x48;
const NARROW = 0x40;
/** ModRM: a register and a base with 32 bits of offset; two registers. */
const OFFSET = 0x80;
const DIRECT = 0xc0;

export class X64 implements Machine {
  readonly #code = new Code();

  /** REX with the high bits of both registers, opcode, ModRM. */
  #operation(rex: number, opcode: readonly number[], reg: number, base: number, mode: number): void {
    this.#code.bytes(rex | ((reg >> 3) << 2) | (base >> 3), ...opcode, mode | ((reg & 7) << 3) | (base & 7));
    // rsp and r12 as a base are told by a SIB byte.
    if (mode === OFFSET && (base & 7) === 4) this.#code.bytes(0x24);
  }

  #move(to: number, value: Operand): void {
    if (typeof value === 'string') this.#operation(WIDE, [0x89], NUMBER[value], to, DIRECT);
    else {
      this.#operation(WIDE, [0xc7], 0, to, DIRECT);
      this.#code.word(value);
    }
  }

  set(to: Register, value: Operand): this {
    this.#move(NUMBER[to], value);
    return this;
  }

  load(width: Width, to: Register, base: Register, offset: number): this {
    const opcode = width === 1 ? [0x0f, 0xb6] : [0x8b];
    this.#operation(width === 8 ? WIDE : NARROW, opcode, NUMBER[to], NUMBER[base], OFFSET);
    this.#code.word(offset);
    return this;
  }

  store(width: Width, base: Register, offset: number, value: Register): this {
    this.#operation(width === 8 ? WIDE : NARROW, [width === 1 ? 0x88 : 0x89], NUMBER[value], NUMBER[base], OFFSET);
    this.#code.word(offset);
    return this;
  }

  add(to: Register, value: Operand): this {
    return this.#arithmetic(0, 0x01, to, value);
  }

  subtract(to: Register, value: Register): this {
    return this.#arithmetic(5, 0x29, to, value);
  }

  /** With a number it is opcode 81 and `digit`. */
  #arithmetic(digit: number, opcode: number, to: Register, value: Operand): this {
    if (typeof value === 'string') {
      this.#operation(WIDE, [opcode], NUMBER[value], NUMBER[to], DIRECT);
    } else {
      this.#operation(WIDE, [0x81], digit, NUMBER[to], DIRECT);
      this.#code.word(value);
    }
    return this;
  }

  jump(label: string): this {
    this.#code.bytes(0xe9);
    return this.#distance(label);
  }

  jumpIf(left: Register, condition: Condition, right: Operand, label: string): this {
    this.#arithmetic(7, 0x39, left, right);
    this.#code.bytes(0x0f, JCC[condition]);
    return this.#distance(label);
  }

  #distance(label: string): this {
    this.#code.place(label);
    this.#code.word(0);
    return this;
  }

  label(name: string): this {
    this.#code.label(name);
    return this;
  }

  call(name: SystemCall, ...args: readonly Operand[]): this {
    for (const [i, value] of args.entries()) this.#move(ARGUMENTS[i]!, value);
    this.#move(RAX, CALLS[name]);
    this.#code.bytes(0x0f, 0x05);
    return this;
  }

  assemble(): Uint8Array {
    // A jump counts from the end of its four bytes.
    return this.#code.finish((_, distance) => distance - 4);
  }
}
