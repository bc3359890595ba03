// Room dns: a resolv.conf as the C library reads it, and the names for which it asks in place of one (resolv.conf(5)).
import { isIP } from '../addr/ip.ts';
import type { Name } from '../wire/dns/message.ts';

export interface ResolvConf {
  /** Asked in this order; the library takes three. */
  readonly nameservers: readonly string[];
  readonly searches: readonly Name[];
  readonly ndots: number;
  /** Seconds for one try, and tries of each server. */
  readonly timeout: number;
  readonly attempts: number;
}

const MAX_NAMESERVERS = 3;
const MAX_NDOTS = 15;

/** Of `search` and `domain` the last line counts; options that do not matter for what is asked are passed over. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let searches: string[] = [];
  const numbers = new Map([
    ['ndots', 1],
    ['timeout', 5],
    ['attempts', 2],
  ]);
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'nameserver' && words[0] && isIP(words[0])) nameservers.push(words[0]);
    if (keyword === 'search') searches = words;
    if (keyword === 'domain') searches = words.slice(0, 1);
    if (keyword !== 'options') continue;
    for (const word of words) {
      const [, option, value] = /^(ndots|timeout|attempts):(\d+)$/.exec(word) ?? [];
      if (option) numbers.set(option, Number(value));
    }
  }
  return {
    nameservers: nameservers.length > 0 ? nameservers.slice(0, MAX_NAMESERVERS) : ['127.0.0.1'],
    searches: searches.map((domain) => domain.replace(/\.$/, '')),
    ndots: Math.min(MAX_NDOTS, numbers.get('ndots')!),
    timeout: Math.max(1, numbers.get('timeout')!),
    attempts: Math.max(1, numbers.get('attempts')!),
  };
}

/**
 * The names that are asked for until one is found, without their final dot. A name that ends with a dot is meant as it stands;
 * one with at least `ndots` dots is asked for as it stands first, one with fewer at last.
 */
export function candidates(name: string, { searches, ndots }: Pick<ResolvConf, 'searches' | 'ndots'>): Name[] {
  if (name.endsWith('.')) return [name === '.' ? name : name.slice(0, -1)];
  const searched = searches.map((domain) => (domain === '' ? name : `${name}.${domain}`));
  const dots = name.split('.').length - 1;
  return [...new Set(dots >= ndots ? [name, ...searched] : [...searched, name])];
}
