// Room objects: the table of kinds. Adding a kind is one row here.
import type { Kind } from './types.ts';

export interface KindRow {
  /** Unique among ours. */
  readonly kind: Kind;
  /** As it stands in objects: kinds of several groups may have one name. */
  readonly apiKind: string;
  /** '' for core. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Subresources that this kind has: `status`, `scale`, `log`, `exec`, `attach`, `eviction`, `binding`, `portforward`. */
  readonly subresources: readonly string[];
  /** The model in @kubernetes/client-node and so the schema: V1Pod. */
  readonly model: string;
}

type Rest = Partial<Pick<KindRow, 'shortNames' | 'categories' | 'subresources' | 'model' | 'plural' | 'apiKind'>>;

function row(groupVersion: string, kind: Kind, scope: 'Namespaced' | 'Cluster', rest: Rest = {}): KindRow {
  const [version, group] = groupVersion.split('/').reverse();
  const apiKind = rest.apiKind ?? kind;
  const singular = apiKind.toLowerCase();
  return {
    kind,
    apiKind,
    group: group ?? '',
    version: version!,
    plural: rest.plural ?? `${singular}s`,
    singular,
    shortNames: rest.shortNames ?? [],
    categories: rest.categories ?? [],
    namespaced: scope === 'Namespaced',
    subresources: rest.subresources ?? [],
    model: rest.model ?? `V1${kind}`,
  };
}

export const KINDS: readonly KindRow[] = [
  row('v1', 'Namespace', 'Cluster', { shortNames: ['ns'], subresources: ['status', 'finalize'] }),
  row('v1', 'Node', 'Cluster', { shortNames: ['no'], subresources: ['status'] }),
  row('v1', 'Pod', 'Namespaced', {
    shortNames: ['po'],
    categories: ['all'],
    subresources: ['status', 'log', 'exec', 'attach', 'portforward', 'binding', 'eviction'],
  }),
  row('v1', 'Service', 'Namespaced', { shortNames: ['svc'], categories: ['all'], subresources: ['status'] }),
  row('v1', 'Endpoints', 'Namespaced', { shortNames: ['ep'], plural: 'endpoints' }),
  row('v1', 'ConfigMap', 'Namespaced', { shortNames: ['cm'] }),
  row('v1', 'Secret', 'Namespaced'),
  row('v1', 'ServiceAccount', 'Namespaced', { shortNames: ['sa'], subresources: ['token'] }),
  row('v1', 'Event', 'Namespaced', { shortNames: ['ev'], model: 'CoreV1Event' }),
  row('v1', 'ReplicationController', 'Namespaced', {
    shortNames: ['rc'],
    categories: ['all'],
    subresources: ['status', 'scale'],
  }),
  row('apps/v1', 'Deployment', 'Namespaced', {
    shortNames: ['deploy'],
    categories: ['all'],
    subresources: ['status', 'scale'],
  }),
  row('apps/v1', 'ReplicaSet', 'Namespaced', {
    shortNames: ['rs'],
    categories: ['all'],
    subresources: ['status', 'scale'],
  }),
  row('discovery.k8s.io/v1', 'EndpointSlice', 'Namespaced'),
  row('networking.k8s.io/v1', 'NetworkPolicy', 'Namespaced', { shortNames: ['netpol'], plural: 'networkpolicies' }),
  row('networking.k8s.io/v1', 'Ingress', 'Namespaced', {
    shortNames: ['ing'],
    plural: 'ingresses',
    subresources: ['status'],
  }),
  row('networking.k8s.io/v1', 'IngressClass', 'Cluster', { plural: 'ingressclasses' }),
  row('networking.k8s.io/v1', 'ServiceCIDR', 'Cluster', { subresources: ['status'] }),
  row('networking.k8s.io/v1', 'IPAddress', 'Cluster', { shortNames: ['ip'], plural: 'ipaddresses' }),
  row('coordination.k8s.io/v1', 'Lease', 'Namespaced'),
  row('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', 'Cluster', {
    shortNames: ['cnp'],
    plural: 'clusternetworkpolicies',
    subresources: ['status'],
    model: 'V1alpha2ClusterNetworkPolicy',
  }),
  row('projectcalico.org/v3', 'CalicoNetworkPolicy', 'Namespaced', {
    apiKind: 'NetworkPolicy',
    shortNames: ['caliconetworkpolicy'],
    plural: 'networkpolicies',
    model: 'V3NetworkPolicy',
  }),
  row('projectcalico.org/v3', 'GlobalNetworkPolicy', 'Cluster', {
    shortNames: ['gnp', 'cgnp'],
    plural: 'globalnetworkpolicies',
    model: 'V3GlobalNetworkPolicy',
  }),
  row('projectcalico.org/v3', 'CalicoTier', 'Cluster', { apiKind: 'Tier', model: 'V3Tier' }),
  row('podwire.io/v1alpha1', 'LBPool', 'Cluster', {
    shortNames: ['lbp'],
    subresources: ['status'],
    model: 'V1alpha1LBPool',
  }),
];

const byKind = new Map(KINDS.map((kind) => [kind.kind as string, kind]));

export function kindRow(kind: string): KindRow {
  const found = byKind.get(kind);
  if (!found) throw new Error(`no kind ${kind} in the table of kinds`);
  return found;
}

export function apiVersionOf(kind: KindRow): string {
  return kind.group ? `${kind.group}/${kind.version}` : kind.version;
}

/** `/api/v1/namespaces/shop/pods/web-1/status` and the like. */
export function resourcePath(kind: KindRow, namespace?: string, name?: string, subresource?: string): string {
  const root = kind.group ? `/apis/${kind.group}/${kind.version}` : `/api/${kind.version}`;
  const scope = kind.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  const tail = [name, subresource].filter((part) => part !== undefined).map((part) => `/${encodeURIComponent(part)}`);
  return `${root}${scope}/${kind.plural}${tail.join('')}`;
}
