// Room sys: ICMP echo (RFC 792, RFC 4443) with packets that may not be cut in pieces, over a raw socket.
import { closeSync } from 'node:fs';
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import { sendDatagram, setDiscovery } from './datagram.ts';
import { closeOwned, own } from './descriptors.ts';
import { libc } from './ffi.ts';
import { socketIn } from './netns.ts';
import { pollReadable } from './poll.ts';
import { bindRaw, SOL, setSocketOption, socketAddress } from './socket.ts';

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const ECHO = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
const IPV6_DONTFRAG = 62;
const HEADER = 8;
const MSG_DONTWAIT = 0x40;

const cRecv = libc.func('int64_t recv(int fd, uint8_t *data, size_t length, int flags)');
/** Of IPv6, ICMP6_FILTER is a mask of what is blocked, with a bit a type. */
const ICMP6_FILTER = 1;

export interface Echo {
  /** A request in an IP packet of `size` bytes. Not sent at all where that is beyond the link's MTU. */
  send(to: IP, size: number, sequence: number): void;
  close(): void;
}

/** `local`: the address from which requests go. `onReply` hears the sequence numbers that come back. */
export function openEcho(local: IP, netns: string | undefined, onReply: (sequence: number) => void): Echo {
  const family = familyOf(local);
  const fd = socketIn(netns, family === 4 ? 'inet' : 'inet6', 'raw', family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  try {
    setDiscovery(fd, local, 'try');
    if (family === 6) setSocketOption(fd, SOL.IPV6, IPV6_DONTFRAG, 1);
    setFilter(fd, family);
    bindRaw(fd, socketAddress(local, 0));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  // Whoever asks from the same namespace hears our replies too.
  const id = Math.floor(Math.random() * 0x10000);
  const buffer = Buffer.allocUnsafeSlow(256);
  const handle = pollReadable(fd, () => {
    for (let length = receive(fd, buffer); length > 0 && open.has(handle); length = receive(fd, buffer)) {
      const at = family === 4 ? (buffer[0]! & 15) * 4 : 0;
      if (length < at + HEADER || buffer[at] !== ECHO[family].reply || buffer.readUInt16BE(at + 4) !== id) continue;
      onReply(buffer.readUInt16BE(at + 6));
    }
  });
  open.add(handle);
  own(fd);
  return {
    send(to, size, sequence) {
      sendDatagram(fd, request(family, size, id, sequence), to, 0);
    },
    close() {
      if (!open.delete(handle)) return;
      handle.close();
      closeOwned(fd);
    },
  };
}

function setFilter(fd: number, family: Family): void {
  const blocked = new Uint32Array(family === 4 ? 1 : 8).fill(0xffff_ffff);
  const { reply } = ECHO[family];
  blocked[reply >> 5] = ~(1 << (reply & 31));
  if (family === 4) setSocketOption(fd, SOL_RAW, ICMP_FILTER, new Uint8Array(blocked.buffer));
  else setSocketOption(fd, IPPROTO_ICMPV6, ICMP6_FILTER, new Uint8Array(blocked.buffer));
}

/** The length of what is read, cut off to the buffer; -1: there is nothing, or an error that ICMP reported, which is taken by reading. */
function receive(fd: number, buffer: Buffer): number {
  return Number(cRecv(fd, buffer, buffer.length, MSG_DONTWAIT));
}

/** The kernel fills in the checksum of ICMPv6 alone. */
function request(family: Family, size: number, id: number, sequence: number): Buffer {
  const packet = Buffer.alloc(size - (family === 4 ? 20 : 40));
  packet[0] = ECHO[family].request;
  packet.writeUInt16BE(id, 4);
  packet.writeUInt16BE(sequence, 6);
  if (family === 4) {
    // All else is zero.
    const sum = (packet[0] << 8) + id + sequence;
    packet.writeUInt16BE(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 2);
  }
  return packet;
}

/** koffi closes a poll handle silently when it is collected. */
const open = new Set<object>();
