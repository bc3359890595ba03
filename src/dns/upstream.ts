// Room dns: one exchange with one upstream resolver: UDP, and TCP when the answer says that it was cut.
import { randomInt } from 'node:crypto';
import { type Message, type Name, type Question, RCODE } from '../wire/dns/message.ts';
import { lowerName } from '../wire/dns/name.ts';
import { decodeMessage } from '../wire/dns/reader.ts';
import { encodeMessage, queryMessage } from '../wire/dns/writer.ts';
import { Frames, frame } from './tcp-frames.ts';
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

/** Rejects when no answer to this question came in `timeout` milliseconds, or when the upstream cannot be reached. */
export async function exchange(
  upstream: UpstreamAddress,
  question: UpstreamQuestion,
  timeout: number,
): Promise<Message> {
  const query = queryMessage(randomInt(0x10000), question.name, question.type, {
    recursionDesired: question.recursionDesired,
    checkingDisabled: question.checkingDisabled,
    edns: { udpSize: UDP_SIZE, version: 0, dnssecOk: question.dnssecOk, options: [] },
  });
  const deadline = performance.now() + timeout;
  let answer = await overUdp(upstream, query, timeout);
  if (answer.rcode === RCODE.FORMERR && !answer.edns) {
    // RFC 6891 section 7: it does not know EDNS.
    const { edns: _, ...plain } = query;
    answer = await overUdp(upstream, plain, deadline - performance.now());
  }
  return answer.truncated ? overTcp(upstream, query, deadline - performance.now()) : answer;
}

function overUdp(upstream: UpstreamAddress, query: Message, timeout: number): Promise<Message> {
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
      if (answer) finish(() => resolve(answer));
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
