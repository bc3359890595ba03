// Program agnhost: words as Go's standard library puts them, by which tests recognise them.
import { hostname } from 'node:os';

export const name = hostname();

/** Go's log package: local date and time, on stderr. */
export function log(text: string): void {
  const now = new Date();
  const two = (number: number) => String(number).padStart(2, '0');
  const date = `${now.getFullYear()}/${two(now.getMonth() + 1)}/${two(now.getDate())}`;
  process.stderr.write(`${date} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())} ${text}\n`);
}

export function fatal(text: string): never {
  log(text);
  process.exit(1);
}

/** `host:port`, with brackets for IPv6; an IPv4 client of a dual-stack socket is an IPv4 address. */
export function hostPort(address: string | undefined, port: number | string | undefined): string {
  const host = (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** encoding/json escapes what HTML would take for its own. */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

const ERRORS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EADDRINUSE: 'address already in use',
  ETIMEDOUT: 'connection timed out',
};

/** What strerror(3) says, as Go has it. */
export function errorText(error: NodeJS.ErrnoException): string {
  return ERRORS[error.code ?? ''] ?? error.message;
}
