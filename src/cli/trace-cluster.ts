// Room cli: what `podwire trace` knows of a cluster: its API's objects, its config, and what its daemon and this machine's kernel tell.

import { Client } from '../client/client.ts';
import { openKubeconfig } from '../client/kubeconfig.ts';
import { askControl } from '../cluster/control.ts';
import { settleDatapath, settleProxyMode } from '../cluster/datapath.ts';
import { NODE_LEG } from '../cluster/fabric.ts';
import { guestPods, isGuest } from '../cluster/guests.ts';
import { nodeLayouts } from '../cluster/layout.ts';
import { nodeOptions } from '../cluster/node-worker.ts';
import type { ClusterPaths } from '../cluster/paths.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { placeOfNode, placeOfPod } from '../cluster/pod-place.ts';
import { storedConfig } from '../cluster/slot.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { factsOf } from '../node/node-facts.ts';
import { remoteNode, withOverlay } from '../node/overlay.ts';
import { sandboxId } from '../node/pod-paths.ts';
import type { Node, Pod } from '../objects/types.ts';
import { cidrsOf } from '../plan/service-ways.ts';
import { inNetns } from '../sys/netns.ts';
import { TracedCluster } from '../trace/cluster.ts';
import { listensIn } from '../trace/listeners.ts';
import { ofObjects, policyObjects } from './policy-source.ts';

export interface TraceSource {
  readonly cluster: TracedCluster;
  /** Path of a node's namespace. */
  readonly netnsOf: (node: string) => string;
}

export async function liveSource(name: string): Promise<TraceSource> {
  const { objects, dns } = await policyObjects({ name });
  const config = storedConfig(name)!;
  const paths = clusterPaths(name);
  const [{ services, slices, ranges }, claims] = await Promise.all([servicesOf(paths), claimsOf(paths)]);
  const { engine } = ofObjects(objects, dns);
  const ofKind = <T>(kind: string) => objects.filter((each) => each.kind === kind) as unknown as T[];
  const nodes = ofKind<Node>('Node');
  const netnsOf = (node: string) => placeOfNode(name, node).netns;
  const furtherCIDRs = ranges.flatMap(cidrsOf);
  const datapath = settleDatapath(config);
  const knows = nodeLayouts(config).map((layout) => {
    const options = { ...nodeOptions(config, layout), datapath };
    const node = nodes.find(({ metadata }) => metadata.name === layout.name);
    const remotes = nodes.filter((each) => each !== node).map(remoteNode);
    return {
      // It asks the interfaces of whoever asks.
      facts: inNetns(netnsOf(layout.name), () => factsOf(options, node, furtherCIDRs)),
      overlay: withOverlay(options, NODE_LEG),
      remotes,
      claims: claims.get(layout.name) ?? [],
    };
  });
  const placeOf = ({ metadata: { uid }, spec }: Pod) => {
    const { netns } = placeOfPod(name, { uid, node: spec.nodeName!, hostNetwork: false });
    return { sandboxId: isGuest(uid) ? uid : sandboxId(uid), netns };
  };
  const cluster = new TracedCluster({
    nodes,
    pods: [
      ...ofKind<Pod>('Pod'),
      ...guestPods(
        name,
        nodes.map(({ metadata }) => metadata.name),
      ),
    ],
    services,
    slices,
    engine,
    knows,
    proxyMode: settleProxyMode(config).mode,
    placeOf,
    listens: (at, protocol, port, ip) => listensIn(typeof at === 'string' ? netnsOf(at) : at.netns, protocol, port, ip),
  });
  return { cluster, netnsOf };
}

async function servicesOf({ kubeconfig }: ClusterPaths) {
  const client = new Client(openKubeconfig(kubeconfig));
  try {
    const [services, slices, ranges] = await Promise.all([
      client.list('Service'),
      client.list('EndpointSlice'),
      client.list('ServiceCIDR'),
    ]);
    return { services: services.items, slices: slices.items, ranges: ranges.items };
  } finally {
    client.transport.close();
  }
}

/** Which node answers for which load balancer addresses; none where the daemon is away. */
async function claimsOf({ control }: ClusterPaths): Promise<Map<string, string[]>> {
  const status = await askControl<ClusterStatus>(control);
  const nodes = status?.nodes ?? [];
  return new Map(nodes.map(({ name, agent }) => [name, (agent?.addresses ?? []).map(({ ip }) => ip)]));
}
