// Room lb: which nodes of the segment live, and whether this one is with the most of them or cut off.
import type { IP } from '../addr/ip.ts';
import type { Beat } from './beat.ts';

/** A node that shares the segment, as the API has it. */
export interface Member {
  readonly name: string;
  readonly ip: IP;
  /** Its Node is Ready. */
  readonly ready: boolean;
  /** It may not answer for load balancer addresses (node.kubernetes.io/exclude-from-external-load-balancers). */
  readonly excluded: boolean;
}

interface Signs {
  beat: Beat | undefined;
  /** When the last one came. */
  at: number;
}

export const BEAT_MS = 100;
/** A node that was not heard for five and a half beats is silent. */
const SILENT_BEATS = 5.5;
/** Without a sign of most others for so long a node is cut off. Less than they wait before they put another in its place. */
export const HOLD_MS = 400;
/** From then on the kernels of silent nodes are asked: an agent that is slow is no node that is gone. */
const ASK_MS = 150;

export class Peers {
  readonly #self: string;
  readonly #router: IP | undefined;
  readonly #signs = new Map<string, Signs>();
  /** When a neighbour's kernel last answered. */
  readonly #answers = new Map<IP, number>();
  readonly #left = new Set<string>();
  #members = new Map<string, Member>();

  /** `router`: a neighbour that is no node; it counts where the nodes are of an even number, so that one half can be the most. */
  constructor(self: string, router: IP | undefined) {
    this.#self = self;
    this.#router = router;
  }

  set members(members: readonly Member[]) {
    this.#members = new Map(members.map((member) => [member.name, member]));
    for (const name of this.#signs.keys()) if (!this.#members.has(name)) this.#signs.delete(name);
  }

  get others(): Member[] {
    return [...this.#members.values()].filter(({ name }) => name !== this.#self);
  }

  member(name: string): Member | undefined {
    return this.#members.get(name);
  }

  hear(beat: Beat, now: number): void {
    if (beat.bye) {
      this.#left.add(beat.node);
      this.#signs.delete(beat.node);
      return;
    }
    this.#left.delete(beat.node);
    this.#signs.set(beat.node, { beat, at: now });
  }

  /** A neighbour's kernel has spoken. */
  answered(ip: IP, now: number): void {
    this.#answers.set(ip, now);
  }

  /** Its agent speaks. */
  isLive(name: string, now: number): boolean {
    if (name === this.#self) return true;
    const signs = this.#signs.get(name);
    return signs !== undefined && now - signs.at <= SILENT_BEATS * (signs.beat?.interval ?? BEAT_MS);
  }

  /** What a live node said last. */
  beatOf(name: string, now: number): Beat | undefined {
    return this.isLive(name, now) ? this.#signs.get(name)?.beat : undefined;
  }

  silentFor(name: string, now: number): number | undefined {
    const signs = this.#signs.get(name);
    return signs && now - signs.at;
  }

  everyoneHeard(now: number): boolean {
    return this.others.every(({ name }) => this.#left.has(name) || this.isLive(name, now));
  }

  /** Nodes that count: those that the API calls Ready, and those that are heard, unless they said that they leave. */
  #voters(now: number): Member[] {
    return this.others.filter(({ name, ready }) => !this.#left.has(name) && (ready || this.isLive(name, now)));
  }

  #shows({ name, ip }: Member, now: number, within: number): boolean {
    const latest = Math.max(this.#signs.get(name)?.at ?? -Infinity, this.#answers.get(ip) ?? -Infinity);
    return now - latest <= within;
  }

  /** `seen` and `all` count this node too. */
  #count(now: number, within: number): { seen: number; all: number } {
    const voters = this.#voters(now);
    const seen = 1 + voters.filter((member) => this.#shows(member, now, within)).length;
    const all = 1 + voters.length;
    if (all % 2 === 1 || this.#router === undefined) return { seen, all };
    const routerSeen = now - (this.#answers.get(this.#router) ?? -Infinity) <= within;
    return { seen: seen + (routerSeen ? 1 : 0), all: all + 1 };
  }

  /** Whether most of those that count were seen of late. */
  isWithMost(now: number): boolean {
    const { seen, all } = this.#count(now, HOLD_MS);
    return seen * 2 > all;
  }

  countText(now: number): string {
    const { seen, all } = this.#count(now, HOLD_MS);
    return `it sees ${seen} of ${all}`;
  }

  /** Neighbours whose kernels should be asked now, because too few have shown themselves without. */
  *toAsk(now: number): Generator<IP> {
    const { seen, all } = this.#count(now, ASK_MS);
    if (seen * 2 > all) return;
    for (const member of this.#voters(now)) if (!this.#shows(member, now, ASK_MS)) yield member.ip;
    if (this.#router !== undefined) yield this.#router;
  }
}
