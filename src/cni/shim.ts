// Room cni: the thin client as a program of the machine's own: hands a call to the agent, or starts the plugin that needs none.
import { type Architecture, executable, type Memory } from '../wire/elf/executable.ts';
import type { Machine, Register } from '../wire/elf/machine.ts';
import {
  ACCEPT_SECONDS,
  ACCEPTED,
  ANSWER_SECONDS,
  HEADER_BYTES,
  LONGEST_SOCKET_PATH,
  MAGIC,
  MOST_STRINGS,
  REPLY_BYTES,
} from './call.ts';

export interface ShimOptions {
  readonly architecture: Architecture;
  /** Of the agent; at most LONGEST_SOCKET_PATH bytes. */
  readonly socket: string;
  /** What is started when no agent takes the call: its argument is the name under which the client was started. */
  readonly fallback: string;
  /** An agent that does not take a call in so many is passed over. */
  readonly acceptSeconds?: number;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const AT_FDCWD = -100;
const MFD_CLOEXEC = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SHUT_RD = 0;
const POLLIN = 1;
const POLLOUT = 4;
const EINTR = -4;
const EAGAIN = -11;
/** `struct iovec`, `struct msghdr`, `struct cmsghdr` of 64-bit processors. */
const IOVEC = { base: 0, length: 8, size: 16 };
const MSGHDR = { iov: 16, iovlen: 24, control: 32, controllen: 40, size: 56 };
const CMSGHDR = { length: 0, level: 8, type: 12, data: 16 };
/** Places in the control message. */
const FD = { stdin: 16, net: 20, mounts: 24, container: 28, room: 32 };
const CHUNK = 65_536;

/** About 2 kB, static, with nothing to load. */
export function shimProgram(options: ShimOptions): Uint8Array {
  if (Buffer.byteLength(options.socket) > LONGEST_SOCKET_PATH) {
    throw new RangeError(`the path of a socket has at most ${LONGEST_SOCKET_PATH} bytes: ${options.socket}`);
  }
  return executable(options.architecture, (m, memory) => {
    const shim: Shim = { m, memory, at: placesIn(memory), options };
    gather(shim);
    spool(shim);
    openNamespaces(shim);
    send(shim);
    awaitAcceptance(shim);
    awaitReply(shim);
    print(shim);
    startFallback(shim);
    fail(shim);
  });
}

function placesIn(memory: Memory) {
  return {
    iov: memory.room((MOST_STRINGS + 1) * IOVEC.size),
    message: memory.room(MSGHDR.size),
    control: memory.room(FD.room),
    header: memory.room(HEADER_BYTES),
    poll: memory.room(8),
    timeout: memory.room(16),
    reply: memory.room(REPLY_BYTES),
    argv: memory.room(3 * 8),
    argv0: memory.room(8),
    envp: memory.room(8),
    /** The value of CNI_NETNS. */
    netns: memory.room(8),
    isAdd: memory.room(8),
    /** Bytes of the standard input. */
    length: memory.room(8),
    buffer: memory.room(CHUNK),
  };
}

/** Registers: a the socket, b the memory file with the standard input, f the next place for a string; c, d, e are at hand. */
interface Shim {
  readonly m: Machine;
  readonly memory: Memory;
  readonly at: ReturnType<typeof placesIn>;
  readonly options: ShimOptions;
}

/** Not from `result`, which holds the address. */
function keep(m: Machine, place: number, value: Register): void {
  m.set('result', place).store(8, 'result', 0, value);
}

function recall(m: Machine, to: Register, place: number): void {
  m.set('result', place).load(8, to, 'result', 0);
}

/** Four letters as a word. */
function letters(text: string): number {
  return Buffer.from(text).readInt32LE(0);
}

/** The name of the program and every variable CNI_…, each as a part of the message. */
function gather(shim: Shim): void {
  const { m, memory, at } = shim;
  // The stack begins with argc, then argv with a zero behind it, then the environment.
  m.set('e', 'stack').load(8, 'c', 'e', 0).load(8, 'd', 'e', 8);
  for (let doubled = 1; doubled < 8; doubled *= 2) m.add('c', 'c');
  m.add('c', 'e').add('c', 16);
  keep(m, at.envp, 'c');
  m.jumpIf('d', 'ne', 0, 'named').set('d', memory.text('podwire-cni')).label('named');
  keep(m, at.argv0, 'd');
  m.set('f', at.iov + IOVEC.size);
  addString(shim, 'argv0');

  m.label('variables').load(8, 'd', 'c', 0).add('c', 8).jumpIf('d', 'eq', 0, 'gathered');
  m.load(4, 'result', 'd', 0).jumpIf('result', 'ne', letters('CNI_'), 'variables');
  addString(shim, 'variable');
  m.load(4, 'result', 'd', 4).jumpIf('result', 'eq', letters('NETN'), 'netns');
  m.jumpIf('result', 'ne', letters('COMM'), 'variables');
  m.load(4, 'result', 'd', 8).jumpIf('result', 'ne', letters('AND='), 'variables');
  m.load(4, 'result', 'd', 12).jumpIf('result', 'ne', letters('ADD\0'), 'variables');
  keep(m, at.isAdd, 'd');
  m.jump('variables');
  m.label('netns').load(1, 'result', 'd', 8).jumpIf('result', 'ne', 0x53, 'variables');
  m.load(1, 'result', 'd', 9).jumpIf('result', 'ne', 0x3d, 'variables');
  m.set('e', 'd').add('e', 10);
  keep(m, at.netns, 'e');
  m.jump('variables').label('gathered');
}

/** The string at d, with its zero. */
function addString({ m, at }: Shim, label: string): void {
  m.jumpIf('f', 'eq', at.iov + MOST_STRINGS * IOVEC.size, 'fallback-unread');
  m.set('e', 'd').label(`${label}-end`).load(1, 'result', 'e', 0).add('e', 1);
  m.jumpIf('result', 'ne', 0, `${label}-end`);
  m.subtract('e', 'd').store(8, 'f', IOVEC.base, 'd').store(8, 'f', IOVEC.length, 'e').add('f', IOVEC.size);
  // The header counts them.
  m.set('result', at.header).load(4, 'b', 'result', 4).add('b', 'e').store(4, 'result', 4, 'b');
}

/** The standard input into a memory file, whatever its length: for the agent, and for whoever comes in its place. */
function spool(shim: Shim): void {
  const { m, memory, at } = shim;
  m.call('memfd_create', memory.text('podwire-cni'), MFD_CLOEXEC).jumpIf('result', 'lt', 0, 'fallback-unread');
  m.set('b', 'result').set('f', 0);
  m.label('read').call('read', 0, at.buffer, CHUNK);
  m.jumpIf('result', 'eq', EINTR, 'read').jumpIf('result', 'eq', EAGAIN, 'wait-stdin');
  m.jumpIf('result', 'le', 0, 'spooled');
  m.set('e', 'result').add('f', 'e').set('c', at.buffer);
  m.label('store').call('write', 'b', 'c', 'e').jumpIf('result', 'le', 0, 'fail');
  m.set('d', 'result').add('c', 'd').subtract('e', 'd').jumpIf('e', 'ne', 0, 'store').jump('read');
  m.label('wait-stdin').set('d', 0);
  poll(shim, 'd', POLLIN, 0);
  m.jump('read').label('spooled');
  keep(m, at.length, 'f');
}

/** Waits; without a `timeout`, for ever. */
function poll({ m, at }: Shim, fd: Register, events: number, timeout: number): void {
  m.set('result', at.poll).store(4, 'result', 0, fd).set('e', events).store(4, 'result', 4, 'e');
  m.call('ppoll', at.poll, 1, timeout, 0, 0);
}

function openNamespaces({ m, memory, at }: Shim): void {
  const open = (path: Register | number) => m.call('openat', AT_FDCWD, path, O_CLOEXEC | O_NONBLOCK);
  const putFd = (place: number) => m.set('d', 'result').set('result', at.control).store(4, 'result', place, 'd');
  open(memory.text('/proc/self/ns/net')).jumpIf('result', 'lt', 0, 'fallback');
  putFd(FD.net);
  open(memory.text('/proc/self/ns/mnt')).jumpIf('result', 'lt', 0, 'fallback');
  putFd(FD.mounts);
  m.set('e', FD.container);
  recall(m, 'c', at.netns);
  m.jumpIf('c', 'eq', 0, 'opened').load(1, 'result', 'c', 0).jumpIf('result', 'eq', 0, 'opened');
  open('c').jumpIf('result', 'lt', 0, 'opened');
  putFd(FD.container);
  m.set('e', FD.room);
  // e: the length of the control message.
  m.label('opened').set('result', at.control).store(8, 'result', CMSGHDR.length, 'e').store(4, 'result', FD.stdin, 'b');
}

/** All in one message, so that the agent finds it whole. */
function send({ m, memory, at, options }: Shim): void {
  const address = new Uint8Array(2 + LONGEST_SOCKET_PATH + 1);
  address[0] = AF_UNIX;
  address.set(Buffer.from(options.socket), 2);
  m.call('socket', AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0).jumpIf('result', 'lt', 0, 'fallback');
  m.set('a', 'result');
  m.call('connect', 'a', memory.constant(address), address.length).jumpIf('result', 'lt', 0, 'fallback');
  const put = (width: 4 | 8, place: number, value: number) =>
    m.set('c', place).set('d', value).store(width, 'c', 0, 'd');
  put(4, at.control + CMSGHDR.level, SOL_SOCKET);
  put(4, at.control + CMSGHDR.type, SCM_RIGHTS);
  put(4, at.header, MAGIC);
  put(8, at.iov + IOVEC.base, at.header);
  put(8, at.iov + IOVEC.length, HEADER_BYTES);
  put(8, at.message + MSGHDR.iov, at.iov);
  // Those that are not used are empty.
  put(8, at.message + MSGHDR.iovlen, MOST_STRINGS);
  put(8, at.message + MSGHDR.control, at.control);
  put(8, at.message + MSGHDR.controllen, FD.room);
  m.set('result', at.header).load(4, 'c', 'result', 4).add('c', HEADER_BYTES);
  m.call('sendmsg', 'a', at.message, MSG_NOSIGNAL | MSG_DONTWAIT).jumpIf('result', 'ne', 'c', 'fallback');
}

function awaitAcceptance(shim: Shim): void {
  const { m, at } = shim;
  const { acceptSeconds = ACCEPT_SECONDS } = shim.options;
  m.set('c', at.timeout).set('d', acceptSeconds).store(8, 'c', 0, 'd');
  m.label('await-acceptance');
  poll(shim, 'a', POLLIN, at.timeout);
  m.jumpIf('result', 'eq', EINTR, 'await-acceptance').jumpIf('result', 'eq', 0, 'not-accepted');
  m.call('recvfrom', 'a', at.reply, 1, MSG_DONTWAIT, 0, 0).jumpIf('result', 'eq', EAGAIN, 'await-acceptance');
  m.jumpIf('result', 'ne', 1, 'fallback').jump('check-acceptance');
  // From here on the agent's acceptance cannot reach us; if it came in this very moment, it is in the queue.
  m.label('not-accepted').call('shutdown', 'a', SHUT_RD).call('recvfrom', 'a', at.reply, 1, MSG_DONTWAIT, 0, 0);
  m.jumpIf('result', 'eq', 1, 'lost').jump('fallback');
  m.label('check-acceptance').set('c', at.reply).load(1, 'd', 'c', 0).jumpIf('d', 'ne', ACCEPTED, 'fallback');
}

function awaitReply(shim: Shim): void {
  const { m, at } = shim;
  m.set('c', at.timeout).set('d', ANSWER_SECONDS).store(8, 'c', 0, 'd');
  m.label('await-reply');
  poll(shim, 'a', POLLIN, at.timeout);
  m.jumpIf('result', 'eq', EINTR, 'await-reply').jumpIf('result', 'le', 0, 'lost');
  m.call('recvfrom', 'a', at.reply, REPLY_BYTES, MSG_DONTWAIT, 0, 0).jumpIf('result', 'eq', EAGAIN, 'await-reply');
  m.jumpIf('result', 'ne', REPLY_BYTES, 'lost');
}

/** What the agent has written behind the standard input. */
function print(shim: Shim): void {
  const { m, at } = shim;
  m.set('c', at.reply).load(8, 'f', 'c', 8);
  m.label('copy').call('pread64', 'b', at.buffer, CHUNK, 'f').jumpIf('result', 'le', 0, 'printed');
  m.set('d', 'result').add('f', 'd').set('c', at.buffer);
  m.label('print').call('write', 1, 'c', 'd').jumpIf('result', 'eq', EINTR, 'print');
  m.jumpIf('result', 'eq', EAGAIN, 'wait-stdout').jumpIf('result', 'le', 0, 'unprinted');
  m.set('e', 'result').add('c', 'e').subtract('d', 'e').jumpIf('d', 'ne', 0, 'print').jump('copy');
  m.label('wait-stdout').set('b', 1);
  // b is needed again: the memory file stands in the control message too.
  poll(shim, 'b', POLLOUT, 0);
  m.set('result', at.control).load(4, 'b', 'result', FD.stdin).jump('print');
  m.label('printed').set('c', at.reply).load(8, 'd', 'c', 0).call('exit_group', 'd');
  m.label('unprinted').call('exit_group', 1);
}

/** An agent that ended in the middle: an ADD is not to be done twice, the other verbs may be. */
function startFallback({ m, memory, at, options }: Shim): void {
  m.label('lost');
  recall(m, 'c', at.isAdd);
  m.jumpIf('c', 'ne', 0, 'tell-lost').label('fallback');
  recall(m, 'd', at.length);
  // What the agent may have begun to write behind it.
  m.call('ftruncate', 'b', 'd').call('lseek', 'b', 0, 0).call('dup3', 'b', 0, 0);
  m.label('fallback-unread').set('c', at.argv).set('d', memory.text(options.fallback)).store(8, 'c', 0, 'd');
  recall(m, 'e', at.argv0);
  m.store(8, 'c', 8, 'e');
  recall(m, 'e', at.envp);
  m.call('execve', 'd', 'c', 'e');
}

function fail(shim: Shim): void {
  const { m, options } = shim;
  const code = { io: 5, tryLater: 11 };
  m.label('fail');
  tell(shim, code.io, `no agent takes calls at ${options.socket}, and ${options.fallback} cannot be started`);
  m.label('tell-lost');
  tell(shim, code.tryLater, `the agent at ${options.socket} ended or hung in the middle of ADD`);
}

function tell({ m, memory }: Shim, code: number, msg: string): void {
  const text = Buffer.from(`${JSON.stringify({ cniVersion: '1.1.0', code, msg })}\n`);
  m.call('write', 1, memory.constant(text), text.length).call('exit_group', 1);
}
