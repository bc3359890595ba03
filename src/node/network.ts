// Room node: the node's network: what it needs before its first pod, pods attached and detached, the way to other nodes.
import { closeSync, fstatSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { Informer } from '../cache/informer.ts';
import { Leases } from '../ipam/leases.ts';
import { linkWithAddress } from '../kernel/linux-read.ts';
import type { Node } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { logger } from '../observe/log.ts';
import { planNode } from '../plan/node.ts';
import { overlayMtu, planOverlay, planRemoteNode, type RemoteNode } from '../plan/overlay.ts';
import type { Fragment } from '../plan/plan.ts';
import { planPod } from '../plan/pods.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import { openNamespace } from '../sys/netns.ts';
import type { NodeOptions } from './agent.ts';
import type { PodAttachment, PodNetwork } from './pod-network.ts';

const log = logger('network');

export interface PodNetworkParts {
  readonly options: NodeOptions;
  readonly reconciler: Reconciler;
  /** The link that has the node's address; found by itself when absent. */
  readonly nodeLink?: string;
}

/** Sets the node up (forwarding, lo, DNS address, its end of the overlay) and gives the hand that wires pods. */
export function createPodNetwork({ options, reconciler, nodeLink }: PodNetworkParts): PodNetwork {
  const link = nodeLink ?? linkWithAddress(options.nodeIPs[0]!);
  if (link === undefined) {
    throw new Fault(`no interface has the address ${options.nodeIPs[0]} of node ${options.nodeName}`);
  }
  reconciler.update(
    new Map([
      ['node', planNode({ ...options, nodeLink: link })],
      ['overlay', planOverlay(options)],
    ]),
  );
  return new RoutedPods(options, reconciler);
}

class RoutedPods implements PodNetwork {
  readonly #options: NodeOptions;
  readonly #reconciler: Reconciler;
  readonly #leases: Leases;
  /** Sandbox to the inode of its namespace: one that was made anew under the same path must be wired anew. */
  readonly #attached = new Map<string, bigint>();

  constructor(options: NodeOptions, reconciler: Reconciler) {
    this.#options = options;
    this.#reconciler = reconciler;
    this.#leases = new Leases({ dir: `${options.stateDir}/leases`, cidrs: options.podCIDRs });
  }

  attach(pod: PodAttachment): readonly IP[] {
    const { sandboxId, podNamespace, podName } = pod;
    const key = podKey(sandboxId);
    const namespace = namespaceInode(pod.netns);
    const before = this.#attached.get(sandboxId);
    if (before !== undefined && before !== namespace) this.#reconciler.update(new Map([[key, undefined]]));
    const { ips } = this.#leases.lease(sandboxId, `${podNamespace}/${podName}`, pod.earlierIPs);
    const { nodeIPs } = this.#options;
    try {
      this.#reconciler.update(new Map([[key, planPod({ ...pod, ips, nodeIPs, mtu: overlayMtu(this.#options) })]]));
    } catch (error) {
      this.detach(sandboxId);
      throw error;
    }
    this.#attached.set(sandboxId, namespace);
    return ips;
  }

  detach(sandboxId: string): void {
    this.#attached.delete(sandboxId);
    try {
      this.#reconciler.update(new Map([[podKey(sandboxId), undefined]]));
    } catch (error) {
      // The reconciler tries again; nobody waits for this pod's remains.
      log.warn({ sandboxId, err: error }, 'detach');
    }
    this.#leases.release(sandboxId);
  }

  retain(sandboxIds: ReadonlySet<string>): void {
    for (const { sandboxId } of this.#leases.all()) if (!sandboxIds.has(sandboxId)) this.detach(sandboxId);
  }
}

function podKey(sandboxId: string): string {
  return `pod/${sandboxId}`;
}

function namespaceInode(netns: string): bigint {
  const fd = openNamespace(netns);
  try {
    return fstatSync(fd, { bigint: true }).ino;
  } finally {
    closeSync(fd);
  }
}

export interface WatchNodesParts {
  readonly options: NodeOptions;
  readonly reconciler: Reconciler;
  readonly nodes: Informer<Node>;
}

/** Keeps the ways to the other nodes' pods as the Nodes come, change and go. Returns how to stop. */
export function watchNodes({ options, reconciler, nodes }: WatchNodesParts): () => void {
  const update = (name: string, fragment: Fragment | undefined) => {
    const key = `node/${name}`;
    // Heartbeats change a Node every few seconds, and nothing here.
    if (isDeepStrictEqual(reconciler.plan.get(key), fragment)) return;
    try {
      reconciler.update(new Map([[key, fragment]]));
    } catch (error) {
      log.error({ node: name, err: error }, 'the way to a node could not be set; it is tried again');
    }
  };
  return nodes.onChange(({ type, object }) => {
    const { name } = object.metadata;
    if (name === options.nodeName) return;
    update(name, type === 'delete' ? undefined : planRemoteNode(options, remoteNode(object)));
  });
}

/** What the overlay needs to know of a Node: InternalIP addresses and spec.podCIDRs. */
export function remoteNode(node: Node): RemoteNode {
  const addresses = node.status?.addresses ?? [];
  const ips: IP[] = addresses.filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
  const single = node.spec?.podCIDR;
  const podCIDRs: readonly CIDR[] = node.spec?.podCIDRs ?? (single ? [single] : []);
  return { name: node.metadata.name, ips, podCIDRs };
}
