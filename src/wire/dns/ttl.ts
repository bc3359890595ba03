// Room wire: where the TTLs of a message stand, for who gives it again later.
import { TYPE } from './message.ts';

/** Of every record but OPT, whose field of that place says something else. `message` is one of our own making. */
export function ttlOffsets(message: Uint8Array): number[] {
  const u16 = (at: number) => (message[at]! << 8) | message[at + 1]!;
  const records = u16(6) + u16(8) + u16(10);
  const offsets: number[] = [];
  let at = 12;
  for (let i = 0; i < u16(4); i++) at = nameEnd(message, at) + 4;
  for (let i = 0; i < records; i++) {
    at = nameEnd(message, at);
    if (u16(at) !== TYPE.OPT) offsets.push(at + 4);
    at += 10 + u16(at + 8);
  }
  return offsets;
}

/** Where the name that starts at `at` ends: after its root or its pointer. */
function nameEnd(message: Uint8Array, at: number): number {
  let here = at;
  for (let length = message[here]!; length !== 0; length = message[here]!) {
    if (length >= 0xc0) return here + 2;
    here += length + 1;
  }
  return here + 1;
}
