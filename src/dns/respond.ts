// Room dns: a packet to its answer: what the protocol itself demands, then the chain, then bytes again.
import type { Logger } from '../observe/log.ts';
import {
  CLASS,
  type EdnsOption,
  type Malformed,
  type Message,
  OPCODE,
  OPTION,
  type Question,
  RCODE,
  TYPE,
} from '../wire/dns/message.ts';
import { lowerName } from '../wire/dns/name.ts';
import { decodeMessage } from '../wire/dns/reader.ts';
import { encodeMessage, MAX_MESSAGE, queryMessage } from '../wire/dns/writer.ts';
import type { Resolver } from './chain.ts';
import { type Answer, failed } from './query.ts';
import type { DnsProtocol, DnsStats } from './stats.ts';
import { UDP_SIZE } from './upstream.ts';

/** The largest answer over UDP to who does not speak EDNS (RFC 1035 section 4.2.1). */
const PLAIN_UDP_SIZE = 512;

/** Undefined: the packet deserves no answer. */
export type Respond = (packet: Uint8Array, protocol: DnsProtocol) => Buffer | undefined | Promise<Buffer>;

export function responder(resolve: Resolver, stats: DnsStats, log: Logger): Respond {
  return (packet, protocol) => {
    const start = performance.now();
    const finish = (query: Message, answer: Answer) => {
      const bytes = encodeMessage(response(query, answer), sizeLimit(query, protocol));
      stats.answered(protocol, answer.rcode, performance.now() - start);
      return bytes;
    };
    const message = decodeMessage(packet);
    const query = 'malformed' in message ? shell(message) : message;
    // Answering an answer would let two servers talk for ever.
    if (!query || query.response) {
      stats.dropped();
      return undefined;
    }
    const refusal = 'malformed' in message ? RCODE.FORMERR : refusalOf(message);
    if (refusal !== undefined) return finish(query, failed(refusal));
    try {
      const answer = ask(resolve, query);
      if (!(answer instanceof Promise)) return finish(query, answer);
      return answer.then((later) => finish(query, later)).catch((error) => finish(query, broken(log, query, error)));
    } catch (error) {
      return finish(query, broken(log, query, error));
    }
  };
}

function ask(resolve: Resolver, query: Message): Answer | Promise<Answer> {
  const { name, type } = query.questions[0]!;
  return resolve({
    name,
    lower: lowerName(name),
    type,
    recursionDesired: query.recursionDesired,
    dnssecOk: query.edns?.dnssecOk ?? false,
    checkingDisabled: query.checkingDisabled,
  });
}

function broken(log: Logger, query: Message, error: unknown): Answer {
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
  // RFC 9619: a query has one question.
  if (query.questions.length !== 1) return RCODE.FORMERR;
  if ((query.edns?.version ?? 0) > 0) return RCODE.BADVERS;
  return refusalOfQuestion(query.questions[0]!);
}

function refusalOfQuestion(question: Question): number | undefined {
  if (question.type === TYPE.OPT) return RCODE.FORMERR;
  if (question.class !== CLASS.IN) return RCODE.REFUSED;
  if (question.type === TYPE.AXFR || question.type === TYPE.IXFR) return RCODE.REFUSED;
  // RFC 6895 section 3.1: 128 to 254 are no data but other requests (TKEY, TSIG, MAILA …).
  if (question.type >= 128 && question.type < TYPE.ANY) return RCODE.NOTIMP;
  return undefined;
}

function response(query: Message, answer: Answer): Message {
  const options: EdnsOption[] = answer.ede ? [extendedError(answer.ede)] : [];
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
    ...(query.edns && { edns: { udpSize: UDP_SIZE, version: 0, dnssecOk: query.edns.dnssecOk, options } }),
  };
}

function extendedError({ code, text }: NonNullable<Answer['ede']>): EdnsOption {
  return { code: OPTION.EDE, data: Buffer.concat([Uint8Array.of(code >> 8, code & 0xff), Buffer.from(text)]) };
}

function sizeLimit(query: Message, protocol: DnsProtocol): number {
  if (protocol === 'tcp') return MAX_MESSAGE;
  return Math.min(Math.max(query.edns?.udpSize ?? PLAIN_UDP_SIZE, PLAIN_UDP_SIZE), UDP_SIZE);
}
