// Room node: the node's network: what it needs before its first pod, and pods attached and detached.
import { closeSync, fstatSync } from 'node:fs';
import type { IP } from '../addr/ip.ts';
import { isCniSandbox } from '../cni/attachment.ts';
import { Steps } from '../cni/steps.ts';
import { Leases, nodeLeasesPath } from '../ipam/leases.ts';
import type { ConntrackFilter, Kernel } from '../kernel/kernel.ts';
import { linkWithAddress } from '../kernel/linux-read.ts';
import { Fault } from '../observe/fault.ts';
import { logger } from '../observe/log.ts';
import { staleHostPortFlows } from '../plan/host-ports.ts';
import { planNode } from '../plan/node.ts';
import { overlayMtu } from '../plan/overlay/overlay.ts';
import type { Fragment } from '../plan/plan.ts';
import { planPod } from '../plan/pods.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import { openNamespace } from '../sys/netns.ts';
import type { NodeOptions } from './agent.ts';
import { withOverlay } from './overlay.ts';
import type { PodAttachment, PodNetwork } from './pod-network.ts';

const log = logger('network');

export interface PodNetworkParts {
  readonly options: NodeOptions;
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'flushConntrack'>;
  /** The link that has the node's address; found by itself when absent. */
  readonly nodeLink?: string;
}

/** Sets the node up (forwarding, lo, DNS address) and gives the hand that wires pods. */
export function createPodNetwork(parts: PodNetworkParts): RoutedPods {
  const { options, reconciler } = parts;
  const link = parts.nodeLink ?? linkOfNode(options);
  const { segmentCIDRs: segment = options.nodeCIDRs } = options;
  reconciler.update(new Map([['node', planNode({ ...options, segment, nodeLink: link, fastPath: isFast(options) })]]));
  return new RoutedPods(parts);
}

/** Throws a Fault when no interface has the node's address. */
export function linkOfNode({ nodeIPs, nodeName }: Pick<NodeOptions, 'nodeIPs' | 'nodeName'>): string {
  const link = linkWithAddress(nodeIPs[0]!);
  if (link === undefined) throw new Fault(`no interface has the address ${nodeIPs[0]} of node ${nodeName}`);
  return link;
}

interface Attached {
  readonly pod: PodAttachment;
  readonly ips: readonly IP[];
  /** Inode of its namespace: one that was made anew under the same path must be wired anew. */
  readonly inode: bigint;
}

export class RoutedPods implements PodNetwork {
  readonly #options: NodeOptions;
  readonly #reconciler: Reconciler;
  readonly #kernel: PodNetworkParts['kernel'];
  readonly #leases: Leases;
  readonly #attached = new Map<string, Attached>();
  #mtu: number;

  constructor({ options, reconciler, kernel }: PodNetworkParts) {
    this.#options = options;
    this.#reconciler = reconciler;
    this.#kernel = kernel;
    const { stateDir, podCIDRs: cidrs, addressRestSeconds: restSeconds = 0 } = options;
    this.#leases = new Leases({ path: nodeLeasesPath(stateDir), cidrs, restSeconds });
    this.#mtu = overlayMtu(withOverlay(options));
  }

  attach(pod: PodAttachment, steps = new Steps()): readonly IP[] {
    const { sandboxId, podNamespace, podName } = pod;
    const key = podKey(sandboxId);
    const inode = namespaceInode(pod.netns);
    const before = this.#attached.get(sandboxId);
    if (before !== undefined && before.inode !== inode) this.#reconciler.update(new Map([[key, undefined]]));
    const holder = `${podNamespace}/${podName}`;
    const { ips } = steps.measure('ipam', () => this.#leases.lease(sandboxId, holder, pod.earlierIPs));
    try {
      steps.measure('interface and rules', () => this.#reconciler.update(new Map([[key, this.#plan(pod, ips)]])));
    } catch (error) {
      this.detach(sandboxId);
      throw error;
    }
    this.#attached.set(sandboxId, { pod, ips, inode });
    // After the rules: a flow that is cut earlier would be tracked anew by the old ones.
    this.#forgetFlows(staleHostPortFlows({ ...pod, ips, hostPorts: pod.hostPorts ?? [] }, this.#options.nodeIPs));
    return ips;
  }

  #forgetFlows(filters: readonly ConntrackFilter[]): void {
    if (filters.length === 0) return;
    try {
      this.#kernel.flushConntrack(filters);
    } catch (error) {
      log.error({ err: error }, 'stale UDP flows could not be removed');
    }
  }

  #plan(pod: PodAttachment, ips: readonly IP[]): Fragment {
    const { nodeIPs } = this.#options;
    return planPod({ ...pod, ips, nodeIPs, mtu: this.#mtu, fastPath: isFast(this.#options) });
  }

  /** From now on pods have this MTU. Returns the fragments of those that are there. */
  resize(mtu: number): Map<string, Fragment> {
    if (mtu === this.#mtu) return new Map();
    this.#mtu = mtu;
    return new Map([...this.#attached].map(([sandboxId, { pod, ips }]) => [podKey(sandboxId), this.#plan(pod, ips)]));
  }

  detach(sandboxId: string): void {
    // Of a pod that went while no agent was there nobody knows what ports it had.
    const known = this.#attached.get(sandboxId)?.pod;
    const mayBePublished = !known || !!known.hostPorts?.some(({ protocol }) => protocol === 'udp');
    const { ips = [] } = this.#leases.get(sandboxId) ?? {};
    this.#attached.delete(sandboxId);
    try {
      this.#reconciler.update(new Map([[podKey(sandboxId), undefined]]));
    } catch (error) {
      // The reconciler tries again; nobody waits for this pod's remains.
      log.warn({ sandboxId, err: error }, 'detach');
    }
    if (mayBePublished) this.#forgetFlows(ips.map((replySrc) => ({ protocol: 'UDP', replySrc })));
    this.#leases.release(sandboxId);
  }

  retain(sandboxIds: ReadonlySet<string>): void {
    this.#forgetOthers(sandboxIds, (sandboxId) => !isCniSandbox(sandboxId));
  }

  /** The same for what other runtimes attached by CNI. */
  retainCni(sandboxIds: ReadonlySet<string>): void {
    this.#forgetOthers(sandboxIds, isCniSandbox);
  }

  #forgetOthers(keep: ReadonlySet<string>, among: (sandboxId: string) => boolean): void {
    for (const { sandboxId } of this.#leases.all()) {
      if (among(sandboxId) && !keep.has(sandboxId)) this.detach(sandboxId);
    }
  }

  get mtu(): number {
    return this.#mtu;
  }

  get hasFreeAddress(): boolean {
    return this.#leases.hasFree;
  }

  hasLease(sandboxId: string): boolean {
    return this.#leases.get(sandboxId) !== undefined;
  }

  /** What of the plan is there for this sandbox. */
  planned(sandboxId: string): Fragment | undefined {
    return this.#reconciler.plan.get(podKey(sandboxId));
  }
}

function isFast({ datapath }: NodeOptions): boolean {
  return datapath?.kind === 'ebpf';
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
