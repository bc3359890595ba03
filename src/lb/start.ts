// Room lb: the load balancer of one node: at rest until there is a Service with an address, or one that an earlier agent answered for.
import type { IP } from '../addr/ip.ts';
import { parsePrefix } from '../addr/prefix.ts';
import type { Informer } from '../cache/informer.ts';
import type { Recorder } from '../client/recorder.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type EndpointSlice, type Node, objectKey, type Service } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { Wanted } from './election.ts';
import type { NodeLink } from './neighbours.ts';
import type { Member } from './peers.ts';
import type { ClaimReport, Speaker } from './speaker.ts';
import { addressesOf, isOfSegment, memberOf, type SegmentFacts, wantedAddress } from './wanted.ts';

const log = logger('lb');

export interface LoadBalancerParts {
  readonly clusterName: string;
  readonly nodeName: string;
  readonly segment: SegmentFacts;
  readonly router?: IP;
  readonly link: NodeLink & { readonly name: string };
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'read'>;
  readonly recorder: Recorder;
  readonly informers: {
    readonly services: Informer<Service>;
    readonly slices: Informer<EndpointSlice>;
    readonly nodes: Informer<Node>;
  };
}

export interface LoadBalancer {
  report(): ClaimReport[];
  /** To whom the address goes; undefined when this node has it not, or nobody else can have it. */
  move(ip: IP, to?: string): string | undefined;
  /** `leave`: others are to have its addresses at once; else whoever is the node's next agent has them still. */
  close(leave: boolean): Promise<void>;
}

/** What the kernel holds from an earlier agent is in the plan when this returns. */
export async function startLoadBalancer(parts: LoadBalancerParts): Promise<LoadBalancer> {
  const held = heldIn(parts.kernel.read('links'));
  const balancer = new NodeLoadBalancer(parts);
  if (held.length > 0) await balancer.speak(held);
  balancer.watch();
  return balancer;
}

function heldIn(items: readonly KernelItem[]): IP[] {
  return items.flatMap((item) => (item.kind === 'route' && item.type === 'local' ? [parsePrefix(item.dst).ip] : []));
}

class NodeLoadBalancer implements LoadBalancer {
  readonly #parts: LoadBalancerParts;
  readonly #stops: (() => void)[] = [];
  readonly #wanted = new Map<IP, Wanted>();
  readonly #members = new Map<string, Member>();
  /** By address, the Services that have it. */
  readonly #services = new Map<IP, Map<string, Service>>();
  #speaker: Speaker | undefined;
  #loading = false;
  #synced = false;
  #due = false;
  #closed = false;

  constructor(parts: LoadBalancerParts) {
    this.#parts = parts;
  }

  /** The rest of the room is loaded by whoever needs it. */
  async speak(held: readonly IP[]): Promise<void> {
    this.#loading = true;
    const { Speaker } = await import('./speaker.ts');
    if (this.#closed) return;
    const { clusterName: cluster, nodeName: node, router, link, reconciler, kernel } = this.#parts;
    const onClaim = (_: IP, services: readonly string[]) => this.#noteClaim(services);
    this.#speaker = new Speaker({ cluster, node, link, reconciler, kernel, onClaim, ...(router && { router }) }, held);
    this.#tell();
  }

  /** Under the name that users of MetalLB know. */
  #noteClaim(services: readonly string[]): void {
    const { recorder, informers, nodeName } = this.#parts;
    for (const key of services) {
      const service = informers.services.get(key);
      if (!service) continue;
      recorder.event(service, 'Normal', 'nodeAssigned', `announcing from node "${nodeName}" with protocol "layer2"`);
    }
  }

  watch(): void {
    const { services, slices, nodes } = this.#parts.informers;
    this.#stops.push(
      services.onChange((change) => {
        if (change.type === 'update') this.#setService(change.old, true);
        this.#setService(change.object, change.type === 'delete');
      }),
      slices.onChange(({ object }) => this.#setSlice(object)),
      nodes.onChange(({ type, object }) => this.#setNode(object, type === 'delete')),
    );
    void Promise.all([services.synced, slices.synced, nodes.synced]).then(() => {
      this.#synced = true;
      this.#tell();
    });
  }

  #setService(service: Service, gone: boolean): void {
    const key = objectKey(service);
    for (const ip of addressesOf(service)) {
      if (!isOfSegment(ip, this.#parts.segment)) continue;
      const holders = this.#services.get(ip) ?? new Map<string, Service>();
      if (gone) holders.delete(key);
      else holders.set(key, service);
      if (holders.size > 0) this.#services.set(ip, holders);
      else this.#services.delete(ip);
      this.#want(ip);
    }
  }

  #want(ip: IP): void {
    const holders = this.#services.get(ip);
    if (holders) this.#wanted.set(ip, wantedAddress(ip, [...holders.values()], this.#parts.informers.slices));
    else this.#wanted.delete(ip);
    this.#tell();
  }

  #setSlice({ metadata }: EndpointSlice): void {
    const name = metadata.labels?.['kubernetes.io/service-name'];
    if (name === undefined) return;
    const service = this.#parts.informers.services.get(`${metadata.namespace}/${name}`);
    if (service?.spec.externalTrafficPolicy !== 'Local') return;
    for (const ip of addressesOf(service)) if (this.#services.has(ip)) this.#want(ip);
  }

  #setNode(node: Node, gone: boolean): void {
    const member = gone ? undefined : memberOf(node, this.#parts.segment);
    if (member) this.#members.set(node.metadata.name, member);
    else this.#members.delete(node.metadata.name);
    this.#tell();
  }

  /** Once for all that a turn of the event loop brings. */
  #tell(): void {
    if (this.#due || !this.#synced || this.#closed) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (this.#closed) return;
      if (this.#speaker) this.#speaker.update([...this.#members.values()], new Map(this.#wanted));
      else if (this.#wanted.size > 0 && !this.#loading) {
        this.speak([]).catch((error: unknown) => log.error({ err: error }, 'the load balancer could not start'));
      }
    });
  }

  report(): ClaimReport[] {
    return this.#speaker?.report() ?? [];
  }

  move(ip: IP, to?: string): string | undefined {
    return this.#speaker?.move(ip, to);
  }

  async close(leave: boolean): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    await this.#speaker?.close(leave);
  }
}
