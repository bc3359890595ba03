// Room wire: a DNS message to bytes, with name compression and truncation.
import { ipBytes } from '../../addr/ip.ts';
import {
  CLASS,
  type Edns,
  type Message,
  type Name,
  type RData,
  type ResourceRecord,
  TYPE,
  typeCode,
} from './message.ts';
import { MAX_NAME, readLabel } from './name.ts';

/** The most that a length-prefixed message over TCP can hold. */
export const MAX_MESSAGE = 65535;

/** Compression pointers have 14 bits. */
const MAX_POINTER = 0x3fff;

/** Room for the longest record of types that we write by field; larger data is checked on its own. */
const SLACK = 1024;

/**
 * The message in at most `limit` bytes. Answers or authorities that do not fit are left out with TC set; additional
 * records that do not fit are left out in silence (RFC 2181 section 9). OPT and questions always stay. Throws a
 * RangeError for names that are none.
 */
export function encodeMessage(message: Message, limit: number = MAX_MESSAGE): Buffer {
  return new Writer(limit).message(message);
}

class Writer {
  readonly #limit: number;
  #bytes: Buffer;
  #at = 12;
  /** Text of a name's tail to where it stands. */
  readonly #tails = new Map<string, number>();
  readonly #label = new Uint8Array(64);

  constructor(limit: number) {
    this.#limit = Math.min(limit, MAX_MESSAGE);
    this.#bytes = Buffer.allocUnsafe(Math.min(this.#limit, 4096) + SLACK);
  }

  message(message: Message): Buffer {
    for (const question of message.questions) {
      this.#name(question.name, true);
      this.#u16(question.type);
      this.#u16(question.class);
    }
    const room = this.#limit - optLength(message.edns);
    const answers = this.#records(message.answers, room);
    const full = answers < message.answers.length;
    const authorities = full ? 0 : this.#records(message.authorities, room);
    const truncated = full || authorities < message.authorities.length;
    const additionals = truncated ? 0 : this.#records(message.additionals, room);
    if (message.edns) this.#opt(message.edns, message.rcode);
    this.#header(message, truncated, [answers, authorities, additionals + (message.edns ? 1 : 0)]);
    return this.#bytes.subarray(0, this.#at);
  }

  #header(message: Message, truncated: boolean, counts: readonly [number, number, number]): void {
    const flags =
      (message.response ? 0x8000 : 0) |
      (message.opcode << 11) |
      (message.authoritative ? 0x400 : 0) |
      (message.truncated || truncated ? 0x200 : 0) |
      (message.recursionDesired ? 0x100 : 0) |
      (message.recursionAvailable ? 0x80 : 0) |
      (message.authenticData ? 0x20 : 0) |
      (message.checkingDisabled ? 0x10 : 0) |
      (message.rcode & 0xf);
    for (const [i, value] of [message.id, flags, message.questions.length, ...counts].entries()) {
      this.#bytes.writeUInt16BE(value, 2 * i);
    }
  }

  /** How many of them fit. */
  #records(records: readonly ResourceRecord[], room: number): number {
    for (const [i, record] of records.entries()) {
      const start = this.#at;
      this.#record(record);
      if (this.#at > room) {
        this.#at = start;
        for (const [tail, offset] of this.#tails) if (offset >= start) this.#tails.delete(tail);
        return i;
      }
    }
    return records.length;
  }

  #record(record: ResourceRecord): void {
    this.#name(record.name, true);
    this.#u16(typeCode(record));
    this.#u16(record.class);
    this.#u32(record.ttl);
    const lengthAt = this.#at;
    this.#u16(0);
    this.#data(record);
    this.#bytes.writeUInt16BE(this.#at - lengthAt - 2, lengthAt);
  }

  #data(data: RData): void {
    switch (data.type) {
      case 'A':
      case 'AAAA':
        this.#put(ipBytes(data.address));
        break;
      case 'CNAME':
      case 'NS':
      case 'PTR':
        this.#name(data.target, true);
        break;
      case 'SRV':
        for (const value of [data.priority, data.weight, data.port]) this.#u16(value);
        // RFC 2782: not compressed.
        this.#name(data.target, false);
        break;
      case 'TXT':
        for (const text of data.strings) this.#string(text);
        break;
      case 'SOA':
        this.#name(data.mname, true);
        this.#name(data.rname, true);
        for (const value of [data.serial, data.refresh, data.retry, data.expire, data.minimum]) this.#u32(value);
        break;
      case 'other':
        this.#put(data.data);
        break;
    }
  }

  #string(text: string): void {
    const bytes = Buffer.from(text, 'latin1');
    if (bytes.length > 255) throw new RangeError('a TXT string longer than 255 bytes');
    this.#put(Uint8Array.of(bytes.length));
    this.#put(bytes);
  }

  #opt(edns: Edns, rcode: number): void {
    this.#put(Uint8Array.of(0));
    this.#u16(TYPE.OPT);
    this.#u16(edns.udpSize);
    this.#u32((((rcode >> 4) << 24) | (edns.version << 16) | (edns.dnssecOk ? 0x8000 : 0)) >>> 0);
    this.#u16(optLength(edns) - 11);
    for (const option of edns.options) {
      this.#u16(option.code);
      this.#u16(option.data.length);
      this.#put(option.data);
    }
  }

  #name(name: Name, compress: boolean): void {
    const start = this.#at;
    this.#reserve(MAX_NAME + 64);
    for (let from = name === '.' ? name.length : 0; from < name.length; ) {
      const tail = from === 0 ? name : name.slice(from);
      const known = this.#tails.get(tail);
      if (compress && known !== undefined) {
        this.#u16(0xc000 | known);
        return;
      }
      if (known === undefined && this.#at <= MAX_POINTER) this.#tails.set(tail, this.#at);
      const { length, next } = readLabel(name, from, this.#label);
      this.#bytes[this.#at] = length;
      this.#bytes.set(this.#label.subarray(0, length), this.#at + 1);
      this.#at += length + 1;
      if (this.#at - start >= MAX_NAME) throw new RangeError(`"${name}" is longer than ${MAX_NAME} bytes`);
      from = next;
    }
    this.#bytes[this.#at++] = 0;
  }

  #put(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #u16(value: number): void {
    this.#reserve(2);
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
  }

  #u32(value: number): void {
    this.#reserve(4);
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe((this.#at + length) * 2);
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

function optLength(edns: Edns | undefined): number {
  if (!edns) return 0;
  return edns.options.reduce((sum, option) => sum + 4 + option.data.length, 11);
}

/** A query as a stub resolver sends it. */
export function queryMessage(id: number, name: Name, type: number, rest: Partial<Message> = {}): Message {
  return {
    id,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name, type, class: CLASS.IN }],
    answers: [],
    authorities: [],
    additionals: [],
    ...rest,
  };
}
