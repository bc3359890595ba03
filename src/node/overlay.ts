// Room node: the ways to other nodes' pods as Nodes come, change and go, and the change from one backend to another under traffic.
import { isDeepStrictEqual } from 'node:util';
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { Informer } from '../cache/informer.ts';
import type { Node } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { OverlayFacts, OverlaySettings, RemoteNode } from '../plan/overlay/backend.ts';
import { overlayMtu, planOverlay, planRemoteNode } from '../plan/overlay/overlay.ts';
import { UDP_PORT } from '../plan/overlay/udp.ts';
import type { Fragment } from '../plan/plan.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';
import type { RoutedPods } from './network.ts';
import type { PathFinder } from './path-mtu.ts';
import { UdpOverlay } from './udp-overlay.ts';

const log = logger('network');
const DEFAULT: OverlaySettings = { backend: 'vxlan', directRouting: false };

/** The options with all that the overlay's plans ask for. */
export function withOverlay(options: NodeOptions, nodeLink = ''): NodeOptions & OverlayFacts {
  const { overlay = DEFAULT, segmentCIDRs = options.nodeCIDRs, routers = [] } = options;
  const fastPath = options.datapath?.kind === 'ebpf';
  return { ...options, overlay, segmentCIDRs, routers, nodeLink, fastPath };
}

/**
 * The steps in which all nodes go from one backend to another, each on every node before the next begins: first each can
 * receive both ways, then each sends the new way, then the old end goes.
 */
export const OVERLAY_STEPS = ['receive', 'send', 'finish'] as const;
export type OverlayStep = (typeof OVERLAY_STEPS)[number];

export interface OverlayParts {
  readonly options: NodeOptions;
  readonly nodeLink: string;
  readonly reconciler: Reconciler;
  readonly pods: Pick<RoutedPods, 'resize'>;
}

/** A node's end of the overlay. The constructor puts it in force. */
export class Overlay {
  readonly #parts: OverlayParts;
  readonly #remotes = new Map<string, RemoteNode>();
  #facts: OverlayFacts;
  /** By which other nodes may send already, or still, while the cluster goes from one to the other. */
  #other: OverlaySettings | undefined;
  #carrier: UdpOverlay | undefined;

