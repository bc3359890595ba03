// Room wire: reads the attributes of netfilter netlink messages.
import { align4, NetlinkFormatError } from '../netlink/message.ts';

/** Bytes of nfgenmsg (family, version, resource id) before the attributes. */
export const NFGENMSG_LENGTH = 4;

/** Attributes by type, each a view of its payload. Of a type that occurs twice the last one counts. */
export class Attributes {
  readonly #byType = new Map<number, Uint8Array>();

  constructor(bytes: Uint8Array | undefined) {
    for (const [type, payload] of attributeList(bytes)) this.#byType.set(type, payload);
  }

  raw(type: number): Uint8Array | undefined {
    return this.#byType.get(type);
  }

  /** Throws a NetlinkFormatError when it is absent, or not of this length. */
  bytes(type: number, length?: number): Uint8Array {
    const bytes = this.#byType.get(type);
    if (!bytes) throw new NetlinkFormatError(`netlink attribute ${type} is missing`);
    if (length !== undefined && bytes.length !== length)
      throw new NetlinkFormatError(`netlink attribute ${type} has ${bytes.length} bytes, not ${length}`);
    return bytes;
  }

  has(type: number): boolean {
    return this.#byType.has(type);
  }

  nested(type: number): Attributes {
    return new Attributes(this.#byType.get(type));
  }

  /** Payloads of a nested list of like elements, in order. */
  list(type: number): Uint8Array[] {
    return attributeList(this.#byType.get(type)).map(([, payload]) => payload);
  }

  /** '' when absent. */
  string(type: number): string {
    const bytes = this.#byType.get(type);
    return bytes ? readText(bytes) : '';
  }

  u8(type: number): number | undefined {
    return this.#byType.get(type)?.[0];
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
    const bytes = this.#byType.get(type);
    if (bytes && bytes.length < length) throw new NetlinkFormatError(`netlink attribute ${type} is cut off`);
    return bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** (type, payload) in order; throws a NetlinkFormatError on an attribute that is cut off. */
export function attributeList(bytes: Uint8Array | undefined): [type: number, payload: Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  if (!bytes) return found;
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes[at]! | (bytes[at + 1]! << 8);
    const type = (bytes[at + 2]! | (bytes[at + 3]! << 8)) & 0x3fff;
    if (length < 4 || at + length > bytes.length) {
      throw new NetlinkFormatError(`netlink attribute ${type} of length ${length} at ${at} of ${bytes.length} bytes`);
    }
    found.push([type, bytes.subarray(at + 4, at + length)]);
    at += align4(length);
  }
  return found;
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
