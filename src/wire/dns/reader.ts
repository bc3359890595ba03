// Room wire: bytes of a DNS packet to a message; what cannot be read comes back as a value that says why.
import { formatIP } from '../../addr/ip.ts';
import {
  type Edns,
  type EdnsOption,
  type Malformed,
  type Message,
  type Name,
  type Question,
  type RData,
  type ResourceRecord,
  TYPE,
} from './message.ts';
import { labelText, MAX_NAME } from './name.ts';

class Unreadable extends Error {}

/** Never throws. Bytes after the last record are ignored, as other servers do. */
export function decodeMessage(bytes: Uint8Array): Message | Malformed {
  if (bytes.length < 12) return { malformed: `${bytes.length} bytes are no header` };
  try {
    return new Reader(bytes).message();
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { malformed: error.message, header: headerOf(bytes) };
  }
}

function headerOf(bytes: Uint8Array): NonNullable<Malformed['header']> {
  const flags = (bytes[2]! << 8) | bytes[3]!;
  return {
    id: (bytes[0]! << 8) | bytes[1]!,
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 0xf,
    rd: (flags & 0x100) !== 0,
  };
}

/**
 * Types besides those of RData whose names may arrive compressed (RFC 3597 section 4): the bytes before the name, how
 * many names follow; `strings` are character strings between the two (NAPTR). The rest is copied.
 */
