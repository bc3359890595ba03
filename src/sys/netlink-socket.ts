// Room sys: a netlink socket of any protocol: requests, dumps, batches in one send, and multicast groups.
import { constants } from 'node:os';
import {
  decodeMessages,
  decodeStatus,
  encodeRequests,
  type NetlinkMessage,
  type NetlinkRequest,
  NLM_F,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../wire/netlink/message.ts';
import { closeOwned, own } from './descriptors.ts';
import { lastErrno, libc, retryInterrupted, SysError } from './ffi.ts';
import { NamespacedReceive, NETLINK_LISTEN_ALL_NSID } from './namespaced-receive.ts';
import { inNetns } from './netns.ts';
import { pollReadable } from './poll.ts';
import { callInPool, offHeap, type PoolCall } from './pool-calls.ts';
import { bindRaw, openSocket, SO, SOL, setSocketOption } from './socket.ts';

export const NETLINK = { ROUTE: 0, SOCK_DIAG: 4, NETFILTER: 12 } as const;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
/** The kernel fits dumps to the largest buffer it has seen a receiver bring, up to 32 kB; single messages may be larger. */
const RECEIVE_BYTES = 1 << 18;
/** Requests are answered before send() returns, so an answer that is not there within this never comes. */
const RECEIVE_SECONDS = 10;
/** As much as the kernel puts into one message of a dump. */
const DUMP_BYTES = 1 << 15;
const DEFAULT_SNDBUF = 200_000;

const cSend = libc.func('int64_t send(int fd, const uint8_t *data, size_t length, int flags)');
const cRecv = libc.func('int64_t recv(int fd, uint8_t *data, size_t length, int flags)');

/** A request that the kernel refused; `index` is its place in the batch. */
export class NetlinkError extends SysError {
  override name = 'NetlinkError';
  readonly index: number;
  /** The kernel's own words (NETLINK_EXT_ACK), where it gave some. */
  readonly text: string | undefined;

  constructor(errno: number, index: number, text: string | undefined) {
    super('netlink', errno, text);
    this.index = index;
    this.text = text;
  }
}

/** An answer like another, where somebody asks whether something is there: what called for it costs more to write down than the answer. */
function refusal(message: NetlinkMessage, index: number): NetlinkError {
  const { errno, text } = decodeStatus(message);
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new NetlinkError(errno, index, text);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** One buffer for all sockets of a thread: what is kept beyond the call is copied out. */
let receiveBuffer: Buffer | undefined;

function bufferOfThread(): Buffer {
  receiveBuffer ??= Buffer.allocUnsafeSlow(RECEIVE_BYTES);
  return receiveBuffer;
}

export class NetlinkSocket implements Disposable {
  readonly fd: number;
  #seq = 1;
  #sndbuf = DEFAULT_SNDBUF;
  #closed = false;
  #isInPool = false;
  #namespaced: NamespacedReceive | undefined;

  /** `netns`: path of the namespace whose state it speaks of, or an fd of it; absent: the calling thread's. */
  constructor(protocol: number, netns?: string | number) {
    const open = () => openSocket('netlink', 'raw', protocol, true);
    this.fd = own(netns === undefined ? open() : inNetns(netns, open));
    const timeout = new Uint8Array(BigInt64Array.of(BigInt(RECEIVE_SECONDS), 0n).buffer);
    setSocketOption(this.fd, SOL.SOCKET, SO.RCVTIMEO, timeout);
    setSocketOption(this.fd, SOL.SOCKET, SO.RCVBUFFORCE, 4 << 20);
    setSocketOption(this.fd, SOL.NETLINK, NETLINK_CAP_ACK, 1);
    setSocketOption(this.fd, SOL.NETLINK, NETLINK_EXT_ACK, 1);
    // Unknown attributes and filters in dump requests are errors instead of being passed over (Linux 4.20).
    if (protocol === NETLINK.ROUTE) setSocketOption(this.fd, SOL.NETLINK, NETLINK_GET_STRICT_CHK, 1);
    const address = new Uint8Array(12);
    new DataView(address.buffer).setUint16(0, 16, true);
    bindRaw(this.fd, address);
  }

  /** One request and its acknowledgement; returns the messages that came before it. Throws a NetlinkError. */
  request(request: NetlinkRequest): NetlinkMessage[] {
    const seq = this.#send([{ ...request, flags: request.flags | NLM_F.ACK }]);
    return this.#receiveUntilEnd(seq);
  }

  /** All objects of one kind: `request` is a GET; NLM_F.DUMP is added. A dump that the kernel saw change is taken again. */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    for (let attempt = 0; ; attempt++) {
      const seq = this.#send([{ ...request, flags: request.flags | NLM_F.DUMP }]);
      try {
        const messages = this.#receiveUntilEnd(seq);
        const NLM_F_DUMP_INTR = 0x10;
        if (attempt === 4 || !messages.some((message) => message.flags & NLM_F_DUMP_INTR)) return messages;
      } catch (error) {
        if (attempt === 4 || !(error instanceof SysError) || error.code !== 'EINTR') throw error;
      }
    }
  }

  /**
   * Many requests in one send() with one acknowledgement, on the last. Returns every refusal, in order. rtnetlink goes on
   * after a refused request; an nf_tables batch (BATCH_BEGIN … BATCH_END) applies nothing. `onEcho` is given what requests with
   * NLM_F_ECHO are told back.
   */
  batch(
    requests: readonly NetlinkRequest[],
    onEcho?: (message: NetlinkMessage, index: number) => void,
  ): NetlinkError[] {
    const last = requests.at(-1);
    if (!last) return [];
    const seq = this.#send([...requests.slice(0, -1), { ...last, flags: last.flags | NLM_F.ACK }]);
    const refusals: NetlinkError[] = [];
    for (let done = false; !done; ) {
      for (const message of this.#receive(0)) {
        const index = message.seq - seq;
        if (message.type !== NLMSG_ERROR && index >= 0) onEcho?.(message, index);
        if (message.type !== NLMSG_ERROR || index < 0) continue;
        const { errno, text } = decodeStatus(message);
        if (errno !== 0) refusals.push(new NetlinkError(errno, index, text));
        done ||= index === requests.length - 1;
      }
    }
    return refusals;
  }

  /**
   * One send() of ready-made bytes (sequence numbers and all), then every answer that is queued by the time it returns. For
   * nf_tables batches that carry no NLM_F_ACK: an empty result is success. Throws a SysError, ENOBUFS when answers were lost.
   */
  exchange(bytes: Uint8Array): NetlinkMessage[] {
    this.#sendBytes(bytes);
    const answers: NetlinkMessage[] = [];
    for (let received = this.#receive(MSG_DONTWAIT); received.length > 0; received = this.#receive(MSG_DONTWAIT)) {
      answers.push(...received);
    }
    return answers;
  }

  /** Each request's own answer, in order: its first message or the refusal. For GETs that name one object. */
  ask(requests: readonly NetlinkRequest[]): (NetlinkMessage | NetlinkError | undefined)[] {
    const answers = new Array<NetlinkMessage | NetlinkError | undefined>(requests.length).fill(undefined);
    const seq = this.takeSequence(requests.length);
    for (const message of this.exchange(encodeRequests(requests, seq))) {
      const index = message.seq - seq;
      if (index < 0 || index >= requests.length) continue;
      if (message.type !== NLMSG_ERROR) answers[index] ??= message;
      else answers[index] ??= refusal(message, index);
    }
    return answers;
  }

  /**
   * Like request(), with send() on a pool thread: for what the kernel itself waits in (deleting links). One at a time, and
   * nothing else on this socket meanwhile.
   */
  async requestInPool(request: NetlinkRequest): Promise<void> {
    const seq = this.takeSequence(1);
    const flags = request.flags | NLM_F.ACK;
    await this.#inPool(cSend, offHeap(encodeRequests([{ ...request, flags }], seq)), 0);
    this.#receiveUntilEnd(seq);
  }

  /**
   * Like dump(), piece by piece, with the kernel's walk through its tables on pool threads: a filter that lets nothing pass has the whole
   * of one in a single call. Ends early when the socket is closed. One at a time, and nothing else on this socket meanwhile.
   */
  async *dumpInPool(request: NetlinkRequest): AsyncGenerator<NetlinkMessage[]> {
    const seq = this.takeSequence(1);
    await this.#inPool(cSend, offHeap(encodeRequests([{ ...request, flags: request.flags | NLM_F.DUMP }], seq)), 0);
    const buffer = Buffer.allocUnsafeSlow(DUMP_BYTES);
    while (!this.#closed) {
      const length = await this.#inPool(cRecv, buffer, MSG_TRUNC);
      if (this.#closed) return;
      if (length > buffer.length) throw new SysError('netlink receive', constants.errno.EMSGSIZE, `${length} bytes`);
      const messages = decodeMessages(new Uint8Array(buffer.subarray(0, length))).filter((each) => each.seq === seq);
      const end = messages.find(({ type }) => type === NLMSG_ERROR || type === NLMSG_DONE);
      const { errno, text } = end ? decodeStatus(end) : { errno: 0, text: undefined };
      if (errno !== 0) throw new NetlinkError(errno, 0, text);
      yield end ? messages.slice(0, messages.indexOf(end)) : messages;
      if (end) return;
    }
  }

  /** What is closed meanwhile is closed after it: its number could be somebody else's before the call is made. */
  async #inPool(call: PoolCall, bytes: Uint8Array, flags: number): Promise<number> {
    this.#isInPool = true;
    try {
      return await callInPool(call, this.fd, bytes, flags);
    } finally {
      this.#isInPool = false;
      if (this.#closed) closeOwned(this.fd);
    }
  }

  /** The next `count` sequence numbers are the caller's; returns the first. For use with exchange(). */
  takeSequence(count: number): number {
    const seq = this.#seq;
    this.#seq = seq + count > 0x7fff_ffff ? 1 : seq + count;
    return seq;
  }

  #send(requests: readonly NetlinkRequest[]): number {
    const seq = this.takeSequence(requests.length);
    this.#sendBytes(encodeRequests(requests, seq));
    return seq;
  }

  #sendBytes(bytes: Uint8Array): void {
    if (bytes.length > this.#sndbuf / 2) {
      // A netlink message is one skb: the send buffer must hold it whole, with the kernel's own overhead.
      this.#sndbuf = bytes.length * 2 + DEFAULT_SNDBUF;
      setSocketOption(this.fd, SOL.SOCKET, SO.SNDBUFFORCE, this.#sndbuf);
    }
    const sent = retryInterrupted(() => Number(cSend(this.fd, bytes, bytes.length, 0)));
    if (sent === -1) throw new SysError('netlink send', lastErrno(), `${bytes.length} bytes`);
  }

  /** The messages of one datagram, copied; none when `flags` says not to wait and nothing is queued. */
  #receive(flags: number): NetlinkMessage[] {
    const buffer = bufferOfThread();
    const receive = () =>
      this.#namespaced?.receive(this.fd, flags | MSG_TRUNC) ??
      Number(cRecv(this.fd, buffer, buffer.length, flags | MSG_TRUNC));
    const length = retryInterrupted(receive);
    if (length === -1) {
      const errno = lastErrno();
      if (errno === constants.errno.EAGAIN && flags & MSG_DONTWAIT) return [];
      throw new SysError('netlink receive', errno === constants.errno.EAGAIN ? constants.errno.ETIMEDOUT : errno);
    }
    if (length > buffer.length) throw new SysError('netlink receive', constants.errno.EMSGSIZE, `${length} bytes`);
    return decodeMessages(new Uint8Array(buffer.subarray(0, length)));
  }

  #receiveUntilEnd(seq: number): NetlinkMessage[] {
    const messages: NetlinkMessage[] = [];
    for (;;) {
      for (const message of this.#receive(0)) {
        // What a failed earlier call left in the queue.
        if (message.seq !== seq) continue;
        if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) {
          messages.push(message);
          continue;
        }
        const { errno, text } = decodeStatus(message);
        if (errno !== 0) throw new NetlinkError(errno, 0, text);
        return messages;
      }
    }
  }

  /**
   * Joins multicast groups and hands every message on as it comes, until stop() or close(). `onLoss` is called when the kernel
   * had to drop messages: read the state anew. A socket that listens should do nothing else. With `elsewhere` it hears the
   * namespaces that have an id in its own too (those of veths' far ends do), and `nsid` is that id.
   */
  subscribe(
    groups: readonly number[],
    onMessage: (message: NetlinkMessage, nsid: number | undefined) => void,
    onLoss: () => void,
    options: { readonly elsewhere?: boolean } = {},
  ): () => void {
    if (options.elsewhere) {
      setSocketOption(this.fd, SOL.NETLINK, NETLINK_LISTEN_ALL_NSID, 1);
      this.#namespaced = new NamespacedReceive(bufferOfThread());
    }
    for (const group of groups) setSocketOption(this.fd, SOL.NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    const handle = pollReadable(this.fd, () => {
      while (listening.has(handle)) {
        try {
          const messages = this.#receive(MSG_DONTWAIT);
          if (messages.length === 0) return;
          const nsid = this.#namespaced?.nsid;
          for (const message of messages) onMessage(message, nsid);
        } catch (error) {
          if (!(error instanceof SysError) || error.code !== 'ENOBUFS') throw error;
          onLoss();
        }
      }
    });
    listening.add(handle);
    return () => {
      if (listening.delete(handle)) handle.close();
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#isInPool) closeOwned(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** koffi closes a poll handle silently when it is collected. */
const listening = new Set<object>();
