// Room node: connections that are there and that policies forbid now are cut: their next packets meet the rules again.
import type { Kernel, TrackedFlow } from '../kernel/kernel.ts';
import { logger } from '../observe/log.ts';
import type { Fragment } from '../plan/plan.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { type Flow, judgeSide } from '../plan/policy/judge.ts';
import type { Changes, IsolatedPod } from '../plan/policy/node-policies.ts';

const log = logger('policies');

/** A look at all connections costs: changes that come together share one. Milliseconds. */
const GATHER = 10;
/** Whoever changes policies without end gets at most this part of our time. */
const SHARE = 10;
const PROTOCOLS: Readonly<Record<number, Flow['protocol']>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
  136: 'UDPLite',
};

/** Whether the changes may forbid what was allowed. `before` is the plan without them. */
export function forbids(changes: Changes, before: ReadonlyMap<string, Fragment>): boolean {
  for (const [key, fragment] of changes) {
    const old = before.get(key);
    const same = old && fragment && JSON.stringify(old.items) === JSON.stringify(fragment.items);
    // What isolates forbids where it is new, and whatever several tiers say may; peers and allowances forbid where they go.
    const whereNew = key.startsWith('policy/pod/') || (key.startsWith('policy/tier') && key !== 'policy/tier-base');
    if (whereNew ? !same && (fragment ?? key.startsWith('policy/tier')) : old && !same) return true;
  }
  return false;
}

export class FlowCutter {
  readonly #kernel: Pick<Kernel, 'cutFlows'>;
  readonly #engine: PolicyEngine;
  readonly #nodeName: string;
  #timer: NodeJS.Timeout | undefined;
  #idle = Promise.withResolvers<void>();
  #notBefore = 0;

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

  /** Only isolated pods have connections that may be forbidden. */
  cutSoon(isolated: readonly IsolatedPod[]): void {
    if (isolated.length === 0 || this.#timer) return;
    this.#idle = Promise.withResolvers();
    const wait = Math.max(GATHER, this.#notBefore - performance.now());
    this.#timer = setTimeout(() => this.#cut(), wait);
  }

  #cut(): void {
    this.#timer = undefined;
    const started = performance.now();
    try {
      const cut = this.#kernel.cutFlows((flow) => this.#isForbidden(flow));
      if (cut > 0) log.info({ node: this.#nodeName, cut }, 'cut connections that NetworkPolicies forbid');
    } catch (error) {
      log.error({ node: this.#nodeName, err: error }, 'connections that NetworkPolicies forbid could not be cut');
    }
    const ended = performance.now();
    this.#notBefore = ended + (ended - started) * SHARE;
    this.#idle.resolve();
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
    clearTimeout(this.#timer);
    this.#idle.resolve();
  }
}
