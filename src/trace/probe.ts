// Room trace: one packet sent on purpose from a pod's or a node's namespace, and what came of it.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { familyOf, type IP } from '../addr/ip.ts';
import { SysError } from '../sys/ffi.ts';
import { socketIn } from '../sys/netns.ts';
import { bindSocket, SOL, setSocketOption, socketPort } from '../sys/socket.ts';

export interface Probe {
  /** Path of the network namespace that sends; absent: the calling thread's. */
  readonly netns?: string;
  readonly to: IP;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Under which address it is sent; absent: the kernel's choice. */
  readonly from?: IP;
  /** From which port; absent: one that is free. */
  readonly fromPort?: number;
  /** Directory of the cgroup (version 2) of which the socket is to be, where Services are translated at the socket. */
  readonly cgroup?: string;
  /** What is sent; over TCP an answer is waited for only where it is given. */
  readonly payload?: string;
  /** How long an answer is waited for; absent: 2 s. */
  readonly timeoutMs?: number;
}

/**
 * `connected`: TCP has connected, UDP was answered. `refused`: a reset for the SYN, or ICMP port unreachable. `reset`: after it was connected.
 * `unreachable`: no route, or ICMP says so.
 */
export type ProbeOutcome = 'connected' | 'refused' | 'reset' | 'unreachable' | 'no answer';

export interface ProbeResult {
  readonly outcome: ProbeOutcome;
  readonly fromPort: number;
  /** The first bytes that came back. */
  readonly answer?: string;
  readonly milliseconds: number;
}

/** A probe whose port is known before anything is sent: who wants to follow it gets ready in between. Send it once, or close it; closed
 * while it is under way, it ends without an answer. */
export interface OpenProbe {
  readonly fromPort: number;
  send(): Promise<ProbeResult>;
  close(): void;
}

/** UDP is told that there is no way, too (ip(7)). */
const IP_RECVERR = 11;
const IPV6_RECVERR = 25;
const TIMEOUT_MS = 2000;
const UDP_PAYLOAD = 'podwire?\n';

/** Never rejects for what happens to the packet. Throws a SysError when there is no such namespace, or no socket to be had. */
export async function probe(wanted: Probe): Promise<ProbeResult> {
  return openProbe(wanted).send();
}

export function openProbe(wanted: Probe): OpenProbe {
  const { netns, to, protocol, from, fromPort = 0, cgroup, timeoutMs = TIMEOUT_MS } = wanted;
  const v6 = familyOf(to) === 6;
  const open = () => socketIn(netns, v6 ? 'inet6' : 'inet', protocol === 'TCP' ? 'stream' : 'dgram');
  const fd = cgroup === undefined ? open() : inCgroup(cgroup, open);
  const socket = protocol === 'TCP' ? adoptTcp(fd) : createSocket(v6 ? 'udp6' : 'udp4');
  let closed = false;
  const end = Promise.withResolvers<Ending>();
  const close = () => {
    end.resolve({ outcome: 'no answer' });
    if (closed) return;
    closed = true;
    if (socket instanceof Socket) socket.destroy();
    else socket.close();
  };
  try {
    if (protocol === 'UDP') setSocketOption(fd, v6 ? SOL.IPV6 : SOL.IP, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
    bindSocket(fd, from ?? (v6 ? '::' : '0.0.0.0'), fromPort);
    if (!(socket instanceof Socket)) socket.bind({ fd, exclusive: true });
  } catch (error) {
    close();
    throw error;
  }
  const port = socketPort(fd);
  return {
    fromPort: port,
    close,
    async send() {
      const began = performance.now();
      // After a pause of our own the timer comes before what has arrived long since.
      const limit = setTimeout(() => setImmediate(close), timeoutMs);
      if (socket instanceof Socket) sendTcp(socket, wanted, end.resolve);
      else sendUdp(socket, wanted, end.resolve, () => closed);
      const ending = await end.promise;
      clearTimeout(limit);
      close();
      return { ...ending, fromPort: port, milliseconds: Math.round((performance.now() - began) * 100) / 100 };
    },
  };
}

type Ending = Pick<ProbeResult, 'outcome' | 'answer'>;

function adoptTcp(fd: number): Socket {
  return new Socket({ fd, manualStart: true } as { fd: number });
}

function sendTcp(socket: Socket, { to, port, payload }: Probe, done: (ending: Ending) => void): void {
  let connected = false;
  socket.on('error', (error: NodeJS.ErrnoException) => done({ outcome: outcomeOf(error, connected) }));
  socket.on('connect', () => {
    connected = true;
    if (payload === undefined) done({ outcome: 'connected' });
    else socket.write(payload);
  });
  socket.on('data', (data) => done({ outcome: 'connected', answer: String(data) }));
  socket.on('end', () => done({ outcome: 'connected' }));
  socket.connect({ host: to, port });
}

function sendUdp(
  socket: UdpSocket,
  { to, port, payload = UDP_PAYLOAD }: Probe,
  done: (ending: Ending) => void,
  isClosed: () => boolean,
): void {
  // EPERM: a rule of the sender's own namespace took it. Where that is a refusal, it is told next.
  const fail = (error?: NodeJS.ErrnoException | null) =>
    error && error.code !== 'EPERM' && done({ outcome: outcomeOf(error, false) });
  socket.on('error', fail);
  socket.on('message', (data) => done({ outcome: 'connected', answer: String(data) }));
  // A connected socket is told of ICMP errors. Where sockets are translated, connect() itself may be refused.
  socket.on('connect', () => isClosed() || socket.send(payload, fail));
  socket.connect(port, to);
}

function outcomeOf({ code }: NodeJS.ErrnoException, connected: boolean): ProbeOutcome {
  if (connected) return 'reset';
  if (code === 'ECONNREFUSED' || code === 'ECONNRESET') return 'refused';
  if (code === 'ETIMEDOUT') return 'no answer';
  return 'unreachable';
}

/** A socket stays of the cgroup in which it was made; the process comes back at once. */
function inCgroup<T>(directory: string, fn: () => T): T {
  const own = /^0::\/?(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  if (own === undefined) throw new SysError('cgroup', 95, 'no cgroup version 2');
  const root = directory.slice(0, directory.lastIndexOf('/'));
  writeFileSync(`${directory}/cgroup.procs`, `${process.pid}`);
  try {
    return fn();
  } finally {
    writeFileSync(`${root}/${own}/cgroup.procs`, `${process.pid}`);
  }
}
