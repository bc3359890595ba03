// One end of a measured conversation, in a process of its own: blocking sockets, so that nothing but the path is in the figures.
import { closeSync } from 'node:fs';
import { check, lastErrno, libc, SysError } from '../src/sys/ffi.ts';
import { inNetns } from '../src/sys/netns.ts';
import { bindSocket, openSocket, SO, SOL, setSocketOption, socketAddress } from '../src/sys/socket.ts';

/**
 * `rr`: one byte there and back on one connection; `crr`: connect, one byte there and back, reset; `bulk`: one stream. A reset, for a
 * connection that is closed keeps its port for a minute: tens of thousands later there would be none left.
 */
export type Kind = 'rr' | 'crr' | 'bulk';

export type Order =
  | { readonly op: 'listen'; readonly netns: string; readonly ip: string; readonly port: number }
  /** Answers when the client has said that it was the last. */
  | { readonly op: 'serve'; readonly listener: number; readonly kind: Kind }
  | {
      readonly op: 'send';
      readonly netns: string;
      readonly ip: string;
      readonly port: number;
      readonly kind: Kind;
      readonly ms: number;
    };

const TCP_NODELAY = 1;
const SO_LINGER = 13;
const EINTR = 4;
const ECONNRESET = 104;
const CHUNK = 256 * 1024;
const cConnect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const cAccept = libc.func('int accept(int fd, void *address, void *length)');
const cSend = libc.func('int64_t send(int fd, const uint8_t *buffer, size_t length, int flags)');
const cRecv = libc.func('int64_t recv(int fd, uint8_t *buffer, size_t length, int flags)');
const cListen = libc.func('int listen(int fd, int backlog)');
const cAffinity = libc.func('int sched_setaffinity(int pid, size_t length, const uint8_t *mask)');
const byte = Buffer.allocUnsafeSlow(1).fill('x');
const chunk = Buffer.allocUnsafeSlow(CHUNK).fill('x');
/** struct linger: on, for no time. */
const RESET = new Uint8Array(Int32Array.of(1, 0).buffer);
/** What a client's last connection sends. */
const LAST = 'z'.charCodeAt(0);

function send(fd: number, buffer: Uint8Array): void {
  for (let left = buffer.length; left > 0; ) left -= check(Number(cSend(fd, buffer, left, 0)), 'send');
}

/** Bytes read; 0 at the end, a reset too. */
function receive(fd: number, buffer: Uint8Array): number {
  const length = Number(cRecv(fd, buffer, buffer.length, 0));
  return length === -1 && lastErrno() === ECONNRESET ? 0 : check(length, 'recv');
}

function listen(ip: string, port: number): number {
  const fd = openSocket(ip.includes(':') ? 'inet6' : 'inet', 'stream', 0, true);
  setSocketOption(fd, SOL.SOCKET, SO.REUSEADDR, 1);
  bindSocket(fd, ip, port);
  check(cListen(fd, 128), 'listen');
  return fd;
}

function accept(listener: number): number {
  for (;;) {
    const fd = cAccept(listener, null, null) as number;
    if (fd >= 0) return fd;
    if (lastErrno() !== EINTR) throw new SysError('accept', lastErrno());
  }
}

function serve(listener: number, kind: Kind): void {
  for (let last = false; !last; ) {
    const fd = accept(listener);
    setSocketOption(fd, SOL.TCP, TCP_NODELAY, 1);
    last = kind !== 'crr';
    while (receive(fd, kind === 'bulk' ? chunk : byte) > 0) {
      if (kind === 'crr' && byte[0] === LAST) last = true;
      if (kind !== 'bulk') send(fd, byte);
    }
    closeSync(fd);
  }
}

function connect(ip: string, port: number): number {
  const fd = openSocket(ip.includes(':') ? 'inet6' : 'inet', 'stream', 0, true);
  setSocketOption(fd, SOL.TCP, TCP_NODELAY, 1);
  const address = socketAddress(ip, port);
  check(cConnect(fd, address, address.length), 'connect', `${ip} port ${port}`);
  return fd;
}

/** Round trips, connections or bytes a second. */
function measure({ ip, port, kind, ms }: Extract<Order, { op: 'send' }>): number {
  byte[0] = 0;
  let count = 0;
  const start = performance.now();
  const end = start + ms;
  if (kind === 'crr') {
    let now = start;
    while (now < end) {
      now = performance.now();
      byte[0] = now < end ? 0 : LAST;
      const fd = connect(ip, port);
      send(fd, byte);
      receive(fd, byte);
      setSocketOption(fd, SOL.SOCKET, SO_LINGER, RESET);
      closeSync(fd);
      count++;
    }
    return (count * 1000) / (performance.now() - start);
  }
  const fd = connect(ip, port);
  while (performance.now() < end) {
    send(fd, kind === 'bulk' ? chunk : byte);
    if (kind === 'rr') receive(fd, byte);
    count += kind === 'bulk' ? chunk.length : 1;
  }
  const took = performance.now() - start;
  closeSync(fd);
  return (count * 1000) / took;
}

function obey(order: Order): number {
  if (order.op === 'listen') return inNetns(order.netns, () => listen(order.ip, order.port));
  if (order.op === 'send') return inNetns(order.netns, () => measure(order));
  serve(order.listener, order.kind);
  return 0;
}

if (process.send) {
  const cpu = process.env['BENCH_CPU'];
  if (cpu) check(cAffinity(0, 8, Uint8Array.of(1 << Number(cpu), 0, 0, 0, 0, 0, 0, 0)), 'sched_setaffinity');
  process.on('message', (order: Order) => {
    try {
      process.send!({ value: obey(order) });
    } catch (error) {
      process.send!({ problem: String(error) });
    }
  });
}
