// Room wire: eBPF instructions (linux/bpf.h, RFC 9669), written one after the other, with labels for jumps.

/** r0 result, r1-r5 arguments, r6-r9 kept over calls, r10 the stack's end. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
export type Size = 'u8' | 'u16' | 'u32' | 'u64';

const SIZE: Record<Size, number> = { u32: 0x00, u16: 0x08, u8: 0x10, u64: 0x18 };
const LDX_MEM = 0x61;
const ST_MEM = 0x62;
const STX_MEM = 0x63;
const ALU64 = 0x07;
const JMP = 0x05;
const FROM_REGISTER = 0x08;
const ALU = { add: 0x00, sub: 0x10, mul: 0x20, and: 0x50, rsh: 0x70, mod: 0x90, xor: 0xa0, mov: 0xb0 } as const;
/** Without a sign; `set`: any bit of the right is set in the left. */
const COMPARE = { eq: 0x10, gt: 0x20, set: 0x40, ne: 0x50 } as const;
const CALL = 0x85;
const EXIT = 0x95;
const LOAD_64 = 0x18;
const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;
const PSEUDO_KFUNC_CALL = 2;
const TO_BIG_ENDIAN_16 = 0xdc;

/** An operand: a register, or a number of 32 bits. */
export type Operand = { readonly r: Register } | number;

export class Assembler {
  /** Two words an instruction: opcode, registers and offset; the immediate. */
  readonly #words: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { readonly at: number; readonly label: string }[] = [];

  #emit(opcode: number, dst: Register, src: Register, offset: number, immediate: number): this {
    this.#words.push(opcode | (dst << 8) | (src << 12) | (offset << 16), immediate | 0);
    return this;
  }

  #operate(opcode: number, dst: Register, operand: Operand): this {
    if (typeof operand === 'number') return this.#emit(opcode, dst, 0, 0, operand);
    return this.#emit(opcode | FROM_REGISTER, dst, operand.r, 0, 0);
  }

  alu(operation: keyof typeof ALU, dst: Register, operand: Operand): this {
    return this.#operate(ALU64 | ALU[operation], dst, operand);
  }

  mov(dst: Register, operand: Operand): this {
    return this.alu('mov', dst, operand);
  }

  /** 32 bits without a sign: what is above them becomes zero. */
  mov32(dst: Register, value: number): this {
    return this.#emit(0xb4, dst, 0, 0, value);
  }

  mov64(dst: Register, value: bigint): this {
    return this.#emit(LOAD_64, dst, 0, 0, Number(value & 0xffff_ffffn)).#emit(0, 0, 0, 0, Number(value >> 32n));
  }

  /** dst = the stack's end + offset. */
  stackAddress(dst: Register, offset: number): this {
    return this.mov(dst, { r: 10 }).alu('add', dst, offset);
  }

  load(size: Size, dst: Register, from: Register, offset: number): this {
    return this.#emit(LDX_MEM | SIZE[size], dst, from, offset, 0);
  }

  store(size: Size, to: Register, offset: number, operand: Operand): this {
    if (typeof operand === 'number') return this.#emit(ST_MEM | SIZE[size], to, 0, offset, operand);
    return this.#emit(STX_MEM | SIZE[size], to, operand.r, offset, 0);
  }

  /** Between the host's and the network's order. */
  swap16(dst: Register): this {
    return this.#emit(TO_BIG_ENDIAN_16, dst, 0, 0, 16);
  }

  jump(when: keyof typeof COMPARE, left: Register, right: Operand, label: string): this {
    this.#jumps.push({ at: this.#words.length, label });
    return this.#operate(JMP | COMPARE[when], left, right);
  }

  go(label: string): this {
    this.#jumps.push({ at: this.#words.length, label });
    return this.#emit(JMP, 0, 0, 0, 0);
  }

  label(name: string): this {
    this.#labels.set(name, this.#words.length);
    return this;
  }

  call(helper: number): this {
    return this.#emit(CALL, 0, 0, 0, helper);
  }

  /** A function of the kernel itself, by the number of its type in the kernel's BTF. */
  callKernel(type: number): this {
    return this.#emit(CALL, 0, PSEUDO_KFUNC_CALL, 0, type);
  }

  /** dst = the map of that file descriptor, which the kernel holds on to once the program is loaded. */
  loadMap(dst: Register, fd: number): this {
    return this.#emit(LOAD_64, dst, PSEUDO_MAP_FD, 0, fd).#emit(0, 0, 0, 0, 0);
  }

  /** dst = where the value of that map stands, an array of one. */
  loadValue(dst: Register, fd: number): this {
    return this.#emit(LOAD_64, dst, PSEUDO_MAP_VALUE, 0, fd).#emit(0, 0, 0, 0, 0);
  }

  exit(result: number): this {
    return this.mov(0, result).leave();
  }

  /** Ends with what r0 holds. */
  leave(): this {
    return this.#emit(EXIT, 0, 0, 0, 0);
  }

  /** Throws a RangeError for a label that nobody has set. */
  assemble(): Uint8Array {
    const words = Int32Array.from(this.#words);
    for (const { at, label } of this.#jumps) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new RangeError(`no label ${label}`);
      words[at]! |= ((target - at) / 2 - 1) << 16;
    }
    return new Uint8Array(words.buffer);
  }
}
