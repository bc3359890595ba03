// Room controllers: one pod as an endpoint of a Service: its addresses, ports and conditions.
import { familyOf } from '../../addr/ip.ts';
import type { EndpointSlice, Node, Pod, Service } from '../../objects/types.ts';
import { isPodReady, isPodTerminal } from '../pods.ts';

export type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
export type EndpointPort = NonNullable<EndpointSlice['ports']>[number];
export type AddressType = 'IPv4' | 'IPv6';
type ServicePort = NonNullable<Service['spec']['ports']>[number];

export const ZONE = 'topology.kubernetes.io/zone';

/** Endpoints that share one list of ports. */
export interface PortGroup {
  readonly addressType: AddressType;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export function addressTypesOf({ spec }: Service): AddressType[] {
  return (spec.ipFamilies ?? ['IPv4']) as AddressType[];
}

/** Addresses of a family; a pod that has none, or that has ended, is no endpoint. */
export function podAddresses(pod: Pod, addressType: AddressType): string[] {
  if (isPodTerminal(pod)) return [];
  const { podIPs, podIP } = pod.status ?? {};
  const all = podIPs?.map(({ ip }) => ip) ?? (podIP ? [podIP] : []);
  return all.filter((ip): ip is string => !!ip && familyOf(ip) === (addressType === 'IPv4' ? 4 : 6)).slice(0, 1);
}

/** The endpoint of a selected pod, or undefined while it has no address of this family. */
export function endpointOf(
  service: Service,
  pod: Pod,
  addressType: AddressType,
  node: Node | undefined,
): Endpoint | undefined {
  const addresses = podAddresses(pod, addressType);
  if (addresses.length === 0) return undefined;
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const zone = node?.metadata.labels?.[ZONE];
  const hostname = hostnameOf(service, pod);
  const ready = !!service.spec.publishNotReadyAddresses || (serving && !terminating);
  const hints = ready ? hintsFor(service, pod.spec.nodeName, zone) : undefined;
  return {
    addresses,
    conditions: { ready, serving, terminating },
    ...(hints && { hints }),
    ...(hostname && { hostname }),
    ...(pod.spec.nodeName && { nodeName: pod.spec.nodeName }),
    targetRef: { kind: 'Pod', namespace: pod.metadata.namespace!, name: pod.metadata.name, uid: pod.metadata.uid },
    ...(zone && { zone }),
  };
}

/** Whom an endpoint is for, as the Service's trafficDistribution wishes it (KEP-4444, KEP-3015): those who are near. */
function hintsFor({ spec }: Service, node: string | undefined, zone: string | undefined): Endpoint['hints'] {
  const wish = spec.trafficDistribution;
  const sameNode = wish === 'PreferSameNode';
  if (!sameNode && wish !== 'PreferClose' && wish !== 'PreferSameZone') return undefined;
  if (!zone && !(sameNode && node)) return undefined;
  return { ...(sameNode && node && { forNodes: [{ name: node }] }), ...(zone && { forZones: [{ name: zone }] }) };
}

/** A pod has a name of its own under the Service that its subdomain names. */
export function hostnameOf(service: Service, { spec }: Pod): string | undefined {
  return spec.subdomain === service.metadata.name ? spec.hostname : undefined;
}

/** The Service's ports as numbers of this pod. A named targetPort that the pod does not have is left out. */
export function portsOf({ spec }: Service, pod: Pod): EndpointPort[] {
  return (spec.ports ?? []).flatMap((servicePort) => {
    const port = targetPort(servicePort, pod);
    if (port === undefined) return [];
    const { name = '', protocol = 'TCP', appProtocol } = servicePort;
    return [{ name, port, protocol, ...(appProtocol && { appProtocol }) }];
  });
}

function targetPort({ targetPort: target, port, protocol = 'TCP' }: ServicePort, { spec }: Pod): number | undefined {
  const wanted: unknown = target ?? port;
  if (typeof wanted === 'number') return wanted || port;
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...spec.containers, ...sidecars]) {
    const named = container.ports?.find((entry) => entry.name === wanted && (entry.protocol ?? 'TCP') === protocol);
    if (named) return named.containerPort;
  }
  return undefined;
}

/** Same text for lists that hold the same ports in any order. */
export function portsKey(ports: readonly EndpointPort[] | undefined): string {
  const texts = (ports ?? []).map(({ name, protocol, port, appProtocol }) =>
    [name ?? '', protocol ?? 'TCP', port, appProtocol ?? ''].join('/'),
  );
  return texts.sort().join(' ');
}

/** The endpoints of a Service grouped by their ports, for each of its families; a family without endpoints has one empty group. */
export function portGroups(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): PortGroup[] {
  return addressTypesOf(service).flatMap((addressType) => {
    const groups = new Map<string, { addressType: AddressType; ports: EndpointPort[]; endpoints: Endpoint[] }>();
    for (const pod of pods) {
      const endpoint = endpointOf(service, pod, addressType, nodeOf(pod.spec.nodeName ?? ''));
      const ports = portsOf(service, pod);
      // A headless Service may have no ports at all; any other pod without one cannot be reached.
      if (!endpoint || (ports.length === 0 && service.spec.ports?.length)) continue;
      const key = portsKey(ports);
      const group = groups.get(key) ?? { addressType, ports, endpoints: [] };
      groups.set(key, group);
      group.endpoints.push(endpoint);
    }
    return groups.size > 0 ? [...groups.values()] : [{ addressType, ports: [], endpoints: [] }];
  });
}
