// Room plan: a Service as plain data, before any kernel: where it is reached, and where traffic goes from there.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, parsePrefix, prefixContains } from '../addr/prefix.ts';
import type { EndpointSlice, ObjectRef, Service } from '../objects/types.ts';
import { familiesOf, type NodeFacts, ofFamily } from './proxy-names.ts';
import { type Endpoint, type EndpointGroups, endpointGroups } from './service-endpoints.ts';

/** One of `endpoints` at random; where there is none, the sender is told so, or, when others serve elsewhere, the packet is dropped. */
export interface Backends {
  readonly endpoints: readonly Endpoint[];
  readonly otherwise: 'refuse' | 'drop';
}

/** One address, protocol and port of a Service on this node. The same plan for every way to put it into a kernel. */
export interface Frontend {
  readonly kind: 'clusterIP' | 'nodePort' | 'externalIP' | 'loadBalancer';
  readonly family: Family;
  readonly ip: IP;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  /** For traffic from pods and nodes; and for all other traffic, unless `outside` is there. */
  readonly inside: Backends;
  /** externalTrafficPolicy Local: for traffic from outside the cluster, whose source address the endpoint sees. */
  readonly outside?: Backends;
  /** sessionAffinity ClientIP: for so many seconds after its last connection a client comes to the same endpoint. */
  readonly affinitySeconds?: number;
  /** loadBalancerSourceRanges: all others are dropped. No range lies inside another. */
  readonly sources?: readonly CIDR[];
}

/** Whether pods' sockets may translate it (proxy mode ebpf): not what the rules must see, who may come, and what is dropped. */
export function fitsSockets({ protocol, inside, sources }: Frontend): boolean {
  return protocol !== 'sctp' && !sources && (inside.endpoints.length > 0 || inside.otherwise !== 'drop');
}

type Spec = Service['spec'];
type ServicePort = NonNullable<Spec['ports']>[number];

export function causeOf({ metadata }: Service): ObjectRef {
  return { kind: 'Service', namespace: metadata.namespace ?? 'default', name: metadata.name };
}

/** None when a node has nothing to do for it: headless, ExternalName, or DNS, which the node answers itself. */
export function frontendsOf(service: Service, slices: Iterable<EndpointSlice>, facts: NodeFacts): Frontend[] {
  const { spec } = service;
  const clusterIPs = clusterIPsOf(spec).filter((ip) => !facts.dnsIPs.includes(ip));
  if (clusterIPs.length === 0) return [];
  const cause = causeOf(service);
  const all = [...slices];
  return familiesOf(facts).flatMap((family) => {
    const ips = ofFamily(family, clusterIPs);
    if (ips.length === 0) return [];
    return (spec.ports ?? []).flatMap((port) => {
      const groups = endpointGroups(all, port, family, facts, cause);
      const build = builder(spec, port, family, groups);
      return [
        ...ips.map((ip) => build('clusterIP', ip, port.port)),
        ...ofFamily(family, externalIPsOf(service)).map((ip) => build('externalIP', ip, port.port)),
        ...ofFamily(family, balancerIPsOf(service)).map((ip) => build('loadBalancer', ip, port.port)),
        ...nodePortIPs(service, port, facts, family).map((ip) => build('nodePort', ip, port.nodePort!)),
      ];
    });
  });
}

export type TrafficPolicy = 'internal' | 'external';

/** How many ports of a Service have no endpoint on this node by a policy of Local, though they have some elsewhere. */
export function portsWithoutLocal(
  service: Service,
  slices: Iterable<EndpointSlice>,
  facts: NodeFacts,
): Record<TrafficPolicy, number> {
  const { spec } = service;
  const all = [...slices];
  const drops = (backends?: Backends) => backends?.otherwise === 'drop' && backends.endpoints.length === 0;
  const counts = { internal: 0, external: 0 };
  for (const port of spec.ports ?? []) {
    const frontends = frontendsOf({ ...service, spec: { ...spec, ports: [port] } }, all, facts);
    if (frontends.some(({ inside }) => drops(inside))) counts.internal++;
    if (frontends.some(({ outside }) => drops(outside))) counts.external++;
  }
  return counts;
}

type Build = (kind: Frontend['kind'], ip: IP, port: number) => Frontend;

function builder(spec: Spec, { protocol }: ServicePort, family: Family, groups: EndpointGroups): Build {
  const everywhere: Backends = { endpoints: groups.cluster, otherwise: 'refuse' };
  const here: Backends = { endpoints: groups.local, otherwise: groups.cluster.length > 0 ? 'drop' : 'refuse' };
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  const common = {
    family,
    protocol: (protocol ?? 'TCP').toLowerCase() as Frontend['protocol'],
    ...(spec.sessionAffinity === 'ClientIP' && { affinitySeconds: seconds }),
  };
  const sources = sourcesOf(spec, family);
  return (kind, ip, port) => {
    const place = { kind, ...common, ip, port };
    if (kind === 'clusterIP') return { ...place, inside: spec.internalTrafficPolicy === 'Local' ? here : everywhere };
    return {
      ...place,
      inside: everywhere,
      ...(spec.externalTrafficPolicy === 'Local' && { outside: here }),
      ...(kind === 'loadBalancer' && sources && { sources }),
    };
  };
}

function clusterIPsOf({ type, clusterIP, clusterIPs }: Spec): IP[] {
  if (type === 'ExternalName') return [];
  const addresses = clusterIPs ?? (clusterIP ? [clusterIP] : []);
  return addresses.filter((ip) => ip !== '' && ip !== 'None');
}

function externalIPsOf({ spec }: Service): IP[] {
  return [...new Set(spec.externalIPs ?? [])];
}

/** What a load balancer in front of the nodes terminates itself (ipMode Proxy) never comes to us under that address. */
function balancerIPsOf({ spec, status }: Service): IP[] {
  if (spec.type !== 'LoadBalancer') return [];
  const external = spec.externalIPs ?? [];
  const ingress = (status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => (ipMode ?? 'VIP') === 'VIP');
  const ips = ingress.flatMap(({ ip }) => (ip && !external.includes(ip) ? [ip] : []));
  return [...new Set(ips)];
}

function nodePortIPs({ spec }: Service, { nodePort }: ServicePort, facts: NodeFacts, family: Family): IP[] {
  const opens = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  return opens && nodePort ? ofFamily(family, facts.nodePortIPs ?? facts.nodeIPs) : [];
}

/** Undefined when everybody may come. */
function sourcesOf({ loadBalancerSourceRanges }: Spec, family: Family): CIDR[] | undefined {
  const ranges = [...new Set((loadBalancerSourceRanges ?? []).map((range) => range.trim()))];
  if (ranges.length === 0) return undefined;
  const own = ranges.filter((range) => familyOf(parsePrefix(range).ip) === family);
  // As kube-proxy: ranges of the other family alone say nothing of this one.
  if (own.length === 0 || own.some((range) => parsePrefix(range).length === 0)) return undefined;
  const covers = (outer: CIDR, inner: CIDR) =>
    outer !== inner &&
    parsePrefix(outer).length <= parsePrefix(inner).length &&
    prefixContains(outer, parsePrefix(inner).ip);
  return own.filter((range) => !own.some((other) => covers(other, range)));
}
