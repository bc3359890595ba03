// Room wire: domain names between their text and their labels.
import type { Name } from './message.ts';

const DOT = 0x2e;
const BACKSLASH = 0x5c;

/** Longest name in bytes on the wire, with every length byte and the root (RFC 1035 section 2.3.4). */
export const MAX_NAME = 255;
export const MAX_LABEL = 63;

/** Byte values to their text within a label. */
const ESCAPED = Array.from({ length: 256 }, (_, byte) => {
  if (byte === DOT || byte === BACKSLASH) return `\\${String.fromCharCode(byte)}`;
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\${String(byte).padStart(3, '0')}`;
});

/** The text of one label. */
export function labelText(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) text += ESCAPED[bytes[i]!];
  return text;
}

/**
 * The bytes of the label that starts at `from` in the text, and where the next label starts (beyond the text after the
 * last one). Throws a RangeError for what is no label.
 */
export function readLabel(name: Name, from: number, into: Uint8Array): { length: number; next: number } {
  let length = 0;
  let i = from;
  for (; i < name.length; i++) {
    let code = name.charCodeAt(i);
    if (code === DOT) break;
    if (code === BACKSLASH) {
      const digits = /^\d{3}/.exec(name.slice(i + 1, i + 4));
      code = digits ? Number(digits[0]) : name.charCodeAt(i + 1);
      i += digits ? 3 : 1;
    }
    if (!(code < 256)) throw new RangeError(`"${name}" is not a domain name`);
    if (length === MAX_LABEL) throw new RangeError(`"${name}" has a label longer than ${MAX_LABEL} bytes`);
    into[length++] = code;
  }
  if (length === 0) throw new RangeError(`"${name}" has an empty label`);
  return { length, next: i + 1 };
}

/** Names compare without case (RFC 4343); the text is ASCII, so this is exact. */
export function lowerName(name: Name): Name {
  return name.toLowerCase();
}

/** Whether `name` is `zone` or below it; both in lower case. */
export function isWithin(name: Name, zone: Name): boolean {
  if (zone === '.' || name === zone) return true;
  return name.endsWith(zone) && isSeparator(name, name.length - zone.length - 1);
}

/** A dot that ends a label, not one that an odd number of backslashes makes part of it. */
function isSeparator(name: Name, at: number): boolean {
  if (name.charCodeAt(at) !== DOT) return false;
  let backslashes = 0;
  while (name.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 0;
}

/** The labels of `name` left of `zone`, as text without the dot: '' for the zone itself. `name` is within `zone`. */
export function relativeTo(name: Name, zone: Name): string {
  if (zone === '.') return name === '.' ? '' : name;
  return name.length === zone.length ? '' : name.slice(0, name.length - zone.length - 1);
}

/** Whether the text is a domain name that fits on the wire. */
export function isName(text: string): boolean {
  if (text === '.') return true;
  const label = new Uint8Array(MAX_LABEL + 1);
  let length = 1;
  try {
    for (let from = 0; from <= text.length; ) {
      const read = readLabel(text, from, label);
      length += read.length + 1;
      if (read.next > text.length) break;
      from = read.next;
    }
  } catch {
    return false;
  }
  return length <= MAX_NAME;
}
