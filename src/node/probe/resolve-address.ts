// Room node: an address for a host that a probe names. getaddrinfo runs on libuv's pool, outside the node's network
// namespace, so names are asked over sockets of this thread (c-ares).
import { isIP } from '../../addr/ip.ts';

export async function resolveAddress(host: string): Promise<string> {
  if (isIP(host)) return host;
  if (host === 'localhost') return '127.0.0.1';
  const { resolve4 } = await import('node:dns/promises');
  const [address] = await resolve4(host);
  return address!;
}
