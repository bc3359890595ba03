// Program agnhost: a destination `host:port` as Go's net package reads and resolves it: IPv4 first.
import { lookup } from 'node:dns';
import { isIP } from 'node:net';

/** Throws an Error in Go's words. */
export function splitHostPort(destination: string): { host: string; port: string } {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(destination);
  if (match) return { host: match[1] ?? match[2]!, port: match[3]! };
  const colons = destination.split(':').length - 1;
  throw new Error(`address ${destination}: ${colons > 1 ? 'too many colons' : 'missing port'} in address`);
}

/** Rejects with an Error in Go's words when the name or the port is unknown. */
export async function resolveAddress(
  host: string,
  port: string,
  network: string,
): Promise<{ ip: string; port: number }> {
  if (!/^\d+$/.test(port)) throw new Error(`lookup ${network}/${port}: unknown port`);
  if (Number(port) > 65535) throw new Error(`address ${port}: invalid port`);
  if (host === '') return { ip: '127.0.0.1', port: Number(port) };
  if (isIP(host)) return { ip: host, port: Number(port) };
  const { promise, resolve, reject } = Promise.withResolvers<{ ip: string; port: number }>();
  lookup(host, { all: true }, (error, found) => {
    const best = error ? undefined : (found.find(({ family }) => family === 4) ?? found[0]);
    if (best) resolve({ ip: best.address, port: Number(port) });
    else reject(new Error(`lookup ${host}: ${error?.code === 'EAI_AGAIN' ? 'server misbehaving' : 'no such host'}`));
  });
  return promise;
}
