// Room dns: a packet to its answer: what the protocol itself demands, then the chain, then bytes again.
import { randomBytes } from 'node:crypto';
import { familyOf, type IP } from '../addr/ip.ts';
import type { Logger } from '../observe/log.ts';
import { answerCookie, isCookie } from '../wire/dns/cookie.ts';
import {
  CLASS,
  type EdnsOption,
  type Malformed,
  type Message,
  OPCODE,
  OPTION,
  type Question,
  RCODE,
  rcodeName,
  TYPE,
} from '../wire/dns/message.ts';
import { lowerName } from '../wire/dns/name.ts';
import { decodeMessage } from '../wire/dns/reader.ts';
import { typeName } from '../wire/dns/text.ts';
import { encodeMessage, MAX_MESSAGE, queryMessage } from '../wire/dns/writer.ts';
import type { Resolver } from './chain.ts';
import type { PacketCache } from './packet-cache.ts';
import { type Answer, failed } from './query.ts';
import type { DnsProtocol, DnsStats } from './stats.ts';
import { UDP_SIZE } from './upstream.ts';

/** The largest answer over UDP to who does not speak EDNS (RFC 1035 section 4.2.1). */
const PLAIN_UDP_SIZE = 512;
/** Orders in which the addresses of one name are given out in turn. */
const MAX_TURNS = 16;

/** Who asks. */
export interface Client {
  readonly ip: IP;
  readonly port: number;
}

/** Undefined: the packet deserves no answer. The packet is the callee's to keep. */
export type Respond = (
  packet: Uint8Array,
  protocol: DnsProtocol,
  client: Client,
) => Buffer | undefined | Promise<Buffer>;

export interface ResponderOptions {
  readonly resolve: Resolver;
  readonly stats: DnsStats;
  readonly log: Logger;
  /** Given every answer over UDP that may be given again. */
  readonly packets?: PacketCache;
  /** One line for each question. */
  readonly queryLog?: boolean;
  /** Told to who asks which of the servers under one address it is that answers (NSID, RFC 5001). */
  readonly serverName?: string;
}

/** A question on its way. */
interface Asked {
  readonly query: Message;
  readonly packet: Uint8Array;
  readonly protocol: DnsProtocol;
  readonly client: Client;
  readonly start: number;
}

/** What answers say of who gave them. */
interface Server {
  readonly secret: Uint8Array;
  readonly name: Uint8Array;
}

export function responder(options: ResponderOptions): Respond {
  const { resolve, stats } = options;
  const finish = finisher(options);
  return (packet, protocol, client) => {
    const start = performance.now();
    const message = decodeMessage(packet);
    const query = 'malformed' in message ? shell(message) : message;
    // Answering an answer would let two servers talk for ever.
    if (!query || query.response) {
      stats.dropped();
      return undefined;
    }
    const asked: Asked = { query, packet, protocol, client, start };
    const refusal = 'malformed' in message ? RCODE.FORMERR : refusalOf(message);
    if (refusal !== undefined) return finish(asked, failed(refusal));
    try {
      const answer = ask(resolve, asked);
      if (!(answer instanceof Promise)) return finish(asked, answer);
      return answer
        .then((later) => finish(asked, later))
        .catch((error) => finish(asked, broken(options, query, error)));
    } catch (error) {
      return finish(asked, broken(options, query, error));
    }
  };
}

/** Makes the bytes of an answer, counts and logs it, and keeps it for who asks the same. */
function finisher(options: ResponderOptions): (asked: Asked, answer: Answer) => Buffer {
  const { stats, log, packets, queryLog } = options;
  const server: Server = { secret: randomBytes(16), name: Buffer.from(options.serverName ?? '') };
  return (asked, answer) => {
    const { query, packet, protocol, client } = asked;
    const limit = sizeLimit(query, protocol);
    const encode = (turned: Answer) => encodeMessage(response(asked, turned, server), limit);
    const bytes = encode(answer);
    const question = query.questions[0];
    const dnssecOk = query.edns?.dnssecOk ?? false;
    const { rcode, plugin = '' } = answer;
    const tally = stats.tally({ protocol, type: question?.type ?? 0, rcode, dnssecOk, plugin });
    tally[familyOf(client.ip) === 6 ? 'v6' : 'v4']++;
    const seconds = (performance.now() - asked.start) / 1000;
    stats.latency.observe(seconds);
    stats.requestSizes[protocol].observe(packet.length);
    stats.responseSizes[protocol].observe(bytes.length);
    if (packets && answer.validity && protocol === 'udp' && !query.edns?.options.length) {
      packets.put(packet, inTurns(answer).map(encode).map(compact), answer.validity, tally);
    }
    if (queryLog && question) {
      const asks = {
        client: client.ip,
        port: client.port,
        name: question.name,
        type: typeName(question.type),
        protocol,
      };
      const got = { rcode: rcodeName(answer.rcode), answers: answer.answers.length, bytes: bytes.length };
      log.info({ ...asks, ...got, ms: Math.round(seconds * 1e6) / 1000 }, 'query');
    }
    return bytes;
  };
}

