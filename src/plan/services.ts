// Room plan: a Service and its EndpointSlices as elements of the node's maps.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import type { NftElement, NftItem } from '../kernel/nft-items.ts';
import { type EndpointSlice, type ObjectRef, refText, type Service } from '../objects/types.ts';
import type { Fragment } from './plan.ts';
import {
  balanceChain,
  ENDPOINTS,
  familiesOf,
  HAIRPIN,
  isAhead,
  type NodeFacts,
  placeOf,
  REFUSE,
  SERVICES,
} from './proxy-base.ts';

type ServicePort = NonNullable<Service['spec']['ports']>[number];
type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

interface Endpoint {
  readonly ip: IP;
  readonly port: number;
  readonly cause: ObjectRef;
  readonly local: boolean;
}

/** Where a Service is reached: its address and port, or the node's address and the port that nodes open for it. */
interface Frontend {
  readonly ip: IP;
  readonly protocol: string;
  readonly port: number;
}

/** nft takes no longer comments. */
const COMMENT_LENGTH = 128;

export function serviceFragmentKey(key: string): string {
  return `service/${key}`;
}

/**
 * Fragment `service/<namespace>/<name>`; undefined when the proxy has nothing to do for it: headless, ExternalName, or DNS,
 * which the node answers itself. With `previous` the endpoints that stay keep their places, so that a change stays small.
 */
export function planService(
  service: Service,
  slices: Iterable<EndpointSlice>,
  facts: NodeFacts,
  previous?: Fragment,
): Fragment | undefined {
  const cause: ObjectRef = {
    kind: 'Service',
    namespace: service.metadata.namespace ?? 'default',
    name: service.metadata.name,
  };
  const addresses = addressesOf(service).filter((ip) => !facts.dnsIPs.includes(ip));
  const families = familiesOf(facts).filter((family) => addresses.some((ip) => familyOf(ip) === family));
  if (families.length === 0) return undefined;
  const all = [...slices];
  const items: NftItem[] = [];
  for (const family of families) {
    for (const port of service.spec.ports ?? []) {
      const endpoints = endpointsOf(all, port, family, facts.nodeName, cause);
      const frontends = frontendsOf(addresses, service, port, family, facts);
      for (const frontend of frontends) items.push(...frontendItems(family, frontend, endpoints, cause, previous));
      if (!isAhead(endpoints.length)) items.push(balanceChain(family, endpoints.length));
      items.push(...hairpins(family, endpoints));
    }
  }
  return { cause, items };
}

/** None for headless and ExternalName Services. */
function addressesOf(service: Service): IP[] {
  const { type, clusterIP, clusterIPs } = service.spec;
  if (type === 'ExternalName') return [];
  const addresses = clusterIPs ?? (clusterIP ? [clusterIP] : []);
  return addresses.filter((ip) => ip !== '' && ip !== 'None');
}

function frontendsOf(
  addresses: readonly IP[],
  service: Service,
  port: ServicePort,
  family: Family,
  facts: NodeFacts,
): Frontend[] {
  const protocol = (port.protocol ?? 'TCP').toLowerCase();
  const frontends = addresses
    .filter((ip) => familyOf(ip) === family)
    .map((ip): Frontend => ({ ip, protocol, port: port.port }));
  const { nodePort } = port;
  const opens = service.spec.type === 'NodePort' || service.spec.type === 'LoadBalancer';
  if (!opens || !nodePort) return frontends;
  const nodeIPs = facts.nodeIPs.filter((ip) => familyOf(ip) === family);
  return [...frontends, ...nodeIPs.map((ip): Frontend => ({ ip, protocol, port: nodePort }))];
}

/**
 * Endpoints of one port over all slices of the family, each address and port once: those that are ready; where none is, those that still
 * serve while they terminate (KEP-1672). A slice carries the port's number under the Service port's name.
 */
function endpointsOf(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  family: Family,
  nodeName: string,
  service: ObjectRef,
): Endpoint[] {
  const ready = new Map<string, Endpoint>();
  const terminating = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? 'IPv4' : 'IPv6')) continue;
    const number = slice.ports?.find((slicePort) => matchesPort(slicePort, port))?.port;
    if (!number) continue;
    for (const entry of slice.endpoints ?? []) {
      const into = stateOf(entry) === 'ready' ? ready : stateOf(entry) === 'terminating' ? terminating : undefined;
      const ip = entry.addresses[0];
      if (!into || ip === undefined) continue;
      const { targetRef } = entry;
      const cause = targetRef?.kind && targetRef.name ? refOf(targetRef) : service;
      into.set(`${ip} ${number}`, { ip, port: number, cause, local: entry.nodeName === nodeName });
    }
  }
  return [...(ready.size > 0 ? ready : terminating).values()];
}

