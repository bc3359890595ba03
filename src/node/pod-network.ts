// Room node: a pod's place on the network, as the pod lifecycle sees it.
import type { IP } from '../addr/ip.ts';
import type { Steps } from '../cni/steps.ts';
import type { NetnsPath } from '../kernel/items.ts';
import type { Bandwidth } from '../plan/bandwidth.ts';
import type { HostPort } from '../plan/host-ports.ts';

export interface PodAttachment {
  readonly sandboxId: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly netns: NetnsPath;
  /** `eth0` when absent. */
  readonly ifname?: string;
  /** Absent: one that follows from its first address. */
  readonly mac?: string;
  /** Addresses that the API knows of it: a running pod keeps them even when its lease was lost. */
  readonly earlierIPs?: readonly IP[];
  /** Ports of the node that lead to it. */
  readonly hostPorts?: readonly HostPort[];
  /** Absent: all that there is. */
  readonly bandwidth?: Bandwidth;
}

export interface PodNetwork {
  /** Leases addresses and wires the pod's namespace; idempotent for the same sandbox (adoption after a restart). Synchronous work of about a millisecond. */
  attach(pod: PodAttachment, steps?: Steps): readonly IP[];
  /** Releases all; succeeds when it is already gone. */
  detach(sandboxId: string): void;
  /** After a restart: forget every attachment of the node's own pods whose sandbox is not among these. */
  retain(sandboxIds: ReadonlySet<string>): void;
}
