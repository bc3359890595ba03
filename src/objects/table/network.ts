// Room objects: columns of Services, their endpoints and addresses, NetworkPolicies, Ingresses, IngressClasses and LBPools.
import type {
  CalicoNetworkPolicy,
  CalicoTier,
  ClusterNetworkPolicy,
  EndpointSlice,
  Endpoints,
  GlobalNetworkPolicy,
  Ingress,
  IngressClass,
  IPAddress,
  LBPool,
  NetworkPolicy,
  Service,
  ServiceCIDR,
} from '../types.ts';
import { AGE, type Column, column, firstOf, INTEGER, labelsText, NAME, NONE, selectorCell, WIDE } from './column.ts';

function portsOf({ spec }: Service): string {
  const ports = (spec?.ports ?? []).map(({ port, nodePort, protocol = 'TCP' }) =>
    nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
  );
  return ports.join(',') || NONE;
}

function externalIP({ spec, status }: Service): string {
  const external = spec?.externalIPs ?? [];
  switch (spec?.type) {
    case 'ExternalName':
      return spec.externalName ?? '';
    case 'LoadBalancer': {
      const balanced = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '');
      const all = [...new Set([...balanced.filter((each) => each !== ''), ...external])];
      return all.join(',') || '<pending>';
    }
    default:
      return external.join(',') || NONE;
  }
}

export const serviceColumns: readonly Column<Service>[] = [
  NAME,
  column('Type', ({ spec }) => spec?.type ?? ''),
  column('Cluster-IP', ({ spec }) => spec?.clusterIPs?.[0] || spec?.clusterIP || NONE),
  column('External-IP', externalIP),
  column('Port(s)', portsOf),
  AGE,
  column('Selector', ({ spec }) => labelsText(spec?.selector), WIDE),
];

const MAX_SHOWN = 3;

function addressesOf({ subsets = [] }: Endpoints): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) => {
    const bracketed = addresses.map(({ ip }) => (ip.includes(':') ? `[${ip}]` : ip));
    if (ports.length === 0) return bracketed;
    return ports.flatMap(({ port }) => bracketed.map((ip) => `${ip}:${port}`));
  });
  return firstOf(all, MAX_SHOWN);
}

export const endpointsColumns: readonly Column<Endpoints>[] = [NAME, column('Endpoints', addressesOf), AGE];

function slicePorts({ ports = [] }: EndpointSlice): string {
  if (ports.length === 0) return '<unset>';
  return firstOf(
    ports.map(({ name, port }) => String(port ?? name ?? '*')),
    MAX_SHOWN,
  );
}

export const endpointSliceColumns: readonly Column<EndpointSlice>[] = [
  NAME,
  column('AddressType', ({ addressType }) => addressType),
  column('Ports', slicePorts),
  column('Endpoints', ({ endpoints }) => {
    const addresses = (endpoints ?? []).flatMap((endpoint) => endpoint.addresses);
    return addresses.length === 0 ? '<unset>' : firstOf(addresses, MAX_SHOWN);
  }),
  AGE,
];

export const networkPolicyColumns: readonly Column<NetworkPolicy>[] = [
  NAME,
  column('Pod-Selector', ({ spec }) => selectorCell(spec?.podSelector)),
  AGE,
];

/** A staged one denies and allows nothing. */
const MODE: Column<Pick<ClusterNetworkPolicy, 'metadata'>> = column('Mode', ({ metadata }) =>
  metadata.annotations?.['podwire.io/mode'] === 'staged' ? 'Staged' : 'Enforced',
);

export const clusterNetworkPolicyColumns: readonly Column<ClusterNetworkPolicy>[] = [
  NAME,
  column('Tier', ({ spec }) => spec.tier),
  column('Priority', ({ spec }) => String(spec.priority)),
  MODE,
  AGE,
];

export const calicoPolicyColumns: readonly Column<CalicoNetworkPolicy | GlobalNetworkPolicy>[] = [
  NAME,
  column('Tier', ({ spec }) => spec.tier ?? 'default'),
  column('Order', ({ spec }) => (spec.order === undefined ? NONE : String(spec.order))),
  MODE,
  AGE,
];

export const calicoTierColumns: readonly Column<CalicoTier>[] = [
  NAME,
  column('Order', ({ spec }) => (spec?.order === undefined ? NONE : String(spec.order))),
  column('DefaultAction', ({ spec }) => spec?.defaultAction ?? 'Deny'),
  AGE,
];

function hostsOf({ spec }: Ingress): string {
  const hosts = (spec?.rules ?? []).map(({ host }) => host || '*');
  return hosts.length === 0 ? '*' : firstOf([...new Set(hosts)], MAX_SHOWN);
}

export const ingressColumns: readonly Column<Ingress>[] = [
  NAME,
  column('Class', ({ spec }) => spec?.ingressClassName ?? NONE),
  column('Hosts', hostsOf),
  column('Address', ({ status }) =>
    (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').join(','),
  ),
  column('Ports', ({ spec }) => (spec?.tls?.length ? '80, 443' : '80')),
  AGE,
];

export const ingressClassColumns: readonly Column<IngressClass>[] = [
  NAME,
  column('Controller', ({ spec }) => spec?.controller ?? ''),
  column('Parameters', ({ spec }) => {
    const parameters = spec?.parameters;
    if (!parameters) return NONE;
    const kind = parameters.apiGroup ? `${parameters.kind}.${parameters.apiGroup}` : parameters.kind;
    return `${kind}/${parameters.name}`;
  }),
  AGE,
];

export const lbPoolColumns: readonly Column<LBPool>[] = [
  NAME,
  column('Auto-Assign', ({ spec }) => spec?.autoAssign ?? true, { type: 'boolean' }),
  column('Addresses', ({ spec }) => firstOf(spec?.addresses ?? [], MAX_SHOWN)),
  column('Assigned', ({ status }) => status?.assigned ?? 0, INTEGER),
  column('Free', ({ status }) => status?.free ?? 0, INTEGER),
  column('Status', ({ status }) => status?.conditions?.find(({ type }) => type === 'Accepted')?.reason ?? ''),
  column('Priority', ({ spec }) => spec?.priority ?? 0, { ...INTEGER, ...WIDE }),
  AGE,
];

export const serviceCIDRColumns: readonly Column<ServiceCIDR>[] = [
  NAME,
  column('CIDRs', ({ spec }) => (spec?.cidrs ?? []).join(',')),
  AGE,
];

export const ipAddressColumns: readonly Column<IPAddress>[] = [
  NAME,
  column('ParentRef', ({ spec }) => {
    const { group, resource = '', namespace, name = '' } = spec?.parentRef ?? {};
    return [group ? `${resource}.${group}` : resource, namespace, name].filter(Boolean).join('/');
  }),
  AGE,
];
