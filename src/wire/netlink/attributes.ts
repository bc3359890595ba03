// Room wire: netlink attributes (type, length, value), written and read.
import { align4, NetlinkFormatError } from './message.ts';

export const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const HEADER_LENGTH = 4;

/** Builds a message's body: a fixed struct first, then attributes. Integers are little-endian unless the name says `be`. */
export class AttributeWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** The fixed struct at the beginning of a body (`struct ifinfomsg` and its like). */
  struct(bytes: Uint8Array): this {
    const at = this.#grow(align4(bytes.length));
    this.#bytes.set(bytes, at);
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    this.#bytes.set(value, this.#attribute(type, value.length));
    return this;
  }

  /** An attribute whose presence is its meaning. */
  flag(type: number): this {
    this.#attribute(type, 0);
    return this;
  }

  u8(type: number, value: number): this {
    const at = this.#attribute(type, 1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u16be(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u32be(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value);
    return this;
  }

  u64be(type: number, value: bigint): this {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value);
    return this;
  }

  /** With the NUL at its end that the kernel's NLA_NUL_STRING wants. */
  string(type: number, value: string): this {
    return this.bytes(type, new TextEncoder().encode(`${value}\0`));
  }

  /** An attribute made of attributes. `flag` is NLA_F_NESTED, or 0 for kernels' older attributes that never had it. */
  nested(type: number, write: (attributes: AttributeWriter) => void, flag = NLA_F_NESTED): this {
    const start = this.#grow(HEADER_LENGTH);
    write(this);
    this.#header(start, type | flag, this.#length - start);
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Room for a value of `length` bytes; returns where it begins. */
  #attribute(type: number, length: number): number {
    const start = this.#grow(align4(HEADER_LENGTH + length));
    this.#header(start, type, HEADER_LENGTH + length);
    return start + HEADER_LENGTH;
  }

  #header(start: number, type: number, length: number): void {
    if (length > 0xffff) throw new RangeError(`netlink attribute ${type} of ${length} bytes: the length has 16 bits`);
    this.#view.setUint16(start, length, true);
    this.#view.setUint16(start + 2, type, true);
  }

  #grow(count: number): number {
    const start = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}

interface Complaint {
  error: NetlinkFormatError | undefined;
}

/**
 * The attributes of a body, by type. An absent one reads as undefined. A malformed one reads as undefined too, and the first
 * complaint is kept, also of nested ones: read all fields, then call `check()`, which throws it.
 */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>();
  readonly #complaint: Complaint;

  /** `offset`: the length of the fixed struct before the attributes. */
  constructor(bytes: Uint8Array, offset = 0, complaint: Complaint = { error: undefined }) {
    this.#complaint = complaint;
    for (const [type, value] of readAttributes(bytes, offset, (text) => this.#complain(text))) {
      this.#values.set(type, value);
    }
  }

  has(type: number): boolean {
    return this.#values.has(type);
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#fixed(type, 1)?.getUint8(0);
  }

  u16(type: number): number | undefined {
    return this.#fixed(type, 2)?.getUint16(0, true);
  }

  u16be(type: number): number | undefined {
    return this.#fixed(type, 2)?.getUint16(0);
  }

  u32(type: number): number | undefined {
    return this.#fixed(type, 4)?.getUint32(0, true);
  }

  u32be(type: number): number | undefined {
    return this.#fixed(type, 4)?.getUint32(0);
  }

  u64be(type: number): bigint | undefined {
    return this.#fixed(type, 8)?.getBigUint64(0);
  }

  /** Up to the first NUL. */
  string(type: number): string | undefined {
    const value = this.#values.get(type);
    if (!value) return undefined;
    const end = value.indexOf(0);
    return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value && new Attributes(value, 0, this.#complaint);
  }

  /** The elements of a list: an attribute whose attributes all have one type (NFTA_LIST_ELEM). */
  list(type: number): Attributes[] {
    const value = this.#values.get(type);
    if (!value) return [];
    const elements = readAttributes(value, 0, (text) => this.#complain(text));
    return elements.map(([, element]) => new Attributes(element, 0, this.#complaint));
  }

  check(): void {
    if (this.#complaint.error) throw this.#complaint.error;
  }

  #fixed(type: number, length: number): DataView | undefined {
    const value = this.#values.get(type);
    if (!value) return undefined;
    if (value.length === length) return new DataView(value.buffer, value.byteOffset, length);
    this.#complain(`netlink attribute ${type} has ${value.length} bytes, not ${length}`);
    return undefined;
  }

  #complain(text: string): void {
    this.#complaint.error ??= new NetlinkFormatError(text);
  }
}

function readAttributes(
  bytes: Uint8Array,
  from: number,
  complain: (text: string) => void,
): [type: number, value: Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = from;
  while (bytes.length - offset >= HEADER_LENGTH) {
    const length = view.getUint16(offset, true);
    if (length < HEADER_LENGTH || offset + length > bytes.length) {
      complain(`netlink attribute of length ${length} at ${offset} of ${bytes.length} bytes`);
      return found;
    }
    const type = view.getUint16(offset + 2, true) & NLA_TYPE_MASK;
    found.push([type, bytes.subarray(offset + HEADER_LENGTH, offset + length)]);
    offset += align4(length);
  }
  if (offset < bytes.length || from > bytes.length)
    complain(`netlink attributes cut off at ${offset} of ${bytes.length}`);
  return found;
}
