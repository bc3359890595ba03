// Room node: keeps the node's ways to further ServiceCIDRs and, in a box, to externalIPs.
import type { Change, Informer } from '../cache/informer.ts';
import { objectKey, type Service, type ServiceCIDR } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { Fragment } from '../plan/plan.ts';
import { cidrsOf, externalPrefixes, planServiceWays, type WaysFacts } from '../plan/service-ways.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';

export interface ServiceWaysParts {
  readonly informers: { readonly services: Informer<Service>; readonly serviceCIDRs: Informer<ServiceCIDR> };
  readonly options: NodeOptions;
  readonly nodeLink: string;
  readonly reconciler: Reconciler;
}

/** Returns how to stop. What the kernel refuses the reconciler tries again. */
export function watchServiceWays({ informers, options, nodeLink, reconciler }: ServiceWaysParts): () => void {
  const { nodeIPs, nodeCIDRs, clusterPodCIDRs, serviceCIDRs } = options;
  const facts: WaysFacts = { nodeIPs, nodeLink, knownCIDRs: [...nodeCIDRs, ...clusterPodCIDRs, ...serviceCIDRs] };
  const put = (key: string, fragment: Fragment | undefined) => {
    if (!fragment && !reconciler.plan.has(key)) return;
    try {
      reconciler.update(new Map([[key, fragment]]));
    } catch (error) {
      logger('proxy', { node: options.nodeName }).warn({ err: error, key }, 'no way to addresses of Services yet');
    }
  };
  const onRange = ({ type, object }: Change<ServiceCIDR>) => {
    const { name } = object.metadata;
    const prefixes = type === 'delete' ? [] : cidrsOf(object);
    put(`service-ways/ServiceCIDR/${name}`, planServiceWays({ kind: 'ServiceCIDR', name }, prefixes, facts));
  };
  const onService = (change: Change<Service>) => {
    const { type, object } = change;
    if (!object.spec.externalIPs && !(type === 'update' && change.old.spec.externalIPs)) return;
    const { name, namespace = 'default' } = object.metadata;
    const prefixes = type === 'delete' ? [] : externalPrefixes(object);
    put(
      `service-ways/Service/${objectKey(object)}`,
      planServiceWays({ kind: 'Service', namespace, name }, prefixes, facts),
    );
  };
  const stops = [
    informers.serviceCIDRs.onChange(onRange),
    // A real host has a default route, and whoever may write a Service shall not bend others.
    ...(options.netns === undefined ? [] : [informers.services.onChange(onService)]),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
