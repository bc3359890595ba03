// Room lb: a node's part in the load balancer: its election, with a socket to the others, the neighbours, and the kernel's plan.
import { createSocket, type Socket } from 'node:dgram';
import { familyOf, type IP } from '../addr/ip.ts';
import type { KernelItem } from '../kernel/items.ts';
import { type Kernel, KernelError } from '../kernel/kernel.ts';
import type { ObjectRef } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { servePages } from '../observe/pages.ts';
import { addressFragmentKey, planAddress } from '../plan/lb.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import { type Beat, encodeBeat } from './beat.ts';
import { Election, type Hands, type Wanted } from './election.ts';
import { Neighbours, type NodeLink } from './neighbours.ts';
import type { Member } from './peers.ts';

const log = logger('lb');
/** UDP, between the nodes' own addresses. */
export const LB_PORT = 7946;
/** Where MetalLB has its metrics. */
const METRICS_PORT = 7472;
/** The kernel tells nobody when an entry for NDP goes: it is looked at. */
const LOOK_MS = 500;
/** The same is not noted more often. */
const NOTE_MS = 30_000;

export interface SpeakerOptions {
  readonly cluster: string;
  readonly node: string;
  readonly router?: IP;
  readonly link: NodeLink & { readonly name: string };
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'read'>;
  /** Told of each address that this node answers for from now on. `services`: `namespace/name`. */
  readonly onClaim?: (ip: IP, services: readonly string[]) => void;
}

/** What a node tells of an address for which it answers. */
export interface ClaimReport {
  readonly ip: IP;
  readonly services: readonly string[];
  /** RFC 3339 */
  readonly since: string;
  readonly epoch: number;
  readonly why: string;
}