const NAMES_WITHIN: Readonly<Record<number, { before: number; strings?: number; names: number }>> = {
  3: { before: 0, names: 1 }, // MD
  4: { before: 0, names: 1 }, // MF
  7: { before: 0, names: 1 }, // MB
  8: { before: 0, names: 1 }, // MG
  9: { before: 0, names: 1 }, // MR
  14: { before: 0, names: 2 }, // MINFO
  [TYPE.MX]: { before: 2, names: 1 },
  17: { before: 0, names: 2 }, // RP
  18: { before: 2, names: 1 }, // AFSDB
  21: { before: 2, names: 1 }, // RT
  24: { before: 18, names: 1 }, // SIG
  26: { before: 2, names: 2 }, // PX
  30: { before: 0, names: 1 }, // NXT
  35: { before: 4, strings: 3, names: 1 }, // NAPTR
  36: { before: 2, names: 1 }, // KX
  39: { before: 0, names: 1 }, // DNAME
};

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #edns: Edns | undefined;
  #extendedRcode = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  message(): Message {
    const id = this.#u16();
    const flags = this.#u16();
    const counts = [this.#u16(), this.#u16(), this.#u16(), this.#u16()] as const;
    const questions: Question[] = [];
    for (let i = 0; i < counts[0]; i++) {
      questions.push({ name: this.#name(), type: this.#u16(), class: this.#u16() });
    }
    const answers = this.#records(counts[1], false);
    const authorities = this.#records(counts[2], false);
    const additionals = this.#records(counts[3], true);
    return {
      id,
      response: (flags & 0x8000) !== 0,
      opcode: (flags >> 11) & 0xf,
      authoritative: (flags & 0x400) !== 0,
      truncated: (flags & 0x200) !== 0,
      recursionDesired: (flags & 0x100) !== 0,
      recursionAvailable: (flags & 0x80) !== 0,
      authenticData: (flags & 0x20) !== 0,
      checkingDisabled: (flags & 0x10) !== 0,
      rcode: (this.#extendedRcode << 4) | (flags & 0xf),
      questions,
      answers,
      authorities,
      additionals,
      ...(this.#edns && { edns: this.#edns }),
    };
  }

  #records(count: number, additional: boolean): ResourceRecord[] {
    const records: ResourceRecord[] = [];
    for (let i = 0; i < count; i++) {
      const record = this.#record(additional);
      if (record) records.push(record);
    }
    return records;
  }

  /** Undefined for OPT, which is kept aside. */
  #record(additional: boolean): ResourceRecord | undefined {
    const name = this.#name();
    const code = this.#u16();
    const klass = this.#u16();
    const ttl = this.#u32();
    const length = this.#u16();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Unreadable('record data runs beyond the packet');
    if (code === TYPE.OPT) {
      if (!additional) throw new Unreadable('OPT outside the additional section');
      this.#opt(name, klass, ttl, end);
      return undefined;
    }
    const data = this.#data(code, end);
    if (this.#at !== end) throw new Unreadable(`record data of type ${code} does not end where it should`);
    // RFC 2181 section 8: a TTL with the top bit set counts as zero.
    return { name, class: klass, ttl: ttl > 0x7fffffff ? 0 : ttl, ...data };
  }

  #opt(name: Name, udpSize: number, ttl: number, end: number): void {
    if (name !== '.') throw new Unreadable('OPT with a name');
    if (this.#edns) throw new Unreadable('more than one OPT');
    const options: EdnsOption[] = [];
    while (this.#at < end) {
      const code = this.#u16();
      options.push({ code, data: this.#take(this.#u16(), end) });
    }
    if (this.#at !== end) throw new Unreadable('EDNS options run beyond their record');
    this.#extendedRcode = ttl >>> 24;
    this.#edns = { udpSize, version: (ttl >>> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0, options };
  }

  #data(code: number, end: number): RData {
    switch (code) {
      case TYPE.A:
        return { type: 'A', address: formatIP(this.#exactly(4, end)) };
      case TYPE.AAAA:
        return { type: 'AAAA', address: formatIP(this.#exactly(16, end)) };
      case TYPE.CNAME:
        return { type: 'CNAME', target: this.#name() };
      case TYPE.NS:
        return { type: 'NS', target: this.#name() };
      case TYPE.PTR:
        return { type: 'PTR', target: this.#name() };
      case TYPE.SRV: {
        const [priority, weight, port] = [this.#u16(), this.#u16(), this.#u16()];
        return { type: 'SRV', priority, weight, port, target: this.#name() };
      }
      case TYPE.TXT: {
        const strings: string[] = [];
        while (this.#at < end) strings.push(Buffer.from(this.#take(this.#u8(), end)).toString('latin1'));
        return { type: 'TXT', strings };
      }
      case TYPE.SOA: {
        const [mname, rname] = [this.#name(), this.#name()];
        const [serial, refresh, retry] = [this.#u32(), this.#u32(), this.#u32()];
        return { type: 'SOA', mname, rname, serial, refresh, retry, expire: this.#u32(), minimum: this.#u32() };
      }
      default:
        return { type: 'other', code, data: this.#opaque(code, end) };
    }
  }

  /** The record data as bytes that mean the same in any packet: without pointers. */
  #opaque(code: number, end: number): Uint8Array {
    const layout = NAMES_WITHIN[code];
    if (!layout || this.#at === end) return this.#take(end - this.#at, end);
    const parts: Uint8Array[] = [this.#take(layout.before, end)];
    for (let i = 0; i < (layout.strings ?? 0); i++) {
      const length = this.#u8();
      parts.push(Uint8Array.of(length), this.#take(length, end));
    }
    for (let i = 0; i < layout.names; i++) {
      const labels: Uint8Array[] = [];
      this.#name(labels);
      parts.push(...labels);
    }
    if (this.#at > end) throw new Unreadable('a name runs beyond its record');
    parts.push(this.#take(end - this.#at, end));
    return new Uint8Array(Buffer.concat(parts));
  }

  /** Reads a name; each pointer must lead further back than the last, so that no packet can make a loop. */
  #name(labels?: Uint8Array[]): Name {
    const bytes = this.#bytes;
    let at = this.#at;
    let limit = at;
    let jumped = false;
    let length = 0;
    let text = '';
    for (;;) {
      const size = bytes[at];
      if (size === undefined) throw new Unreadable('a name runs beyond the packet');
      if (size >= 0xc0) {
        const low = bytes[at + 1];
        if (low === undefined) throw new Unreadable('a name runs beyond the packet');
        const target = ((size & 0x3f) << 8) | low;
        if (target >= limit) throw new Unreadable('a name points forward');
        if (!jumped) this.#at = at + 2;
        jumped = true;
        limit = target;
        at = target;
        continue;
      }
      if (size > 63) throw new Unreadable('a label of a reserved kind');
      const end = at + 1 + size;
      length += size + 1;
      if (length > MAX_NAME) throw new Unreadable('a name longer than 255 bytes');
      if (end > bytes.length) throw new Unreadable('a name runs beyond the packet');
      labels?.push(bytes.slice(at, end));
      if (size === 0) break;
      text += text === '' ? labelText(bytes, at + 1, end) : `.${labelText(bytes, at + 1, end)}`;
      at = end;
    }
    if (!jumped) this.#at = at + 1;
    return text === '' ? '.' : text;
  }

  #exactly(length: number, end: number): Uint8Array {
    if (end - this.#at !== length) throw new Unreadable(`an address of ${end - this.#at} bytes`);
    return this.#take(length, end);
  }

  #take(length: number, end: number): Uint8Array {
    if (this.#at + length > end) throw new Unreadable('a field runs beyond its record');
    const start = this.#at;
    this.#at += length;
    return new Uint8Array(this.#bytes.subarray(start, this.#at));
  }

  #u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new Unreadable('the packet ends early');
    this.#at += 1;
    return value;
  }

  #u16(): number {
    if (this.#at + 2 > this.#bytes.length) throw new Unreadable('the packet ends early');
    const value = (this.#bytes[this.#at]! << 8) | this.#bytes[this.#at + 1]!;
    this.#at += 2;
    return value;
  }

  #u32(): number {
    return this.#u16() * 0x10000 + this.#u16();
  }
}
