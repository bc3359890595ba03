// Room cluster: the overlay that a cluster may have, and the change from one to another while pods talk.
import { parsePrefix } from '../addr/prefix.ts';
import { supportsIpipByEbpf } from '../kernel/ipip-tunnels.ts';
import { supportsLink } from '../kernel/link-support.ts';
import { OVERLAY_STEPS } from '../node/overlay.ts';
import { Fault } from '../observe/fault.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import { backendOf, underlayOf } from '../plan/overlay/overlay.ts';
import type { ClusterConfig } from './config.ts';
import { nodeLayout } from './layout.ts';
import type { NodeWorker } from './node-worker.ts';

/** The config with what this machine's kernel decides. Throws a Fault when machine or cluster do not go with the overlay. */
export function settleOverlay(config: ClusterConfig): ClusterConfig {
  requireShape(config);
  const { backend, directRouting } = config.network.overlay;
  const overlay: OverlaySettings = { backend, directRouting, ...(backend === 'ipip' && ipipDatapath(config)) };
  return { ...config, network: { ...config.network, overlay } };
}

function requireShape(config: ClusterConfig): void {
  const { overlay, racks, podCIDRs } = config.network;
  const { backend } = overlay;
  if (backend === 'host-gw' && racks > 1) {
    throw new Fault('host-gw needs all nodes on one segment, and this cluster has several racks', {
      mend: 'vxlan with directRouting routes plainly within a rack, and none leaves all to the router',
    });
  }
  const underlay = underlayOf(nodeLayout(config, 0).ips);
  const families = podCIDRs.map((cidr) => parsePrefix(cidr).family);
  const left = families.find((family) => !backendOf(overlay).carries(family, underlay));
  if (left && (racks > 1 || !overlay.directRouting)) {
    throw new Fault(`${backend} cannot carry IPv${left} pods over IPv${underlay} nodes`, {
      mend: 'vxlan and host-gw carry both families',
    });
  }
}

/** The kernel's tunnel device, else eBPF. */
function ipipDatapath(config: ClusterConfig): Pick<OverlaySettings, 'datapath'> {
  if (supportsLink({ kind: 'ipip', local: nodeLayout(config, 0).ips[0]! })) return {};
  if (supportsIpipByEbpf()) return { datapath: 'ebpf' };
  throw new Fault('this kernel has neither IP-in-IP tunnels nor the eBPF that could take their place', {
    mend: 'modprobe ipip (CONFIG_NET_IPIP), or choose vxlan or host-gw',
  });
}

/**
 * Every node takes each step before any takes the next: at no time does a node send what another cannot receive. A step that
 * fails is undone on all. Throws a Fault.
 */
export async function changeOverlay(
  nodes: readonly NodeWorker[],
  from: OverlaySettings,
  to: OverlaySettings,
): Promise<void> {
  try {
    for (const step of OVERLAY_STEPS) await Promise.all(nodes.map((node) => node.changeOverlay(to, step)));
  } catch (error) {
    for (const step of ['send', 'finish'] as const) {
      await Promise.allSettled(nodes.map((node) => node.changeOverlay(from, step)));
    }
    throw error;
  }
}
