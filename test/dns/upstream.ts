// Room dns (tests): an upstream resolver with a few names, in a namespace of its own, that counts what it is asked.
import type { Socket } from 'node:dgram';
import * as packet from 'dns-packet';
import { listenTcp } from '../../src/dns/listen-tcp.ts';
import { listenUdp } from '../../src/dns/listen-udp.ts';
import { type UpstreamAddress, udpSocket } from '../../src/dns/upstream-socket.ts';
import { inNetns } from '../../src/sys/netns.ts';

const SOA = { mname: 'ns.test', rname: 'root.test', serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 60 };

export interface TestUpstream {
  /** Name to how many questions came, over either protocol. */
  readonly asked: Map<string, number>;
  close(): void;
}

export function startUpstream(netns: string, ip: string, port: number): TestUpstream {
  const asked = new Map<string, number>();
  const respond = (bytes: Uint8Array, protocol: 'udp' | 'tcp') => {
    const query = packet.decode(Buffer.from(bytes));
    const { name, type } = query.questions![0]!;
    asked.set(name, (asked.get(name) ?? 0) + 1);
    // A resolver from before EDNS understands no OPT.
    const puzzled = name === 'old.test' && (query.additionals?.length ?? 0) > 0;
    const answers = answersTo(name, type);
    const cut = protocol === 'udp' && name === 'big.test';
    const response = packet.encode({
      type: 'response',
      ...(query.id !== undefined && { id: query.id }),
      flags: packet.RECURSION_AVAILABLE | (cut ? packet.TRUNCATED_RESPONSE : 0) | (puzzled ? 1 : answers ? 0 : 3),
      questions: query.questions ?? [],
      answers: cut || puzzled ? [] : (answers ?? []),
      authorities: answers?.length ? [] : [{ type: 'SOA', name: 'test', ttl: 60, data: SOA }],
    });
    if (name === 'slow.test') return new Promise<Buffer>((resolve) => setTimeout(resolve, 300, response));
    return name === 'silent.test' ? undefined : response;
  };
  const listeners = inNetns(netns, () => [listenUdp(ip, port, respond), listenTcp(ip, port, respond)]);
  return {
    asked,
    close() {
      for (const listener of listeners) listener.close();
    },
  };
}

/** A resolver that asks the server at `target` whatever it is asked: one that leads back. */
export function startRelay(netns: string, ip: string, port: number, target: UpstreamAddress): { close(): void } {
  const sockets = new Set<Socket>();
  const respond = (query: Uint8Array) =>
    new Promise<Buffer>((resolve) => {
      const socket = udpSocket(target);
      sockets.add(socket);
      socket.once('message', resolve);
      socket.send(query, target.port, target.ip);
    });
  const listener = inNetns(netns, () => listenUdp(ip, port, respond));
  return {
    close() {
      listener.close();
      for (const socket of sockets) socket.close();
    },
  };
}

function answersTo(name: string, type: string): packet.Answer[] | undefined {
  const at = { name: name.toLowerCase(), ttl: 60 };
  switch (`${at.name} ${type}`) {
    case 'www.test A':
      return [
        { type: 'CNAME', ...at, data: 'web.test' },
        { type: 'A', name: 'web.test', ttl: 60, data: '192.0.2.10' },
      ];
    case 'slow.test A':
    case 'old.test A':
      return [{ type: 'A', ...at, data: '192.0.2.11' }];
    case 'brief.test A':
      return [{ type: 'A', ...at, ttl: 1, data: '192.0.2.12' }];
    case 'short.test A':
      return [{ type: 'A', ...at, ttl: 3, data: '192.0.2.13' }];
    case 'db.corp.example A':
      return [{ type: 'A', ...at, data: '192.0.2.14' }];
    case 'mail.test MX':
      return [{ type: 'MX', ...at, data: { preference: 10, exchange: 'mx.mail.test' } }];
    case 'big.test TXT':
      return Array.from({ length: 40 }, (_, i) => ({ type: 'TXT' as const, ...at, data: `${i} ${'x'.repeat(90)}` }));
    case 'www.test AAAA':
      return [];
    default:
      return undefined;
  }
}
