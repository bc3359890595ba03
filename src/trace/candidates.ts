// Room trace: every endpoint that a Service has, and why a node does or does not send traffic to it.
import type { EndpointSlice } from '../objects/types.ts';
import type { Frontend } from '../plan/frontends.ts';
import type { TracedCluster } from './cluster.ts';
import type { NodeView } from './node-view.ts';

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

/** A line each. `outside`: for traffic from beyond the cluster. What is chosen is what the plan has; the words say why. */
export function candidatesOf(
  cluster: TracedCluster,
  service: string,
  view: NodeView,
  frontend: Frontend,
  outside = false,
): string[] {
  const isOutside = outside && frontend.outside !== undefined;
  const { endpoints: chosen } = isOutside ? frontend.outside! : frontend.inside;
  const addressType = frontend.family === 4 ? 'IPv4' : 'IPv6';
  const slices = (cluster.slices.get(service) ?? []).filter((slice) => slice.addressType === addressType);
  const lines = slices.flatMap(({ endpoints = [] }) =>
    (endpoints ?? []).map((endpoint) => {
      const [ip = '-'] = endpoint.addresses;
      const port = chosen.find((each) => each.ip === ip)?.port;
      const name = endpoint.targetRef
        ? `${endpoint.targetRef.kind}/${endpoint.targetRef.namespace}/${endpoint.targetRef.name}`
        : ip;
      const where = `${name} ${ip}${port === undefined ? '' : `:${port}`}${endpoint.nodeName ? ` on ${endpoint.nodeName}` : ''}`;
      return port === undefined ? `not ${where}: ${whyNot(endpoint, view, chosen.length > 0)}` : `may be ${where}`;
    }),
  );
  return [...new Set(lines)].sort();
}

function whyNot({ conditions, nodeName }: SliceEndpoint, view: NodeView, others: boolean): string {
  if (conditions?.ready === false) {
    if (conditions.terminating) {
      return conditions.serving && others ? 'it is terminating, and others are ready' : 'it is terminating';
    }
    return 'it is not ready';
  }
  if (nodeName !== view.name) {
    return others ? `others are nearer to ${view.name}` : `the policy is Local, and it is not on ${view.name}`;
  }
  return 'it does not have the port';
}
