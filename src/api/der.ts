// Room api: the little of DER (X.690) that certificates need.

export type Der = Uint8Array;

export function tlv(tag: number, ...contents: readonly Uint8Array[]): Der {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>= 8) bytes.unshift(rest & 0xff);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}

export const sequence = (...items: readonly Der[]): Der => tlv(0x30, ...items);
export const set = (...items: readonly Der[]): Der => tlv(0x31, ...items);
export const utf8String = (text: string): Der => tlv(0x0c, Buffer.from(text));
export const octetString = (bytes: Uint8Array): Der => tlv(0x04, bytes);
export const TRUE: Der = tlv(0x01, Uint8Array.of(0xff));

/** Context-specific tag: `constructed` when it wraps other values. */
export function tagged(number: number, content: Uint8Array, constructed = true): Der {
  return tlv((constructed ? 0xa0 : 0x80) | number, content);
}

/** A non-negative integer, most significant byte first. */
export function integer(bytes: Uint8Array): Der {
  return tlv(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Uint8Array.of(0), bytes]) : bytes);
}

/** `unused` bits at the end of the last byte. */
export function bitString(bytes: Uint8Array, unused = 0): Der {
  return tlv(0x03, Uint8Array.of(unused), bytes);
}

/** `2.5.29.19` */
export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(0x06, Uint8Array.from(bytes));
}

/** UTCTime until 2049 and GeneralizedTime after, as RFC 5280 (4.1.2.5) wants. */
export function time(date: Date): Der {
  const digits = date.toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const early = date.getUTCFullYear() < 2050;
  return tlv(early ? 0x17 : 0x18, Buffer.from(`${early ? digits.slice(2) : digits}Z`));
}
