// Room trace: whether somebody listens on a port in a network namespace, as the kernel tells it (/proc/net, proc_net_tcp.txt).
import { readFileSync } from 'node:fs';
import { familyOf, formatIP, type IP, ipBytes } from '../addr/ip.ts';
import { inNetns } from '../sys/netns.ts';

const LISTEN = '0A';

/** Undefined where the kernel does not say: another protocol, no such namespace. */
export function listensIn(netns: string, protocol: string, port: number, ip: IP): boolean | undefined {
  if (protocol !== 'TCP' && protocol !== 'UDP') return undefined;
  const word = protocol.toLowerCase();
  const files = familyOf(ip) === 4 ? [word, `${word}6`] : [`${word}6`];
  try {
    const lines = inNetns(netns, () =>
      files.flatMap((file) => readFileSync(`/proc/thread-self/net/${file}`, 'utf8').split('\n').slice(1)),
    );
    return lines.some((line) => isOpen(line, protocol, port, ip));
  } catch {
    return undefined;
  }
}

function isOpen(line: string, protocol: string, port: number, ip: IP): boolean {
  const [, local = '', remote = '', state] = line.trim().split(/\s+/);
  const [address = '', number = ''] = local.split(':');
  if (Number.parseInt(number, 16) !== port) return false;
  if (protocol === 'TCP' ? state !== LISTEN : !/:0000$/.test(remote)) return false;
  const own = addressOf(address);
  return own === '0.0.0.0' || own === '::' || own === ip || mapped(own, ip);
}

/** Words of 32 bits in the host's order. */
function addressOf(hex: string): IP {
  const bytes = Buffer.from(hex, 'hex');
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  return formatIP(bytes);
}

/** ::ffff:a.b.c.d is a.b.c.d. */
function mapped(own: IP, ip: IP): boolean {
  const [long, short] = [ipBytes(own), ipBytes(ip)];
  if (long.length !== 16 || short.length !== 4) return false;
  return Buffer.from(long.subarray(12)).equals(Buffer.from(short)) && long[10] === 0xff && long[11] === 0xff;
}
