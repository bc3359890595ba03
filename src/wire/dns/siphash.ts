// Room wire: SipHash-2-4 (Aumasson and Bernstein, 2012), by which server cookies are told from forged ones.

const MASK = 0xffff_ffff_ffff_ffffn;

/** Eight bytes for a message under a key of sixteen. */
export function sipHash(key: Uint8Array, message: Uint8Array): Uint8Array {
  const keys = new DataView(key.buffer, key.byteOffset, 16);
  const [k0, k1] = [keys.getBigUint64(0, true), keys.getBigUint64(8, true)];
  const v: [bigint, bigint, bigint, bigint] = [
    k0 ^ 0x736f6d6570736575n,
    k1 ^ 0x646f72616e646f6dn,
    k0 ^ 0x6c7967656e657261n,
    k1 ^ 0x7465646279746573n,
  ];
  // Whole words, the last one filled up with zeros and the length.
  const padded = new Uint8Array((Math.floor(message.length / 8) + 1) * 8);
  padded.set(message);
  padded[padded.length - 1] = message.length;
  const words = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) {
    const word = words.getBigUint64(at, true);
    v[3] ^= word;
    round(v, 2);
    v[0] ^= word;
  }
  v[2] ^= 0xffn;
  round(v, 4);
  const hash = new Uint8Array(8);
  new DataView(hash.buffer).setBigUint64(0, v[0] ^ v[1] ^ v[2] ^ v[3], true);
  return hash;
}

function round(v: [bigint, bigint, bigint, bigint], times: number): void {
  let [a, b, c, d] = v;
  for (let i = 0; i < times; i++) {
    a = (a + b) & MASK;
    b = rotate(b, 13n) ^ a;
    a = rotate(a, 32n);
    c = (c + d) & MASK;
    d = rotate(d, 16n) ^ c;
    a = (a + d) & MASK;
    d = rotate(d, 21n) ^ a;
    c = (c + b) & MASK;
    b = rotate(b, 17n) ^ c;
    c = rotate(c, 32n);
  }
  [v[0], v[1], v[2], v[3]] = [a, b, c, d];
}

function rotate(value: bigint, by: bigint): bigint {
  return ((value << by) | (value >> (64n - by))) & MASK;
}