function matchesPort(slicePort: NonNullable<EndpointSlice['ports']>[number], port: ServicePort): boolean {
  return (slicePort.name ?? '') === (port.name ?? '') && (slicePort.protocol ?? 'TCP') === (port.protocol ?? 'TCP');
}

function refOf({ kind, namespace, name }: NonNullable<SliceEndpoint['targetRef']>): ObjectRef {
  return { kind: kind!, name: name!, ...(namespace !== undefined && { namespace }) };
}

function stateOf({ conditions }: SliceEndpoint): 'ready' | 'terminating' | 'none' {
  if (conditions?.ready !== false) return 'ready';
  return conditions.serving && conditions.terminating ? 'terminating' : 'none';
}

function frontendItems(
  family: Family,
  frontend: Frontend,
  endpoints: readonly Endpoint[],
  service: ObjectRef,
  previous: Fragment | undefined,
): NftItem[] {
  const key = [frontend.ip, frontend.protocol, frontend.port];
  const place = placeOf(family);
  const placed = keepPlaces(placesIn(previous, key), endpoints);
  const chain = endpoints.length === 0 ? REFUSE : `n${endpoints.length}`;
  return [
    { kind: 'element', ...place, set: SERVICES, key, data: { verdict: 'goto', chain }, comment: comment(service) },
    ...placed.map(
      ({ ip, port, cause }, index): NftElement => ({
        kind: 'element',
        ...place,
        set: ENDPOINTS,
        key: [...key, index],
        data: [ip, port],
        comment: comment(cause),
      }),
    ),
  ];
}

function comment(ref: ObjectRef): string {
  return refText(ref).slice(0, COMMENT_LENGTH);
}

/** What `previous` had at each index under this key, as `address port`. */
function placesIn(previous: Fragment | undefined, key: readonly (string | number)[]): string[] {
  const places: string[] = [];
  for (const item of previous?.items ?? []) {
    if (item.kind !== 'element' || item.set !== ENDPOINTS || !Array.isArray(item.data)) continue;
    if (key.every((part, i) => item.key[i] === part)) places[Number(item.key[key.length])] = item.data.join(' ');
  }
  return places;
}

/** Those that had a place keep it; the others fill the holes. */
function keepPlaces(places: readonly string[], endpoints: readonly Endpoint[]): Endpoint[] {
  const placed = new Array<Endpoint | undefined>(endpoints.length).fill(undefined);
  const rest: Endpoint[] = [];
  const indexes = new Map(places.map((place, index) => [place, index]));
  for (const endpoint of endpoints) {
    const index = indexes.get(`${endpoint.ip} ${endpoint.port}`);
    if (index !== undefined && index < placed.length) placed[index] = endpoint;
    else rest.push(endpoint);
  }
  return placed.map((endpoint) => endpoint ?? rest.shift()!);
}

/** Shared by Services with the same endpoint, so these carry no comment of one of them. */
function hairpins(family: Family, endpoints: readonly Endpoint[]): NftElement[] {
  const local = endpoints.filter((endpoint) => endpoint.local);
  return local.map(({ ip }) => ({ kind: 'element', ...placeOf(family), set: HAIRPIN, key: [ip, ip] }));
}

/** Of each UDP frontend of a plan, `address port`, where its traffic may go now. */
export function udpTargets(fragment: Fragment | undefined): Map<string, { ip: IP; port: number }[]> {
  const targets = new Map<string, { ip: IP; port: number }[]>();
  for (const item of fragment?.items ?? []) {
    if (item.kind !== 'element' || item.key[1] !== 'udp') continue;
    const [ip, , port] = item.key;
    const frontend = `${ip} ${port}`;
    const known = targets.get(frontend) ?? [];
    targets.set(frontend, known);
    if (item.set === ENDPOINTS && Array.isArray(item.data)) {
      known.push({ ip: String(item.data[0]), port: Number(item.data[1]) });
    }
  }
  return targets;
}
