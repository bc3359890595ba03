// Room node: connections that are there and that policies forbid now are cut: their next packets meet the rules again.
import type { IP } from '../addr/ip.ts';
import type { FlowEnd, Kernel, TrackedFlow } from '../kernel/kernel.ts';
import { logger } from '../observe/log.ts';
import type { Fragment } from '../plan/plan.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { type Flow, judgeSide } from '../plan/policy/judge.ts';
import type { Changes, IsolatedPod } from '../plan/policy/node-policies.ts';
import type { Direction } from '../plan/policy/rules.ts';

const log = logger('policies');

/** A look at connections costs the kernel a walk through its table: changes that come together share one. Milliseconds. */
const GATHER = 10;
const PROTOCOLS: Readonly<Record<number, Flow['protocol']>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
  136: 'UDPLite',
};

/**
 * The ends of the flows that the changes may forbid: few, where few pods are meant. `before` is the plan without them; only isolated pods
 * have connections that may be forbidden.
 */
export function endsOfForbidden(
  changes: Changes,
  before: ReadonlyMap<string, Fragment>,
  isolatedPods: () => readonly IsolatedPod[],
): FlowEnd[] {
  const forbidding = [...changes].filter(([key, fragment]) => forbids(key, before.get(key), fragment));
  if (forbidding.length === 0) return [];
  const isolated = isolatedPods();
  const pods = new Map(isolated.map((pod) => [pod.key, [pod]]));
  const ends: FlowEnd[] = [];
  for (const [key, fragment] of forbidding) {
    const [, direction, pod] = OF_POD.exec(key) ?? [];
    if (pod !== undefined) ends.push(...endsOfPods(pods.get(pod) ?? [], direction));
    else if (OF_PEER.test(key)) ends.push(...endsOfPeer([before.get(key), fragment], isolated));
    else return endsOfPods(isolated);
  }
  return ends;
}

const OF_POD = /^policy\/(?:pod|(?:allow|tier)\/(ingress|egress))\/([^/]+\/[^/]+)/;
const OF_PEER = /^policy\/(?:tier-)?peer\//;

function forbids(key: string, old: Fragment | undefined, fragment: Fragment | undefined): boolean {
  const same = old && fragment && JSON.stringify(old.items) === JSON.stringify(fragment.items);
  // What isolates forbids where it is new, and whatever several tiers say may; peers and allowances forbid where they go.
  const whereNew = key.startsWith('policy/pod/') || (key.startsWith('policy/tier') && key !== 'policy/tier-base');
  return Boolean(whereNew ? !same && (fragment ?? key.startsWith('policy/tier')) : old && !same);
}

/** All flows that these pods' policies judge, or those of one direction. */
export function endsOfPods(pods: readonly IsolatedPod[], only?: string): FlowEnd[] {
  return pods.flatMap(({ ips, directions }) =>
    directions
      .filter((direction) => only === undefined || direction === only)
      .flatMap((direction) => ips.map((ip) => endAt(direction, ip))),
  );
}

/** What such a pod sends is judged as egress. */
function endAt(direction: Direction, ip: IP): FlowEnd {
  return direction === 'egress' ? { originalSrc: ip } : { replySrc: ip };
}

/** Of flows between it and isolated pods: what goes into those comes from it. */
function endsOfPeer(fragments: readonly (Fragment | undefined)[], isolated: readonly IsolatedPod[]): FlowEnd[] {
  const items = fragments.flatMap((fragment) => fragment?.items ?? []);
  const ips = new Set(items.flatMap((item) => (item.kind === 'element' ? [String(item.key[0])] : [])));
  const judged = new Set(isolated.flatMap(({ directions }) => directions));
  return [...judged].flatMap((direction) =>
    [...ips].map((ip) => endAt(direction === 'ingress' ? 'egress' : 'ingress', ip)),
  );
}

export class FlowCutter {
  readonly #kernel: Pick<Kernel, 'cutFlows'>;
  readonly #engine: PolicyEngine;
  readonly #nodeName: string;
  /** What to look at with the next look, by its text. */
  readonly #due = new Map<string, FlowEnd>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #idle = Promise.withResolvers<void>();
  #notBefore = 0;
  #closed = false;

  constructor(kernel: Pick<Kernel, 'cutFlows'>, engine: PolicyEngine, nodeName: string) {
    this.#kernel = kernel;
    this.#engine = engine;
    this.#nodeName = nodeName;
    this.#idle.resolve();
  }

  /** Settles when no look at the connections is due. */
  get idle(): Promise<void> {
    return this.#idle.promise;
  }

  cutSoon(ends: readonly FlowEnd[]): void {
    if (ends.length === 0 || this.#closed) return;
    if (this.#due.size === 0 && !this.#isLooking) this.#idle = Promise.withResolvers();
    for (const end of ends) this.#due.set(JSON.stringify(end), end);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || this.#isLooking) return;
    const wait = Math.max(GATHER, this.#notBefore - performance.now());
    this.#timer = setTimeout(() => void this.#cut(), wait);
  }

  async #cut(): Promise<void> {
    this.#timer = undefined;
    const ends = [...this.#due.values()];
    this.#due.clear();
    this.#isLooking = true;
    const started = performance.now();
    try {
      const cut = await this.#kernel.cutFlows(ends, (flow) => this.#isForbidden(flow));
      if (cut > 0) log.info({ node: this.#nodeName, cut }, 'cut connections that NetworkPolicies forbid');
    } catch (error) {
      log.error({ node: this.#nodeName, err: error }, 'connections that NetworkPolicies forbid could not be cut');
    }
    this.#isLooking = false;
    // Whoever changes policies without end gets half of a core at most.
    const ended = performance.now();
    this.#notBefore = 2 * ended - started;
    if (this.#due.size > 0 && !this.#closed) this.#schedule();
    else this.#idle.resolve();
  }

  /** By the client's address and that of the pod behind a Service. Every node sees to its own pods. */
  #isForbidden({ original, reply }: TrackedFlow): boolean {
    const protocol = PROTOCOLS[original.protocol] ?? 'other';
    const flow: Flow = { from: original.src, to: reply.src, protocol, port: reply.srcPort ?? 0 };
    const here = (ip: string) => this.#engine.podAt(ip)?.node === this.#nodeName;
    return (
      (here(flow.from) && !judgeSide(this.#engine, 'egress', flow).allowed) ||
      (here(flow.to) && !judgeSide(this.#engine, 'ingress', flow).allowed)
    );
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#idle.resolve();
  }
}
