// Room dns: one exchange with one upstream resolver: UDP, and TCP when the answer says that it was cut.
import { randomInt } from 'node:crypto';
import { type Message, type Name, type Question, RCODE } from '../wire/dns/message.ts';
import { lowerName } from '../wire/dns/name.ts';
import { decodeMessage } from '../wire/dns/reader.ts';
import { encodeMessage, queryMessage } from '../wire/dns/writer.ts';
import { Frames, frame } from './tcp-frames.ts';
import type { UpstreamCookie } from './upstream-cookie.ts';
import { tcpSocket, type UpstreamAddress, udpSocket } from './upstream-socket.ts';

/** What we say we can take over UDP: fits the smallest MTU of common links unfragmented (DNS flag day 2020). */
export const UDP_SIZE = 1232;

export interface UpstreamQuestion {
  readonly name: Name;
  readonly type: number;
  readonly recursionDesired: boolean;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
}

export interface ExchangeOptions {
  /** Milliseconds. */
  readonly timeout: number;
  /** Shown to the upstream, and looked for in its answers; absent: neither. */
  readonly cookie?: UpstreamCookie;
}

/** Rejects when no answer to this question came in time, or when the upstream cannot be reached. */
export async function exchange(
  upstream: UpstreamAddress,
  question: UpstreamQuestion,
  { timeout, cookie }: ExchangeOptions,
): Promise<Message> {
  const deadline = performance.now() + timeout;
  const left = () => deadline - performance.now();
  let query = queryFor(question, cookie);
  let answer = await overUdp(upstream, query, timeout, cookie);
  if (answer.rcode === RCODE.BADCOOKIE) {
    // RFC 7873 section 5.3: it has given a cookie that is good, for the second try.
    query = queryFor(question, cookie);
    answer = await overUdp(upstream, query, left(), cookie);
  }
  if (answer.rcode === RCODE.FORMERR) {
    // RFC 6891 section 7: it does not know EDNS, or not what we say in it.
    const { edns: _, ...plain } = query;
    answer = await overUdp(upstream, plain, left());
    return answer.truncated ? overTcp(upstream, plain, left()) : answer;
  }
  const unproven = answer.rcode === RCODE.BADCOOKIE || cookie?.judge(query, answer) === 'missing';
  if (!answer.truncated && !unproven) return answer;
  answer = await overTcp(upstream, query, left());
  if (cookie?.judge(query, answer) === 'missing') cookie.forget();
  if (answer.rcode === RCODE.BADCOOKIE) throw new Error('it takes none of its own cookies');
  return answer;
}

function queryFor(question: UpstreamQuestion, cookie: UpstreamCookie | undefined): Message {
  const { name, type, recursionDesired, checkingDisabled, dnssecOk } = question;
  const options = cookie ? [cookie.option(performance.now())] : [];
  return queryMessage(randomInt(0x10000), name, type, {
    recursionDesired,
    checkingDisabled,
    edns: { udpSize: UDP_SIZE, version: 0, dnssecOk, options },
  });
}

function overUdp(
  upstream: UpstreamAddress,
  query: Message,
  timeout: number,
  cookie?: UpstreamCookie,
): Promise<Message> {
  return new Promise((resolve, reject) => {
    const socket = udpSocket(upstream);
    let finished = false;
    const finish = (settle: () => void) => {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      socket.close();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(new Error('timeout'))), timeout);
    const fail = (error: Error) => finish(() => reject(error));
    socket.on('error', fail);
    // What is no answer to our question is somebody's attempt to make us believe it: wait on.
    socket.on('message', (bytes) => {
      const answer = answerTo(query, bytes);
      if (answer && cookie?.judge(query, answer) !== 'forged') finish(() => resolve(answer));
    });
    socket.connect(upstream.port, upstream.ip, (error?: Error) => {
      if (error) fail(error);
      else if (!finished) socket.send(encodeMessage(query));
    });
  });
}

function overTcp(upstream: UpstreamAddress, query: Message, timeout: number): Promise<Message> {
  return new Promise((resolve, reject) => {
    const socket = tcpSocket(upstream);
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.removeAllListeners('close');
      socket.destroy();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(new Error('timeout'))), Math.max(1, timeout));
    const frames = new Frames((bytes) => {
      const answer = answerTo(query, bytes);
      if (answer) finish(() => resolve(answer));
    });
    socket.on('data', (chunk: Buffer) => frames.push(chunk));
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('close', () => finish(() => reject(new Error('closed without an answer'))));
    socket.write(frame(encodeMessage(query)));
  });
}

function answerTo(query: Message, bytes: Uint8Array): Message | undefined {
  const answer = decodeMessage(bytes);
  if ('malformed' in answer || !answer.response || answer.id !== query.id) return undefined;
  return sameQuestion(query.questions[0]!, answer.questions) ? answer : undefined;
}

function sameQuestion(asked: Question, answered: readonly Question[]): boolean {
  const [question] = answered;
  if (!question || answered.length !== 1 || question.type !== asked.type || question.class !== asked.class)
    return false;
  return lowerName(question.name) === lowerName(asked.name);
}