export class Speaker implements Hands {
  readonly #options: SpeakerOptions;
  readonly #election: Election;
  readonly #neighbours: Neighbours;
  readonly #socket: Socket;
  readonly #notes = new Map<string, number>();
  readonly #pages: { close(): void };
  readonly #counts = {
    announced: new Map<IP, number>(),
    claims: new Map<IP, number>(),
    releases: new Map<IP, number>(),
  };
  #wanted: ReadonlyMap<IP, Wanted> = new Map();
  #timer: NodeJS.Timeout | undefined;
  #lastLook = 0;
  #closed = false;

  /** `held`: addresses that the kernel answers for already. */
  constructor(options: SpeakerOptions, held: readonly IP[]) {
    this.#options = options;
    const { cluster, node, router, link } = options;
    this.#election = new Election({ cluster, node, ...(router && { router }) }, this);
    this.#neighbours = new Neighbours(link, (ip, mac) => this.#election.answered(ip, mac, performance.now()));
    const v6 = familyOf(link.ips[0]!) === 6;
    this.#socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: (ip, _, done) => done(null, ip, v6 ? 6 : 4) });
    this.#socket.on('message', (bytes, from) => this.#election.receive(bytes, from.address, performance.now()));
    this.#socket.on('error', (error) => log.error({ node, err: error }, 'the socket to the other nodes'));
    this.#socket.bind(LB_PORT, link.ips[0]);
    this.#socket.unref();
    this.#pages = this.#servePages();
    this.#election.adopt(held, performance.now());
    for (const ip of held) this.#put(ip, { kind: 'Node', name: node });
    if (held.length > 0)
      log.info({ node, addresses: held }, 'load balancer addresses of an earlier agent are taken over');
  }

  #servePages(): { close(): void } {
    const { node, link } = this.#options;
    const sources = () => ({
      node,
      claims: this.report(),
      counts: this.#counts,
      members: this.#election.memberCount(performance.now()),
    });
    return servePages({
      ips: link.ips,
      port: METRICS_PORT,
      pages: {
        '/metrics': async () => {
          const { lbMetricsText } = await import('./metrics.ts');
          return { body: await lbMetricsText(sources()) };
        },
      },
      onRefused: (ip, err) =>
        log.warn({ node, ip, port: METRICS_PORT, err }, 'no metrics here: the port is not to be had'),
    });
  }

  update(members: readonly Member[], wanted: ReadonlyMap<IP, Wanted>): void {
    if (this.#closed) return;
    const before = this.#wanted;
    this.#wanted = wanted;
    for (const [ip] of this.#election.claims) {
      // Whose they are is written beside what is in the kernel.
      const service = wanted.get(ip)?.services[0];
      if (service !== undefined && service !== before.get(ip)?.services[0]) this.#put(ip, refOf(service));
    }
    const now = performance.now();
    this.#election.peers.members = members;
    this.#election.setWanted(wanted, now);
    this.#run();
  }

  #run(): void {
    if (this.#timer || this.#closed || !this.#election.isActive) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const again = this.#election.tick(performance.now());
      this.#lookAtKernel();
      // What came while this thread did something else is read before anything is judged.
      if (again) setTimeout(() => !this.#closed && this.#election.tick(performance.now()), 1).unref();
      this.#run();
    }, this.#election.tickMs).unref();
  }

  claim(ip: IP, why: string): boolean {
    const services = this.#wanted.get(ip)?.services ?? [];
    if (!this.#put(ip, refOf(services[0] ?? ''))) return false;
    count(this.#counts.claims, ip);
    this.announce(ip);
    log.info({ node: this.#options.node, address: ip, services, why }, `${this.#options.node} claims ${ip}: ${why}`);
    this.#options.onClaim?.(ip, services);
    return true;
  }

  #put(ip: IP, service: ObjectRef): boolean {
    const { name: link, ips: nodeIPs } = this.#options.link;
    const fragment = planAddress({ ip, link, nodeIPs, service });
    return this.#plan(ip, new Map([[addressFragmentKey(ip), fragment]]));
  }

  #plan(ip: IP, changes: Parameters<Reconciler['update']>[0]): boolean {
    try {
      this.#options.reconciler.update(changes);
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      log.error({ node: this.#options.node, address: ip, err: error }, 'the kernel refused');
      return false;
    }
  }

  withdraw(ip: IP, why: string): void {
    this.#plan(ip, new Map([[addressFragmentKey(ip), undefined]]));
    count(this.#counts.releases, ip);
    const { node } = this.#options;
    log.info(
      { node, address: ip, services: this.#wanted.get(ip)?.services ?? [], why },
      `${node} gives up ${ip}: ${why}`,
    );
  }

  announce(ip: IP): void {
    this.#neighbours.announce(ip);
    count(this.#counts.announced, ip);
  }

  ask(ip: IP): void {
    this.#neighbours.ask(ip);
  }

  send(beat: Beat): void {
    const bytes = encodeBeat(beat);
    // A wire that is cut is no error of ours.
    for (const { ip } of this.#election.peers.others) this.#socket.send(bytes, LB_PORT, ip, () => {});
  }

  note(ip: IP, what: string): void {
    const now = performance.now();
    const key = `${ip} ${what}`;
    if (now - (this.#notes.get(key) ?? -Infinity) < NOTE_MS) return;
    this.#notes.set(key, now);
    log.warn({ node: this.#options.node, address: ip }, `${ip}: ${what}`);
  }

  #lookAtKernel(): void {
    const now = performance.now();
    const v6 = [...this.#election.claims.keys()].filter((ip) => familyOf(ip) === 6);
    if (v6.length === 0 || now - this.#lastLook < LOOK_MS) return;
    this.#lastLook = now;
    const { kernel, reconciler, node } = this.#options;
    try {
      const there = proxiesIn(kernel.read('links'));
      if (v6.every((ip) => there.has(ip))) return;
      const repaired = reconciler.repairLinks(new Set());
      log.warn({ node, repaired }, 'kernel state that others had changed is repaired');
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      log.error({ node, err: error }, 'what the kernel answers for could not be read');
    }
  }

  report(): ClaimReport[] {
    const now = performance.now();
    return [...this.#election.claims.values()].map(({ ip, epoch, since, why }) => ({
      ip,
      services: this.#wanted.get(ip)?.services ?? [],
      since: new Date(Date.now() - (now - since)).toISOString(),
      epoch,
      why,
    }));
  }

  /** Gives the address to `to`, or to the next best node. Returns to whom; undefined when this node has it not, or nobody else can. */
  move(ip: IP, to: string | undefined): string | undefined {
    return this.#election.move(ip, to, performance.now());
  }

  /** `leave`: the node goes, others are to have its addresses; else an agent that comes later has them still. */
  async close(leave: boolean): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#pages.close();
    if (leave) this.#election.leave(performance.now());
    // What was sent leaves before the socket does.
    await new Promise<void>((resolve) => setImmediate(() => this.#socket.close(resolve)));
    this.#neighbours.close();
  }
}

function count(counts: Map<IP, number>, ip: IP): void {
  counts.set(ip, (counts.get(ip) ?? 0) + 1);
}

function proxiesIn(items: readonly KernelItem[]): Set<IP> {
  return new Set(items.flatMap((item) => (item.kind === 'proxy' ? [item.ip] : [])));
}

function refOf(key: string): ObjectRef {
  const [namespace = '', name = ''] = key.split('/');
  return { kind: 'Service', namespace, name };
}
