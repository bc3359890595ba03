// Room lb: which of the segment's nodes answers for each address. No clock and no I/O of its own: what comes in is told, what
// is to be done goes out through Hands.
//
// The rule. A node claims an address that nobody holds when it is the best of the live, eligible nodes (rendezvous hashing), is
// with most of the nodes, has told that it wants it, and nobody has answered for it on the wire: what answers is the truth, whether its
// agent lives or not. It keeps it until it may not have it any more, is cut off, or gives it away. Who does not see most of the
// nodes stops answering before the others put someone in its place. Each claim has a higher epoch than all that were heard of: should
// two nodes hold one address after all, the lower epoch goes at once.
import type { IP } from '../addr/ip.ts';
import { type Beat, decodeBeat } from './beat.ts';
import { BEAT_MS, type Member, Peers } from './peers.ts';
import { bestNode, outranks } from './rendezvous.ts';

/** An address that Services have. */
export interface Wanted {
  readonly ip: IP;
  /** `namespace/name` */
  readonly services: readonly string[];
  /** Nodes that alone may have it (externalTrafficPolicy Local); absent: any. */
  readonly nodes?: ReadonlySet<string>;
}

export interface Hands {
  /** From now on this node's kernel answers for it, and the neighbours are told. False: the kernel refused. */
  claim(ip: IP, why: string): boolean;
  withdraw(ip: IP, why: string): void;
  announce(ip: IP): void;
  /** Asks on the wire who has it; an answer comes as answered(). */
  ask(ip: IP): void;
  send(beat: Beat): void;
  note(ip: IP, what: string): void;
}

export interface Claim {
  readonly ip: IP;
  readonly epoch: number;
  /** By the clock of tick(). */
  readonly since: number;
  readonly why: string;
}

interface Wish {
  readonly why: string;
  asked: number;
  next: number;
}

interface Successor {
  readonly to: string;
  readonly epoch: number;
  readonly until: number;
}

/** How often the wire is asked before a claim, and the time that each answer has. */
const ASKS = 3;
const ASK_GAP_MS = 30;
/** An address that somebody answers for is asked for again after this. */
const AGAIN_MS = 250;
/** A node that has just come waits for so long for the others to speak, unless all have. */
const LISTEN_MS = 350;
/** The one to whom an address was given has so long to take it. */
const SUCCESSION_MS = 1000;
/** After each claim the neighbours are told again, should a frame be lost. Milliseconds after the claim. */
const ANNOUNCE_AT = [50, 250, 1000, 3000];
/** Who comes so late to its own tick has not read what came meanwhile and must not judge yet. */
const OVERSLEPT_MS = 150;
/** Beyond so many nodes those that hold nothing speak less often. */
const MANY = 10;
const IDLE_BEAT_MS = 500;

export interface ElectionOptions {
  readonly cluster: string;
  readonly node: string;
  readonly router?: IP;
}

export class Election {
  readonly #options: ElectionOptions;
  readonly #hands: Hands;
  readonly peers: Peers;
  readonly #claims = new Map<IP, Claim>();
  readonly #wishes = new Map<IP, Wish>();
  readonly #blocked = new Map<IP, number>();
  readonly #successors = new Map<IP, Successor>();
  readonly #yields = new Map<IP, Successor>();
  readonly #epochs = new Map<IP, number>();
  readonly #announcements = new Map<IP, number[]>();
  #wanted: ReadonlyMap<IP, Wanted> = new Map();
  #listenUntil = Infinity;
  #lastBeat = -Infinity;
  #lastTick: number | undefined;
  #wasCutOff = false;

  constructor(options: ElectionOptions, hands: Hands) {
    this.#options = options;
    this.#hands = hands;
    this.peers = new Peers(options.node, options.router);
  }

  get claims(): ReadonlyMap<IP, Claim> {
    return this.#claims;
  }

  /** Nodes of the segment, and how many of them are heard; with this one. */
  memberCount(now: number): { all: number; live: number } {
    const { others } = this.peers;
    return { all: 1 + others.length, live: 1 + others.filter(({ name }) => this.peers.isLive(name, now)).length };
  }

