// Room wire: the few instructions that a small program needs, the same for each processor; x64.ts and arm64.ts write them down.

/**
 * `a` to `f` keep their values over system calls. `result` is that of the last system call, and free otherwise. `stack` can
 * only be read into another one.
 */
export type Register = 'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'result' | 'stack';
/** Bytes; what is loaded has zeros above it. */
export type Width = 1 | 4 | 8;
/** Compared as numbers with a sign. */
export type Condition = 'eq' | 'ne' | 'lt' | 'le';
/** A number fits 32 bits with its sign; addresses are below 2 GiB. */
export type Operand = Register | number;

export type SystemCall =
  | 'read'
  | 'write'
  | 'close'
  | 'lseek'
  | 'pread64'
  | 'ppoll'
  | 'socket'
  | 'connect'
  | 'recvfrom'
  | 'sendmsg'
  | 'shutdown'
  | 'openat'
  | 'memfd_create'
  | 'ftruncate'
  | 'dup3'
  | 'execve'
  | 'exit_group';

export interface Machine {
  set(to: Register, value: Operand): this;
  load(width: Width, to: Register, base: Register, offset: number): this;
  /** Not from `stack`. */
  store(width: Width, base: Register, offset: number, value: Register): this;
  add(to: Register, value: Operand): this;
  subtract(to: Register, value: Register): this;
  jump(label: string): this;
  jumpIf(left: Register, condition: Condition, right: Operand, label: string): this;
  label(name: string): this;
  /** `result` as an argument only in the first place. A negative result is an errno of the kernel's. */
  call(name: SystemCall, ...args: readonly Operand[]): this;
  /** Throws a RangeError for a label that nobody has set. */
  assemble(): Uint8Array;
}

/** Bytes with places that are filled in when all labels are known. */
export class Code {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #places: { readonly at: number; readonly label: string }[] = [];

  bytes(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }

  /** 32 bits, lowest byte first. */
  word(value: number): void {
    for (const shift of [0, 8, 16, 24]) this.#bytes.push((value >> shift) & 0xff);
  }

  /** The next 4 bytes depend on where the label is. */
  place(label: string): void {
    this.#places.push({ at: this.#bytes.length, label });
  }

  label(name: string): void {
    if (this.#labels.has(name)) throw new RangeError(`label ${name} twice`);
    this.#labels.set(name, this.#bytes.length);
  }

  /** `patch` makes the word at `at` from what was written there, and the distance in bytes from its beginning. */
  finish(patch: (word: number, distance: number) => number): Uint8Array {
    const out = Uint8Array.from(this.#bytes);
    const view = new DataView(out.buffer);
    for (const { at, label } of this.#places) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new RangeError(`no label ${label}`);
      view.setInt32(at, patch(view.getInt32(at, true), target - at), true);
    }
    return out;
  }
}