/** The same answer with its addresses in other orders: many clients take the first alone. */
function inTurns(answer: Answer): Answer[] {
  const { answers } = answer;
  if (answers.length < 2 || answers.some(({ type }) => type !== answers[0]!.type)) return [answer];
  const turns = Math.min(answers.length, MAX_TURNS);
  return Array.from({ length: turns }, (_, turn) => {
    const first = Math.floor((turn * answers.length) / turns);
    return { ...answer, answers: [...answers.slice(first), ...answers.slice(0, first)] };
  });
}

/** In memory of its own size: the writer's buffer has room for any answer. */
function compact(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

function ask(resolve: Resolver, { query, client }: Asked): Answer | Promise<Answer> {
  const { name, type } = query.questions[0]!;
  return resolve({
    name,
    lower: lowerName(name),
    type,
    recursionDesired: query.recursionDesired,
    dnssecOk: query.edns?.dnssecOk ?? false,
    checkingDisabled: query.checkingDisabled,
    client,
  });
}

function broken({ log, stats }: ResponderOptions, query: Message, error: unknown): Answer {
  stats.panics++;
  log.error({ err: error, question: query.questions[0] }, 'a question could not be answered');
  return failed(RCODE.SERVFAIL);
}

/** As much of an unreadable query as its answer repeats. */
function shell({ header }: Malformed): Message | undefined {
  if (!header) return undefined;
  const { id, response, opcode, rd } = header;
  return queryMessage(id, '.', 0, { response, opcode, recursionDesired: rd, questions: [] });
}

/** The code of a query that is not for the chain; undefined for one that is. */
function refusalOf(query: Message): number | undefined {
  if (query.opcode !== OPCODE.QUERY) return RCODE.NOTIMP;
  const cookie = cookieOf(query);
  if (cookie && !isCookie(cookie)) return RCODE.FORMERR;
  // RFC 7873 section 5.4: who wants nothing but a cookie asks no question.
  if (query.questions.length === 0 && cookie) return RCODE.NOERROR;
  // RFC 9619: a query has one question.
  if (query.questions.length !== 1) return RCODE.FORMERR;
  if ((query.edns?.version ?? 0) > 0) return RCODE.BADVERS;
  return refusalOfQuestion(query.questions[0]!);
}

function cookieOf(query: Message): Uint8Array | undefined {
  return query.edns?.options.find(({ code }) => code === OPTION.COOKIE)?.data;
}

function refusalOfQuestion(question: Question): number | undefined {
  if (question.type === TYPE.OPT) return RCODE.FORMERR;
  if (question.class !== CLASS.IN) return RCODE.REFUSED;
  if (question.type === TYPE.AXFR || question.type === TYPE.IXFR) return RCODE.REFUSED;
  // RFC 6895 section 3.1: 128 to 254 are no data but other requests (TKEY, TSIG, MAILA …).
  if (question.type >= 128 && question.type < TYPE.ANY) return RCODE.NOTIMP;
  return undefined;
}

function response({ query, client }: Asked, answer: Answer, server: Server): Message {
  return {
    id: query.id,
    response: true,
    opcode: query.opcode,
    authoritative: answer.authoritative,
    truncated: false,
    recursionDesired: query.recursionDesired,
    recursionAvailable: true,
    authenticData: answer.authenticData ?? false,
    checkingDisabled: query.checkingDisabled,
    rcode: answer.rcode,
    questions: query.questions,
    answers: answer.answers,
    authorities: answer.authorities,
    additionals: answer.additionals,
    ...(query.edns && {
      edns: {
        udpSize: UDP_SIZE,
        version: 0,
        dnssecOk: query.edns.dnssecOk,
        options: options(query, client, answer, server),
      },
    }),
  };
}

function options(query: Message, client: Client, answer: Answer, { secret, name }: Server): EdnsOption[] {
  const given: EdnsOption[] = answer.ede ? [extendedError(answer.ede)] : [];
  if (name.length > 0 && query.edns?.options.some(({ code }) => code === OPTION.NSID)) {
    given.push({ code: OPTION.NSID, data: name });
  }
  const cookie = cookieOf(query);
  // What the client shows us is not demanded: who has our address asks us from our own node. It is the client that is served
  // by its own part coming back, which nobody else could know.
  if (cookie && isCookie(cookie)) {
    given.push({ code: OPTION.COOKIE, data: answerCookie(cookie, client.ip, secret, Date.now() / 1000) });
  }
  return given;
}

function extendedError({ code, text }: NonNullable<Answer['ede']>): EdnsOption {
  return { code: OPTION.EDE, data: Buffer.concat([Uint8Array.of(code >> 8, code & 0xff), Buffer.from(text)]) };
}

function sizeLimit(query: Message, protocol: DnsProtocol): number {
  if (protocol === 'tcp') return MAX_MESSAGE;
  return Math.min(Math.max(query.edns?.udpSize ?? PLAIN_UDP_SIZE, PLAIN_UDP_SIZE), UDP_SIZE);
}
