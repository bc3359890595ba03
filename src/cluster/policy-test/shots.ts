// Room cluster: packets that are sent on purpose from a pod to see whether policies let them through.
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { IP } from '../../addr/ip.ts';
import { traceLookup } from '../../dns/lookup-trace.ts';
import type { ResolvConf } from '../../dns/resolv-conf.ts';
import { exchange } from '../../dns/upstream.ts';
import { openProbe, type ProbeOutcome, probe } from '../../trace/probe.ts';
import type { Place } from '../pod-place.ts';
import type { Listeners } from './listeners.ts';

export interface Shot {
  readonly from: Place;
  /** Under which address it is sent. */
  readonly fromIP?: IP;
  readonly to: IP;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Where it ought to arrive, as far as that is a place of ours; for datagrams to which nobody answers. */
  readonly arrivesAt: readonly { readonly netns: string; readonly ip: IP }[];
  /** How long an answer is waited for, in milliseconds. */
  readonly patience: number;
}

/** `passes`: it was answered, or a reset says that it got there, or it was seen to arrive. */
export interface Seen {
  readonly passes: boolean;
  readonly words: string;
  /** The network has no way there, whatever policies say. */
  readonly noWay?: true;
}

/** A connection that is due is tried by the kernel itself; a datagram is sent again so often. */
const DATAGRAM_EVERY_MS = 400;
/** DNS here is answered by the pod's own node. */
const LOOKUP_MS = 1500;

export async function shoot(shot: Shot, listeners: Listeners): Promise<Seen> {
  return shot.protocol === 'TCP' ? shootTcp(shot) : shootUdp(shot, listeners);
}

async function shootTcp({ from, fromIP, to, port, arrivesAt, patience }: Shot): Promise<Seen> {
  const ends = { ...from, ...(fromIP && { from: fromIP }), to, port };
  const { outcome, milliseconds } = await probe({ ...ends, protocol: 'TCP', timeoutMs: patience });
  return seen(outcome, arrivesAt.length > 0, `${milliseconds.toFixed(1)} ms`);
}

function seen(outcome: ProbeOutcome, isOurs: boolean, after: string): Seen {
  switch (outcome) {
    case 'connected':
    case 'reset':
      return { passes: true, words: `it was answered after ${after}` };
    case 'refused':
      // Policies drop; only somebody who got the packet refuses it, or the node for a Service that has nobody.
      return { passes: isOurs, words: 'it was refused (a reset, or port unreachable): nobody listens there' };
    case 'unreachable':
      return { passes: false, words: 'there is no way there: unreachable', noWay: true };
    case 'no answer':
      return { passes: false, words: `no answer came within ${after}` };
  }
}

/** Who does not answer datagrams may have got them all the same. */
async function shootUdp({ from, fromIP, to, port, arrivesAt, patience }: Shot, listeners: Listeners): Promise<Seen> {
  const payload = `podwire-${randomBytes(8).toString('hex')}`;
  const { promise: arrival, resolve: onHeard } = Promise.withResolvers<void>();
  const deaf = arrivesAt.map((place) => listeners.hear(place, payload, onHeard));
  const ends = { ...from, ...(fromIP && { from: fromIP }), to, port, payload };
  const end = performance.now() + patience;
  let last: Seen = { passes: false, words: 'nothing was sent' };
  const arrived = arrival.then((): Seen => ({ passes: true, words: 'it was seen to arrive' }));
  try {
    for (let left = patience; left > 0; left = end - performance.now()) {
      const shot = openProbe({ ...ends, protocol: 'UDP', timeoutMs: Math.min(DATAGRAM_EVERY_MS, left) });
      const answered = shot.send().then(({ outcome }) => seen(outcome, arrivesAt.length > 0, `${patience} ms`));
      last = await Promise.race([answered, arrived]);
      if (last.passes) return last;
      // What is refused at once would be asked again without a pause.
      await pause(20);
    }
    return last;
  } finally {
    for (const stop of deaf) stop();
  }
}

export interface HttpShot extends Pick<Shot, 'from' | 'fromIP' | 'to' | 'port' | 'patience'> {
  readonly path: string;
  readonly host: string;
}

/** The status of the answer; absent: there was none, or nothing of HTTP. */
export async function askHttp(shot: HttpShot): Promise<{ readonly status?: number; readonly words: string }> {
  const { from, fromIP, to, port, path, host, patience } = shot;
  const payload = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: podwire\r\nAccept: */*\r\nConnection: close\r\n\r\n`;
  const ends = { ...from, ...(fromIP && { from: fromIP }), to, port };
  const found = await probe({ ...ends, protocol: 'TCP', payload, timeoutMs: patience });
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(found.answer ?? '') ?? [];
  if (status !== undefined) return { status: Number(status), words: `HTTP ${status}` };
  if (found.answer !== undefined) return { words: 'what answered does not speak HTTP' };
  return { words: seen(found.outcome, true, `${patience} ms`).words };
}

/** As the pod's resolver would ask: the addresses, or why there are none. `denied`: nobody answered. */
export async function lookUp(
  from: Place,
  conf: ResolvConf,
  name: string,
): Promise<{ readonly addresses: readonly IP[]; readonly denied: boolean; readonly words: string }> {
  // Who did not answer once is not waited for again with every search.
  let isSilent = false;
  const ask = async (ip: string, asked: string, type: number, milliseconds: number) => {
    if (isSilent) throw new Error('nobody has answered');
    const question = { name: asked, type, recursionDesired: true, dnssecOk: false, checkingDisabled: false };
    const asking = exchange({ ip, port: 53, netns: from.netns }, question, {
      timeout: Math.min(milliseconds, LOOKUP_MS),
    });
    asking.catch(() => {
      isSilent = conf.nameservers.length === 1;
    });
    return asking;
  };
  const quick = { ...conf, attempts: 1 };
  const { addresses, queries } = await traceLookup(name, quick, ['A', 'AAAA'], ask);
  if (addresses.length > 0) return { addresses, denied: false, words: `${name} is ${addresses.join(', ')}` };
  const denied = queries.every(({ answer }) => answer === 'TIMEOUT');
  const last = queries.findLast(({ answer }) => answer !== 'TIMEOUT')?.answer ?? 'TIMEOUT';
  const words = denied ? `no DNS server answered (${conf.nameservers.join(', ')})` : `DNS says of ${name}: ${last}`;
  return { addresses, denied, words };
}
