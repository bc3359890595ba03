// Room wire: DNS cookies (RFC 7873, RFC 9018): what a server gives a client to show with its next question.
import { type IP, ipBytes } from '../../addr/ip.ts';
import { sipHash } from './siphash.ts';

export const CLIENT_COOKIE = 8;
/** With the server's part, which may be of any server's making. */
const WHOLE_COOKIE = { least: 16, most: 40 };
const VERSION = 1;

/** Whether an option of a question holds a client's cookie, alone or with a server's (RFC 7873 section 4). */
export function isCookie(data: Uint8Array): boolean {
  return data.length === CLIENT_COOKIE || (data.length >= WHOLE_COOKIE.least && data.length <= WHOLE_COOKIE.most);
}

/**
 * The option of an answer: the client's cookie as it came, and the server's for it (RFC 9018 section 4). `secret` has sixteen
 * bytes, `seconds` are those since 1970.
 */
export function answerCookie(asked: Uint8Array, client: IP, secret: Uint8Array, seconds: number): Uint8Array {
  const cookie = new Uint8Array(CLIENT_COOKIE + 16);
  cookie.set(asked.subarray(0, CLIENT_COOKIE));
  cookie[CLIENT_COOKIE] = VERSION;
  new DataView(cookie.buffer).setUint32(CLIENT_COOKIE + 4, seconds >>> 0);
  const hashed = Buffer.concat([cookie.subarray(0, CLIENT_COOKIE + 8), ipBytes(client)]);
  cookie.set(sipHash(secret, hashed), CLIENT_COOKIE + 8);
  return cookie;
}