  /** Something to do: beats are to be sent and ticks to be called. */
  get isActive(): boolean {
    return this.#wanted.size > 0 || this.#claims.size > 0;
  }

  /** What the kernel still answers for from an earlier life of this agent. */
  adopt(ips: Iterable<IP>, now: number): void {
    for (const ip of ips) this.#claims.set(ip, { ip, epoch: 0, since: now, why: 'an earlier agent had it' });
  }

  setWanted(wanted: ReadonlyMap<IP, Wanted>, now: number): void {
    if (!this.isActive || this.#listenUntil === Infinity) this.#listenUntil = now + LISTEN_MS;
    this.#wanted = wanted;
    this.#judgeAll(now);
  }

  setMembers(members: readonly Member[], now: number): void {
    this.peers.members = members;
    this.#judgeAll(now);
  }

  /** Milliseconds until tick() should be called, while isActive. */
  get tickMs(): number {
    return this.#wishes.size > 0 ? ASK_GAP_MS / 2 : BEAT_MS / 2;
  }

  /** Call it every tickMs while isActive. Returns true when it wants to be called again at once, after what has come in was read. */
  tick(now: number): boolean {
    const slept = now - (this.#lastTick ?? now);
    this.#lastTick = now;
    for (const ip of this.peers.toAsk(now)) this.#hands.ask(ip);
    if (now - this.#lastBeat >= this.#interval) this.#beat(now);
    this.#announceAgain(now);
    if (slept > OVERSLEPT_MS) return true;
    this.#judgeAll(now);
    return false;
  }

  get #interval(): number {
    const quiet = this.#claims.size === 0 && this.#wishes.size === 0 && this.peers.others.length >= MANY;
    return quiet ? IDLE_BEAT_MS : BEAT_MS;
  }

  /** A datagram from `from`. What is no beat of a node with that address is passed over. */
  receive(bytes: Uint8Array, from: IP, now: number): void {
    const beat = decodeBeat(bytes);
    if (!beat || beat.cluster !== this.#options.cluster || this.peers.member(beat.node)?.ip !== from) return;
    if (beat.node === this.#options.node) return;
    const isNew = !this.peers.isLive(beat.node, now);
    this.peers.hear(beat, now);
    for (const [ip, epoch] of Object.entries(beat.holds)) this.#learnEpoch(ip, epoch);
    for (const [ip, { to, epoch }] of Object.entries(beat.yields)) {
      this.#learnEpoch(ip, epoch);
      const known = this.#successors.get(ip);
      if (known?.epoch === epoch) continue;
      this.#successors.set(ip, { to, epoch, until: now + SUCCESSION_MS });
      if (to === this.#options.node) this.#inherit(ip, beat.node, now);
    }
    if (isNew && this.isActive && !beat.bye) this.#beat(now);
    for (const ip of [...Object.keys(beat.holds), ...beat.wants]) this.#judge(ip, now);
    if (isNew || beat.bye) this.#judgeAll(now);
  }

  #learnEpoch(ip: IP, epoch: number): void {
    this.#epochs.set(ip, Math.max(epoch, this.#epochs.get(ip) ?? 0));
  }

  /** Somebody else's kernel has spoken for `ip`: a neighbour's own address, or one that is contended. */
  answered(ip: IP, mac: string, now: number): void {
    this.peers.answered(ip, now);
    const wish = this.#wishes.get(ip);
    if (!wish) return;
    this.#wishes.delete(ip);
    this.#blocked.set(ip, now + AGAIN_MS);
    this.#hands.note(ip, `not claimed: ${mac} answers for it`);
  }

  /** Who comes back among the others hears them out before it claims anything. */
  #noteCutOff(now: number): void {
    const cutOff = !this.peers.isWithMost(now);
    if (this.#wasCutOff && !cutOff) this.#listenUntil = now + LISTEN_MS;
    this.#wasCutOff = cutOff;
  }

  #judgeAll(now: number): void {
    if (this.#listenUntil !== Infinity) this.#noteCutOff(now);
    for (const ip of new Set([...this.#claims.keys(), ...this.#wishes.keys(), ...this.#wanted.keys()])) {
      this.#judge(ip, now);
    }
  }

  #judge(ip: IP, now: number): void {
    const claim = this.#claims.get(ip);
    if (claim) this.#judgeClaim(claim, now);
    else this.#judgeWish(ip, now);
  }

  #judgeClaim({ ip, epoch }: Claim, now: number): void {
    // Until the Services are known nothing is known to be unwanted.
    if (this.#listenUntil === Infinity) return;
    const candidates = this.#candidates(ip, now);
    const why = this.#whyRelease(ip, epoch, candidates, now);
    if (why !== undefined) this.#release(ip, why.text, now, why.successors ? bestNode(candidates, ip) : undefined);
  }

  /** `successors`: another node is better named at once. */
  #whyRelease(
    ip: IP,
    epoch: number,
    candidates: readonly string[],
    now: number,
  ): { text: string; successors?: boolean } | undefined {
    const me = this.#options.node;
    if (!this.#wanted.has(ip)) return { text: 'no Service has it any more' };
    const alone = now >= this.#listenUntil && !this.peers.isWithMost(now);
    if (alone) return { text: `this node is cut off: ${this.peers.countText(now)}` };
    const rival = this.#holder(ip, now);
    if (rival && (rival.epoch > epoch || (rival.epoch === epoch && outranks(rival.node, me, ip)))) {
      return { text: `${rival.node} holds it with epoch ${rival.epoch}, this node with ${epoch}` };
    }
    // The other goes as soon as it hears of this.
    if (rival) this.#beat(now);
    if (candidates.includes(me)) return undefined;
    return { text: `this node may not have it: ${this.#whyNot(ip)}`, successors: true };
  }

  #whyNot(ip: IP): string {
    const member = this.peers.member(this.#options.node);
    if (!member) return 'its Node is gone';
    if (member.excluded) return 'its Node is excluded from load balancers';
    if (this.#wanted.get(ip)?.nodes?.has(member.name) === false)
      return 'it has no ready endpoint (externalTrafficPolicy Local)';
    return 'its Node is not Ready';
  }

  /** Live nodes that may have the address. Where no node is Ready, readiness says nothing. */
  #candidates(ip: IP, now: number): string[] {
    const { nodes } = this.#wanted.get(ip) ?? {};
    const allowed = [this.peers.member(this.#options.node), ...this.peers.others].filter(
      (member) => member !== undefined && !member.excluded && nodes?.has(member.name) !== false,
    ) as Member[];
    const live = allowed.filter(({ name }) => this.peers.isLive(name, now));
    const ready = live.filter((member) => member.ready);
    return (ready.length > 0 ? ready : live).map(({ name }) => name);
  }

  /** The live node that says it holds the address; of several the one that will keep it. */
  #holder(ip: IP, now: number): { node: string; epoch: number } | undefined {
    let found: { node: string; epoch: number } | undefined;
    for (const { name } of this.peers.others) {
      const epoch = this.peers.beatOf(name, now)?.holds[ip];
      if (epoch === undefined) continue;
      if (!found || epoch > found.epoch || (epoch === found.epoch && outranks(name, found.node, ip)))
        found = { node: name, epoch };
    }
    return found;
  }

  #judgeWish(ip: IP, now: number): void {
    const why = this.#mayClaim(ip, now);
    if (why === undefined) {
      this.#wishes.delete(ip);
      return;
    }
    const wish = this.#wishes.get(ip) ?? { why, asked: 0, next: now };
    if (now < wish.next) return;
    if (wish.asked === ASKS) {
      this.#claim(ip, wish.why, now);
      return;
    }
    const isNew = wish.asked === 0;
    wish.asked++;
    wish.next = now + ASK_GAP_MS;
    this.#wishes.set(ip, wish);
    if (isNew) this.#beat(now);
    this.#hands.ask(ip);
  }

  /** Why this node is the one to claim it; undefined when it is not, or not now. */
  #mayClaim(ip: IP, now: number): string | undefined {
    const me = this.#options.node;
    if (!this.#wanted.has(ip) || now < (this.#blocked.get(ip) ?? 0)) return undefined;
    if (now < this.#listenUntil && !this.peers.everyoneHeard(now)) return undefined;
    if (!this.peers.isWithMost(now) || this.#holder(ip, now)) return undefined;
    const candidates = this.#candidates(ip, now);
    const { to, until } = this.#successors.get(ip) ?? { to: '', until: 0 };
    const best = now < until && candidates.includes(to) ? to : bestNode(candidates, ip);
    if (best !== me) return undefined;
    const rival = this.peers.others.find(
      ({ name }) => this.peers.beatOf(name, now)?.wants.includes(ip) && outranks(name, me, ip) && to !== me,
    );
    return rival ? undefined : `first of ${candidates.join(', ')} for it, and nobody else answers`;
  }

  /** The last holder gave it to this node and answers no more. */
  #inherit(ip: IP, from: string, now: number): void {
    if (this.#claims.has(ip) || !this.#wanted.has(ip) || !this.peers.isWithMost(now) || this.#holder(ip, now)) return;
    if (this.#candidates(ip, now).includes(this.#options.node)) this.#claim(ip, `${from} gave it to this node`, now);
  }

  #claim(ip: IP, why: string, now: number): void {
    this.#wishes.delete(ip);
    if (!this.#hands.claim(ip, why)) {
      this.#blocked.set(ip, now + AGAIN_MS);
      return;
    }
    const epoch = (this.#epochs.get(ip) ?? 0) + 1;
    this.#learnEpoch(ip, epoch);
    this.#claims.set(ip, { ip, epoch, since: now, why });
    this.#yields.delete(ip);
    this.#successors.delete(ip);
    this.#announcements.set(
      ip,
      ANNOUNCE_AT.map((after) => now + after),
    );
    this.#beat(now);
  }

  #announceAgain(now: number): void {
    for (const [ip, times] of this.#announcements) {
      if (now < times[0]!) continue;
      this.#hands.announce(ip);
      times.shift();
      if (times.length === 0) this.#announcements.delete(ip);
    }
  }

  #release(ip: IP, why: string, now: number, to?: string): void {
    const { epoch } = this.#claims.get(ip)!;
    this.#hands.withdraw(ip, to === undefined ? why : `${why}; it goes to ${to}`);
    this.#claims.delete(ip);
    this.#announcements.delete(ip);
    const successor = { to: to ?? '', epoch, until: now + SUCCESSION_MS };
    if (to !== undefined) {
      this.#yields.set(ip, successor);
      this.#successors.set(ip, successor);
    }
    this.#beat(now);
  }

  /** Gives the address to another node on purpose. Returns to whom, or undefined when nobody else can have it. */
  move(ip: IP, to: string | undefined, now: number): string | undefined {
    if (!this.#claims.has(ip)) return undefined;
    const others = this.#candidates(ip, now).filter((name) => name !== this.#options.node);
    const next = to === undefined ? bestNode(others, ip) : others.find((name) => name === to);
    if (next !== undefined) this.#release(ip, 'moved on purpose', now, next);
    return next;
  }

  /** Gives up all and says good-bye: the node leaves. */
  leave(now: number): void {
    for (const ip of [...this.#claims.keys()]) {
      const others = this.#candidates(ip, now).filter((name) => name !== this.#options.node);
      this.#release(ip, 'this node leaves', now, bestNode(others, ip));
    }
    this.#beat(now, true);
  }

  #beat(now: number, bye = false): void {
    this.#lastBeat = now;
    for (const [ip, { until }] of this.#yields) if (until <= now) this.#yields.delete(ip);
    for (const [ip, { until }] of this.#successors) if (until <= now) this.#successors.delete(ip);
    this.#hands.send({
      cluster: this.#options.cluster,
      node: this.#options.node,
      interval: this.#interval,
      holds: Object.fromEntries([...this.#claims].map(([ip, { epoch }]) => [ip, epoch])),
      wants: [...this.#wishes.keys()],
      yields: Object.fromEntries([...this.#yields].map(([ip, { to, epoch }]) => [ip, { to, epoch }])),
      ...(bye && { bye }),
    });
  }
}
