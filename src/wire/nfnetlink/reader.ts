// Room wire: reads the attributes of netfilter netlink messages.
import { align4, NetlinkFormatError } from '../netlink/message.ts';

/** Bytes of nfgenmsg (family, version, resource id) before the attributes. */
export const NFGENMSG_LENGTH = 4;

const NOTHING = new Uint8Array(0);

/** Attributes by type. Of a type that occurs twice the last one counts. Views are made of what is asked for alone: dumps have 100,000 of these. */
export class Attributes {
  readonly #bytes: Uint8Array;
  /** Type, begin and end of one after the other. */
  readonly #found: number[] = [];

  /** Throws a NetlinkFormatError on an attribute that is cut off. */
  constructor(bytes: Uint8Array | undefined, from = 0, to = bytes?.length ?? 0) {
    this.#bytes = bytes ?? NOTHING;
    for (let at = from; at + 4 <= to; ) {
      const { type, end } = header(this.#bytes, at, to);
      this.#found.push(type, at + 4, end);
      at += align4(end - at);
    }
  }

  /** Where in `#found` it is; -1 when it is absent. */
  #place(type: number): number {
    const found = this.#found;
    for (let i = found.length - 3; i >= 0; i -= 3) if (found[i] === type) return i;
    return -1;
  }

  raw(type: number): Uint8Array | undefined {
    const i = this.#place(type);
    return i < 0 ? undefined : this.#bytes.subarray(this.#found[i + 1]!, this.#found[i + 2]!);
  }

  /** Throws a NetlinkFormatError when it is absent, or not of this length. */
  bytes(type: number, length?: number): Uint8Array {
    const bytes = this.raw(type);
    if (!bytes) throw new NetlinkFormatError(`netlink attribute ${type} is missing`);
    if (length !== undefined && bytes.length !== length)
      throw new NetlinkFormatError(`netlink attribute ${type} has ${bytes.length} bytes, not ${length}`);
    return bytes;
  }

  has(type: number): boolean {
    return this.#place(type) >= 0;
  }

  nested(type: number): Attributes {
    const i = this.#place(type);
    if (i < 0) return new Attributes(undefined);
    return new Attributes(this.#bytes, this.#found[i + 1]!, this.#found[i + 2]!);
  }

  /** Payloads of a nested list of like elements, in order. */
  list(type: number): Uint8Array[] {
    return attributeList(this.raw(type)).map(([, payload]) => payload);
  }

  /** '' when absent. */
  string(type: number): string {
    const bytes = this.raw(type);
    return bytes ? readText(bytes) : '';
  }

  u8(type: number): number | undefined {
    return this.raw(type)?.[0];
  }

  u16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0);
  }

  u32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0);
  }

  u64(type: number): bigint | undefined {
    return this.#view(type, 8)?.getBigUint64(0);
  }

  #view(type: number, length: number): DataView | undefined {
    const i = this.#place(type);
    if (i < 0) return undefined;
    const { buffer, byteOffset } = this.#bytes;
    const [begin, end] = [this.#found[i + 1]!, this.#found[i + 2]!];
    if (end - begin < length) throw new NetlinkFormatError(`netlink attribute ${type} is cut off`);
    return new DataView(buffer, byteOffset + begin, end - begin);
  }
}

/** (type, payload) in order; throws a NetlinkFormatError on an attribute that is cut off. */
export function attributeList(bytes: Uint8Array | undefined): [type: number, payload: Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  if (!bytes) return found;
  for (let at = 0; at + 4 <= bytes.length; ) {
    const { type, end } = header(bytes, at, bytes.length);
    found.push([type, bytes.subarray(at + 4, end)]);
    at += align4(end - at);
  }
  return found;
}

function header(bytes: Uint8Array, at: number, to: number): { type: number; end: number } {
  const length = bytes[at]! | (bytes[at + 1]! << 8);
  const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff;
  if (length < 4 || at + length > to) {
    throw new NetlinkFormatError(`netlink attribute ${type} of length ${length} at ${at} of ${to} bytes`);
  }
  return { type, end: at + length };
}

/** Text up to its NUL. */
export function readText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** The text that libnftnl's user data has under `type`, if any. */
export function userdataText(bytes: Uint8Array | undefined, type: number): string | undefined {
  if (!bytes) return undefined;
  for (let at = 0; at + 2 <= bytes.length; at += 2 + bytes[at + 1]!) {
    if (bytes[at] === type) return readText(bytes.subarray(at + 2, at + 2 + bytes[at + 1]!));
  }
  return undefined;
}
