// Room wire: writes netfilter netlink messages (linux/netfilter/nfnetlink.h) one after the other into one growing buffer.
import { align4, NLM_F } from '../netlink/message.ts';

const NLA_F_NESTED = 0x8000;
const text = new TextEncoder();

export interface WriterBuffer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Attribute headers are in host order, as all netlink is; integers inside netfilter's attributes are big-endian. */
export class NfnetlinkWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #buffer: WriterBuffer;
  #length = 0;
  #seq: number;
  #message = 0;

  constructor(firstSeq: number, capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
    this.#buffer = { bytes: this.#bytes, view: this.#view };
    this.#seq = firstSeq;
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes written so far: a view, valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Opens a message with its nfgenmsg and returns its sequence number. `family` is an NFPROTO; `resource` is big-endian on the wire. */
  begin(type: number, flags: number, family: number, resource = 0): number {
    this.#message = this.#take(20);
    const view = this.#view;
    view.setUint16(this.#message + 4, type, true);
    view.setUint16(this.#message + 6, flags | NLM_F.REQUEST, true);
    view.setUint32(this.#message + 8, this.#seq, true);
    view.setUint8(this.#message + 16, family);
    view.setUint16(this.#message + 18, resource);
    return this.#seq++;
  }

  end(): void {
    this.#view.setUint32(this.#message, this.#length - this.#message, true);
  }

  /** Opens a nested attribute; close() takes what this returns. */
  open(type: number): number {
    const at = this.#take(4);
    this.#view.setUint16(at + 2, type | NLA_F_NESTED, true);
    return at;
  }

  close(at: number): void {
    this.#view.setUint16(at, this.#length - at, true);
  }

  /** A NUL-terminated string. */
  string(type: number, value: string): void {
    const at = this.#attribute(type, value.length + 1);
    // ASCII, as every name of ours is, needs no second buffer.
    for (let i = 0; i < value.length; i++) this.#bytes[at + i] = value.charCodeAt(i);
  }

  u8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#bytes[at] = value;
  }

  u16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value);
  }

  u32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value);
  }

  u64(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value);
  }

  raw(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.#bytes.set(value, at);
  }

  /** libnftnl's user data: a list of (type, length, value) of one byte each, here with one NUL-terminated text. */
  userdataText(type: number, userdataType: number, value: string): void {
    // ASCII, as the names of objects are, needs no second buffer: there are 100,000 of them when a large cluster is loaded.
    const encoded = isAscii(value) ? undefined : text.encode(value);
    const length = encoded?.length ?? value.length;
    const at = this.#attribute(type, length + 3);
    this.#bytes[at] = userdataType;
    this.#bytes[at + 1] = length + 1;
    if (encoded) this.#bytes.set(encoded, at + 2);
    else for (let i = 0; i < length; i++) this.#bytes[at + 2 + i] = value.charCodeAt(i);
  }

  /** An attribute of `length` zero bytes to be filled in through `bytesAt`; returns where its payload begins. */
  reserve(type: number, length: number): number {
    return this.#attribute(type, length);
  }

  /** The whole buffer, and its view: for filling in what reserve() gave. Valid until the next write. */
  get buffer(): WriterBuffer {
    return this.#buffer;
  }

  #attribute(type: number, length: number): number {
    const at = this.#take(4 + align4(length));
    this.#view.setUint16(at, 4 + length, true);
    this.#view.setUint16(at + 2, type, true);
    return at + 4;
  }

  #take(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) this.#grow();
    return at;
  }

  #grow(): void {
    const bytes = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
    this.#buffer = { bytes, view: this.#view };
  }
}

function isAscii(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) return false;
  return true;
}
