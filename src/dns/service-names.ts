// Room dns: one Service and its EndpointSlices to the names they make (Kubernetes DNS specification 1.1, sections 2.3 to 2.5).
import { familyOf, formatIP, type IP, isIP, parseIP } from '../addr/ip.ts';
import type { EndpointSlice, Service } from '../objects/types.ts';
import type { Name, RData } from '../wire/dns/message.ts';
import { isName } from '../wire/dns/name.ts';

export interface ServiceNames {
  /** At the Service's own name. */
  readonly at: readonly RData[];
  /** By the labels left of it: `web-1`, `_http._tcp`, and `_tcp` with nothing at it but names below. */
  readonly below: ReadonlyMap<string, readonly RData[]>;
}

/** An endpoint that has a name: one of a headless Service that is ready, or that is published anyway. */
export interface NamedEndpoint {
  readonly hostname: string;
  readonly ip: IP;
}

export function isHeadless(service: Service): boolean {
  return service.spec.type !== 'ExternalName' && service.spec.clusterIP === 'None';
}

/** The Service's own addresses; none while they are not allocated. */
export function clusterIPs(service: Service): IP[] {
  if (service.spec.type === 'ExternalName') return [];
  const ips = service.spec.clusterIPs?.length ? service.spec.clusterIPs : [service.spec.clusterIP ?? ''];
  return ips.filter(isIP).map(canonical);
}

function canonical(ip: string): IP {
  return formatIP(parseIP(ip)!);
}

/** Undefined while nothing is there to be found: no address yet, or headless without a ready endpoint (then NXDOMAIN). */
export function serviceNames(
  service: Service,
  slices: Iterable<EndpointSlice>,
  name: Name,
  podNames = false,
): ServiceNames | undefined {
  if (service.spec.type === 'ExternalName') return externalNames(service.spec.externalName ?? '');
  return isHeadless(service) ? headlessNames(service, slices, name, podNames) : clusterIPNames(service, name);
}

/** An address is no name for a CNAME: then the name exists without records. */
function externalNames(externalName: string): ServiceNames {
  const target = externalName.endsWith('.') ? externalName.slice(0, -1) : externalName;
  return { at: isIP(target) || !isName(target) ? [] : [{ type: 'CNAME', target }], below: new Map() };
}

function clusterIPNames(service: Service, name: Name): ServiceNames | undefined {
  const ips = clusterIPs(service);
  if (ips.length === 0) return undefined;
  const names = new NameSet();
  for (const ip of ips) names.add('', addressData(ip));
  for (const port of service.spec.ports ?? []) names.addPort(port.name, port.protocol, port.port, name);
  return names.finish();
}

function headlessNames(
  service: Service,
  slices: Iterable<EndpointSlice>,
  name: Name,
  podNames: boolean,
): ServiceNames | undefined {
  const names = new NameSet();
  for (const slice of slices) {
    for (const { hostname, ip } of namedEndpoints(service, slice, podNames)) {
      names.add('', addressData(ip));
      names.add(hostname, addressData(ip));
      for (const { name: port, protocol, port: number } of slice.ports ?? []) {
        if (number) names.addPort(port, protocol, number, `${hostname}.${name}`);
      }
    }
  }
  return names.isEmpty ? undefined : names.finish();
}

/**
 * The endpoints of a headless Service's slice that can be found by name. `podNames`: one without a hostname has its pod's name, where
 * it has a pod, in the place of its address.
 */
export function* namedEndpoints(service: Service, slice: EndpointSlice, podNames: boolean): Generator<NamedEndpoint> {
  if (slice.addressType === 'FQDN' || !isHeadless(service)) return;
  for (const endpoint of slice.endpoints ?? []) {
    // `ready` unknown counts as ready (the API's own words on EndpointConditions).
    if (endpoint.conditions?.ready === false && !service.spec.publishNotReadyAddresses) continue;
    for (const address of endpoint.addresses) {
      if (!isIP(address)) continue;
      const ip = canonical(address);
      const pod = podNames && endpoint.targetRef?.kind === 'Pod' ? endpoint.targetRef.name : undefined;
      yield { ip, hostname: endpoint.hostname?.toLowerCase() || pod || ip.replaceAll(/[.:]/g, '-') };
    }
  }
}

/** A or AAAA. */
export function addressData(ip: IP): RData {
  return { type: familyOf(ip) === 4 ? 'A' : 'AAAA', address: ip };
}

class NameSet {
  /** By labels, then by the data's text so that duplicates fall together. */
  readonly #names = new Map<string, Map<string, RData>>();

  get isEmpty(): boolean {
    return this.#names.size === 0;
  }

  add(labels: string, data: RData): void {
    const set = this.#names.get(labels) ?? new Map<string, RData>();
    this.#names.set(labels, set.set(keyOf(data), data));
  }

  /** SRV for a named port; and at the Service itself for every port, as clients that look up `SRV web.shop.svc` expect. */
  addPort(port: string | undefined, protocol: string | undefined, number: number, target: Name): void {
    const srv: RData = { type: 'SRV', priority: 0, weight: 100, port: number, target };
    this.add('', srv);
    if (!port) return;
    const transport = `_${(protocol ?? 'TCP').toLowerCase()}`;
    this.add(`_${port.toLowerCase()}.${transport}`, srv);
    if (!this.#names.has(transport)) this.#names.set(transport, new Map());
  }

  finish(): ServiceNames {
    const below = new Map<string, readonly RData[]>();
    for (const [labels, set] of this.#names) below.set(labels, [...set.values()]);
    const at = below.get('') ?? [];
    below.delete('');
    return { at, below };
  }
}

function keyOf(data: RData): string {
  if (data.type === 'A' || data.type === 'AAAA') return data.address;
  return data.type === 'SRV' ? `${data.port} ${data.target}` : data.type;
}
