// Room cluster: containers that other runtimes have attached to the nodes by CNI: no pods of the API, and pods to the network.
import { type Attachment, Attachments, isCniSandbox, networksIn, nodeDataDir } from '../cni/attachment.ts';
import type { Pod } from '../objects/types.ts';
import { nodeDir } from './paths.ts';

/** In the shape of pods: the sandbox's name stands for a UID, published ports for a container's. */
export function guestPods(cluster: string, nodes: readonly string[]): Pod[] {
  return nodes.flatMap((node) => attachedTo(cluster, node).map((attachment) => podOf(attachment, node)));
}

export function isGuest(uid: string): boolean {
  return isCniSandbox(uid);
}

/** Path of its network namespace, as the node's agent finds it; undefined: there is no such container any more. */
export function guestNetns(cluster: string, node: string, uid: string): string | undefined {
  const found = attachedTo(cluster, node).find(({ sandboxId }) => sandboxId === uid);
  return found && (found.pin ?? found.netns);
}

function attachedTo(cluster: string, node: string): Attachment[] {
  const dataDir = nodeDataDir(nodeDir(cluster, node));
  return networksIn(dataDir).flatMap((network) => new Attachments(dataDir, network).all());
}

function podOf({ sandboxId, network, containerID, pod, ips, portMappings }: Attachment, nodeName: string): Pod {
  const [namespace = network, name = containerID] = (pod ?? `${network}/${containerID}`).split('/');
  const ports = portMappings.map(({ protocol, ...port }) => ({ ...port, protocol: protocol.toUpperCase() }));
  return {
    metadata: { namespace, name, uid: sandboxId },
    spec: { nodeName, containers: [{ name, ports }] },
    status: { phase: 'Running', podIPs: ips.map((ip) => ({ ip })), conditions: [{ type: 'Ready', status: 'True' }] },
  } as unknown as Pod;
}