  constructor(parts: OverlayParts) {
    this.#parts = parts;
    this.#facts = withOverlay(parts.options, parts.nodeLink);
    parts.reconciler.update(new Map([['overlay', planOverlay(this.#facts)]]));
    this.#carry(this.#facts);
  }

  /** Of all backends one has its packets carried by the agent itself. */
  #carry({ overlay, nodeIPs }: OverlayFacts): void {
    if (overlay.backend !== 'udp' || this.#carrier) return;
    const { netns } = this.#parts.options;
    this.#carrier = new UdpOverlay({ local: nodeIPs[0]!, port: UDP_PORT, ...(netns && { netns }) });
    for (const [name, remote] of this.#remotes) this.#carrier.set(name, remote);
  }

  #stopCarrying(): void {
    this.#carrier?.close();
    this.#carrier = undefined;
  }

  get settings(): OverlaySettings {
    return this.#facts.overlay;
  }

  /** Undefined: the node is gone. */
  set(name: string, told: RemoteNode | undefined): void {
    this.setAll(new Map([[name, told]]));
  }

  /** In one transaction. */
  setAll(nodes: ReadonlyMap<string, RemoteNode | undefined>): void {
    for (const [name, told] of nodes) {
      const { pathMtus } = this.#remotes.get(name) ?? {};
      const remote = told && { ...told, ...(pathMtus && { pathMtus }) };
      if (remote) this.#remotes.set(name, remote);
      else this.#remotes.delete(name);
      this.#carrier?.set(name, remote);
    }
    this.#update([...nodes.keys()]);
  }

  /** What the way to a node was found to carry. */
  setPath(name: string, pathMtus: NonNullable<RemoteNode['pathMtus']>): void {
    const remote = this.#remotes.get(name);
    if (!remote) return;
    this.#remotes.set(name, { ...remote, pathMtus });
    this.#update([name]);
  }

  #update(names: readonly string[]): void {
    // A Node's labels and readiness change, and nothing here.
    const changed = names.filter((name) => !isDeepStrictEqual(this.#planned(name), this.#plan(name)));
    if (changed.length === 0) return;
    try {
      this.#parts.reconciler.update(new Map(changed.map((name) => [nodeKey(name), this.#plan(name)])));
    } catch (error) {
      if (changed.length === 1) this.#complain(changed[0]!, error);
      else for (const name of changed) this.#updateAlone(name);
    }
  }

  /** One way that the kernel refuses must not hold up the others that came with it. */
  #updateAlone(name: string): void {
    try {
      this.#parts.reconciler.update(new Map([[nodeKey(name), this.#plan(name)]]));
    } catch (error) {
      this.#complain(name, error);
    }
  }

  #complain(node: string, error: unknown): void {
    log.error({ node, err: error }, 'the way to a node could not be set; it is tried again');
  }

  #planned(name: string): Fragment | undefined {
    return this.#parts.reconciler.plan.get(nodeKey(name));
  }

  #plan(name: string): Fragment | undefined {
    const remote = this.#remotes.get(name);
    return remote && planRemoteNode(this.#facts, remote, this.#other);
  }

  /** One transaction. Throws a KernelError; asking again for the step is safe. */
  change(settings: OverlaySettings, step: OverlayStep): void {
    const next = { ...this.#facts, overlay: settings };
    if (step === 'receive') this.#receive(next);
    else if (step === 'send') this.#send(next);
    else this.#finish(next);
  }

  #receive(next: OverlayFacts): void {
    const own = planOverlay(this.#facts);
    const both = [...own.items, ...planOverlay(next).items];
    // What may soon be sent with more around it must be smaller before.
    const mtu = Math.min(overlayMtu(this.#facts), overlayMtu(next));
    this.#other = next.overlay;
    const ends = [['overlay', { ...own, items: both }], ...this.#ways()] as const;
    this.#parts.reconciler.update(new Map<string, Fragment | undefined>([...ends, ...this.#parts.pods.resize(mtu)]));
    this.#carry(next);
  }

  #send(next: OverlayFacts): void {
    if (!isDeepStrictEqual(this.#facts.overlay, next.overlay)) this.#other = this.#facts.overlay;
    this.#facts = next;
    this.#parts.reconciler.update(new Map(this.#ways()));
  }

  #ways(): (readonly [string, Fragment | undefined])[] {
    return [...this.#remotes.keys()].map((name) => [nodeKey(name), this.#plan(name)]);
  }

  #finish(next: OverlayFacts): void {
    this.#facts = next;
    this.#other = undefined;
    if (next.overlay.backend !== 'udp') this.#stopCarrying();
    const pods = this.#parts.pods.resize(overlayMtu(next));
    this.#parts.reconciler.update(new Map([['overlay', planOverlay(next)], ...this.#ways(), ...pods]));
    log.info({ node: next.nodeName, overlay: next.overlay }, 'the overlay is changed');
  }

  /** Ends what the agent itself does; what the kernel holds stays. */
  close(): void {
    this.#stopCarrying();
  }
}

function nodeKey(name: string): string {
  return `node/${name}`;
}

/** What one turn of the event loop brings is put in force together. Returns how to stop. */
export function watchNodes(
  overlay: Overlay,
  nodeName: string,
  nodes: Informer<Node>,
  paths?: Pick<PathFinder, 'set'>,
): () => void {
  let due = new Map<string, RemoteNode | undefined>();
  const tell = () => {
    const told = due;
    due = new Map();
    overlay.setAll(told);
  };
  return nodes.onChange(({ type, object }) => {
    const { name } = object.metadata;
    if (name === nodeName) return;
    const remote = type === 'delete' ? undefined : remoteNode(object);
    const ready = object.status?.conditions?.find((each) => each.type === 'Ready');
    if (due.size === 0) queueMicrotask(tell);
    due.set(name, remote);
    paths?.set(name, remote, ready?.status === 'True');
  });
}

/** Asks the ways to nodes behind a router what they carry; undefined where there is no router. */
export async function findPaths(overlay: Overlay, options: NodeOptions): Promise<PathFinder | undefined> {
  const facts = withOverlay(options);
  if (options.nodeCIDRs.every((cidr) => facts.segmentCIDRs.includes(cidr))) return undefined;
  const { PathFinder } = await import('./path-mtu.ts');
  const { netns } = options;
  return new PathFinder({ facts, ...(netns && { netns }), onFound: (name, mtus) => overlay.setPath(name, mtus) });
}

/** What the overlay needs to know of a Node: InternalIP addresses and spec.podCIDRs. */
export function remoteNode(node: Node): RemoteNode {
  const addresses = node.status?.addresses ?? [];
  const ips: IP[] = addresses.filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
  const single = node.spec?.podCIDR;
  const podCIDRs: readonly CIDR[] = node.spec?.podCIDRs ?? (single ? [single] : []);
  return { name: node.metadata.name, ips, podCIDRs };
}
