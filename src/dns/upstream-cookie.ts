// Room dns: cookies towards one upstream resolver (RFC 7873 section 5, RFC 9018): what of its answers nobody else could have made.
import { randomBytes } from 'node:crypto';
import { CLIENT_COOKIE, isCookie } from '../wire/dns/cookie.ts';
import { type EdnsOption, type Message, OPTION } from '../wire/dns/message.ts';

/** Milliseconds for which one cookie is shown (RFC 7873 section 7.1: a day, and never more than 36). */
const LIFETIME = 24 * 3600 * 1000;

/**
 * `proven`: made by who has seen our question. `forged`: with a cookie that is not ours. `missing`: without one, though the
 * resolver has given us one before. `none`: it does not know cookies, as far as we know.
 */
export type Proof = 'proven' | 'forged' | 'missing' | 'none';

export class UpstreamCookie {
  #client = new Uint8Array(0);
  #server: Uint8Array | undefined;
  #until = 0;

  /** For the next question: our part, and the resolver's when it has given us one. `now` in milliseconds of any one clock. */
  option(now: number): EdnsOption {
    if (now >= this.#until) {
      this.#client = randomBytes(CLIENT_COOKIE);
      this.#server = undefined;
      this.#until = now + LIFETIME;
    }
    return { code: OPTION.COOKIE, data: Buffer.concat([this.#client, this.#server ?? new Uint8Array(0)]) };
  }

  /** What an answer proves to who asked with option(). The resolver's part is remembered. */
  judge(query: Message, answer: Message): Proof {
    const given = cookieIn(answer);
    if (!given) return this.#server ? 'missing' : 'none';
    // Not #client: there may be a new one since.
    const shown = cookieIn(query)?.subarray(0, CLIENT_COOKIE);
    if (!shown || !isCookie(given) || !Buffer.from(shown).equals(given.subarray(0, CLIENT_COOKIE))) return 'forged';
    if (given.length > CLIENT_COOKIE) this.#server = Uint8Array.from(given.subarray(CLIENT_COOKIE));
    return 'proven';
  }

  /** The resolver has cookies no longer: said over TCP, where nobody else speaks for it. */
  forget(): void {
    this.#server = undefined;
  }
}

function cookieIn({ edns }: Message): Uint8Array | undefined {
  return edns?.options.find(({ code }) => code === OPTION.COOKIE)?.data;
}
