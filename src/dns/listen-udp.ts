// Room dns: the server's UDP side: datagrams by the batch; what was asked before is answered without being read.
import { closeSync } from 'node:fs';
import { familyOf, type IP } from '../addr/ip.ts';
import { DATAGRAM_ROOM, type Datagrams, serveDatagrams } from '../sys/datagrams.ts';
import { SysError } from '../sys/ffi.ts';
import { bindSocket, openSocket, SO, SOL, setSocketOption, socketPort } from '../sys/socket.ts';
import { serveDgram } from './listen-dgram.ts';
import type { Listener } from './listener.ts';
import type { PacketCache } from './packet-cache.ts';
import type { Respond } from './respond.ts';
import type { DnsStats } from './stats.ts';

/** Bytes: a burst of some thousand questions while the thread is busy elsewhere. */
const RECEIVE_BUFFER = 1 << 20;

/** Answers that are ready, and where they are counted. */
export interface Ready {
  readonly packets: PacketCache;
  readonly stats: DnsStats;
}

export interface UdpOptions {
  readonly ready?: Ready;
  /** Without batches: as on a machine that has no calls for them. */
  readonly plain?: boolean;
}

/**
 * Answers on `ip` in the calling thread's network namespace, whether or not the address is there yet. Throws a SysError
 * (EADDRINUSE …). Answers leave with the address that was asked, as the socket is bound to it.
 */
export function listenUdp(ip: IP, port: number, respond: Respond, { ready, plain }: UdpOptions = {}): Listener {
  const v6 = familyOf(ip) === 6;
  const fd = openSocket(v6 ? 'inet6' : 'inet', 'dgram');
  try {
    receiveBuffer(fd);
    bindSocket(fd, ip, port, { freeBind: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  if (plain) return serveDgram(fd, v6, respond);
  const bound = socketPort(fd);
  let datagrams: Datagrams;
  try {
    datagrams = serveBatches(fd, v6, respond, ready);
  } catch (error) {
    if (error instanceof SysError) return serveDgram(fd, v6, respond);
    closeSync(fd);
    throw error;
  }
  return { port: bound, close: () => datagrams.close() };
}

/** As large as the machine allows, and as we want when we are root. */
function receiveBuffer(fd: number): void {
  try {
    setSocketOption(fd, SOL.SOCKET, SO.RCVBUFFORCE, RECEIVE_BUFFER);
  } catch (error) {
    if (!(error instanceof SysError) || error.code !== 'EPERM') throw error;
    setSocketOption(fd, SOL.SOCKET, SO.RCVBUF, RECEIVE_BUFFER);
  }
}

function serveBatches(fd: number, v6: boolean, respond: Respond, ready: Ready | undefined): Datagrams {
  const family = v6 ? 'v6' : 'v4';
  let began = 0;
  let known = 0;
  const datagrams = serveDatagrams(fd, v6, {
    begin() {
      began = performance.now();
      known = 0;
      if (ready) ready.packets.now = began;
    },
    packet(memory, start, end, answer, from) {
      const length = ready?.packets.answer(memory, start, end, answer, family) ?? 0;
      if (length > 0) {
        known++;
        ready!.stats.requestSizes.udp.observe(end - start);
        ready!.stats.responseSizes.udp.observe(length);
        return length;
      }
      const sender = from();
      const made = respond(memory.bytes.slice(start, end), 'udp', sender);
      if (made instanceof Promise) {
        void made.then((later) => datagrams.send(later, sender));
        return 0;
      }
      if (!made) return 0;
      if (made.length > DATAGRAM_ROOM) {
        datagrams.send(made, sender);
        return 0;
      }
      memory.bytes.set(made, answer);
      return made.length;
    },
    end() {
      if (known > 0) ready!.stats.latency.observe((performance.now() - began) / 1000, known);
    },
  });
  return datagrams;
}
