// Room node: the load balancer as this node's agent has it.
import type { Informer } from '../cache/informer.ts';
import type { Recorder } from '../client/recorder.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { linkFacts } from '../kernel/linux-read.ts';
import { type LoadBalancer, startLoadBalancer } from '../lb/start.ts';
import type { EndpointSlice, Node, Service } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';

export interface NodeLoadBalancerParts {
  readonly options: NodeOptions;
  readonly nodeLink: string;
  readonly reconciler: Reconciler;
  readonly kernel: Kernel;
  readonly recorder: Recorder;
  readonly informers: {
    readonly services: Informer<Service>;
    readonly slices: Informer<EndpointSlice>;
    readonly nodes: Informer<Node>;
  };
}

/** Throws a Fault when the node's link is no Ethernet. */
export function startNodeLoadBalancer(parts: NodeLoadBalancerParts): Promise<LoadBalancer> {
  const { options, nodeLink: name, reconciler, kernel, recorder, informers } = parts;
  const { clusterName, nodeName, nodeIPs, nodeCIDRs, segmentCIDRs = nodeCIDRs, routers = [] } = options;
  const link = linkFacts(name);
  if (!link) throw new Fault(`the link ${name} of node ${nodeName} has no MAC address`);
  return startLoadBalancer({
    clusterName,
    nodeName,
    segment: { nodeIPs, nodeCIDRs, segmentCIDRs },
    ...(routers[0] !== undefined && { router: routers[0] }),
    link: { name, ...link, ips: nodeIPs },
    reconciler,
    kernel,
    recorder,
    informers,
  });
}
