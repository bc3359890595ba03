// Room api: admission of Services: cluster IPs and node ports, requested or given out.

import { isDeepStrictEqual } from 'node:util';
import { familyOf, isIP } from '../addr/ip.ts';
import { type CIDR, nthAddress, parsePrefix, prefixContains, prefixSize } from '../addr/prefix.ts';
import { kindRow } from '../objects/kinds.ts';
import type { StatusCause } from '../objects/status.ts';
import { type KubeObject, objectKey, type Service } from '../objects/types.ts';
import { invalid } from '../objects/validate/validate.ts';
import type { Store } from './store.ts';

export interface ServiceAllocation {
  readonly serviceCIDRs: readonly string[];
  readonly nodePortRange: readonly [number, number];
}

type ServicePort = NonNullable<Service['spec']['ports']>[number];
type IPFamily = 'IPv4' | 'IPv6';

/** Addresses below this one are left for those who ask for a particular one. */
const FIRST_GIVEN_OUT = 257n;

const familyName = (ip: string): IPFamily => (familyOf(ip) === 4 ? 'IPv4' : 'IPv6');

/** Which Service holds an address or a port follows the stored Services, so a deletion releases what it held. */
export class ServiceAllocator {
  readonly #cidrs: ReadonlyMap<IPFamily, CIDR>;
  readonly #nodePortRange: readonly [number, number];
  /** Well-known addresses, and who alone may have them. */
  readonly #reserved = new Map<string, string>();
  readonly #addresses = new Map<string, string>();
  readonly #nodePorts = new Map<string, string>();
  readonly #nextAddress = new Map<IPFamily, bigint>();
  #nextPort: number;

  constructor(store: Store, { serviceCIDRs, nodePortRange }: ServiceAllocation) {
    this.#cidrs = new Map(serviceCIDRs.map((cidr) => [familyName(parsePrefix(cidr).ip), cidr]));
    this.#nodePortRange = nodePortRange;
    this.#nextPort = nodePortRange[0];
    for (const cidr of serviceCIDRs) {
      this.#reserved.set(nthAddress(cidr, 1), 'default/kubernetes');
      this.#reserved.set(nthAddress(cidr, 10), 'kube-system/kube-dns');
    }
    store.onApply('services', (next, prev) => this.#follow(next, prev));
  }

  #follow(next: KubeObject | undefined, prev: KubeObject | undefined): void {
    for (const [object, held] of [
      [prev, false],
      [next, true],
    ] as const) {
      if (!object) continue;
      const { metadata, spec } = object as unknown as Service;
      const set = (map: Map<string, string>, key: string) =>
        held ? map.set(key, objectKey({ metadata })) : map.delete(key);
      for (const ip of spec.clusterIPs ?? []) if (ip !== 'None') set(this.#addresses, ip);
      for (const port of spec.ports ?? []) if (port.nodePort) set(this.#nodePorts, portKey(port, port.nodePort));
    }
  }

  /** Fills in clusterIP(s), ipFamilies, ipFamilyPolicy and nodePorts in place; throws 422 when what was asked for cannot be had. */
  allocate(service: Service, old?: Service): void {
    const { spec } = service;
    if (old) {
      keepAllocated(spec, old.spec);
      dropWhatTheTypeHasNot(spec, old.spec);
    }
    const causes: StatusCause[] = [];
    if (spec.type !== 'ExternalName') {
      this.#fillFamilies(spec, causes);
      if (causes.length === 0) this.#fillAddresses(service, causes);
    }
    if (usesNodePorts(spec)) this.#fillNodePorts(service, causes);
    if (causes.length > 0) throw invalid(kindRow('Service'), service.metadata.name, causes);
  }

  #fillFamilies(spec: Service['spec'], causes: StatusCause[]): void {
    const available = [...this.#cidrs.keys()];
    spec.clusterIPs ??= spec.clusterIP ? [spec.clusterIP] : [];
    const requested = spec.clusterIPs.filter((ip) => ip !== 'None').map(familyName);
    const families = spec.ipFamilies?.length ? (spec.ipFamilies as IPFamily[]) : requested;
    spec.ipFamilyPolicy ??= families.length > 1 ? 'RequireDualStack' : 'SingleStack';
    for (const [i, family] of families.entries()) {
      if (available.includes(family)) continue;
      causes.push(refused(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster'));
    }
    if (spec.ipFamilyPolicy === 'RequireDualStack' && available.length < 2) {
      const why = 'this cluster is not configured for dual-stack services';
      causes.push(refused('spec.ipFamilyPolicy', spec.ipFamilyPolicy, why));
    }
    const wanted = [...new Set([...families, ...available])];
    spec.ipFamilies = wanted.slice(0, spec.ipFamilyPolicy === 'SingleStack' ? 1 : 2);
  }

  #fillAddresses(service: Service, causes: StatusCause[]): void {
    const { spec } = service;
    const key = objectKey(service);
    if (spec.clusterIP === 'None') {
      spec.clusterIPs = ['None'];
      return;
    }
    const addresses = spec.clusterIPs ?? [];
    for (const ip of addresses) {
      const why = this.#refusal(ip, key);
      if (why) causes.push(refused('spec.clusterIPs', addresses, `failed to allocate IP ${ip}: ${why}`));
    }
    if (causes.length > 0) return;
    const families = spec.ipFamilies as IPFamily[];
    spec.clusterIPs = families.map((family, i) => addresses[i] ?? this.#freeAddress(family, causes));
    if (causes.length === 0) spec.clusterIP = spec.clusterIPs[0]!;
  }

  #refusal(ip: string, key: string): string | undefined {
    if (!isIP(ip)) return 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
    const cidr = this.#cidrs.get(familyName(ip));
    if (!cidr || !prefixContains(cidr, ip)) {
      return `the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${cidr ?? 'empty'}`;
    }
    const holder = this.#addresses.get(ip) ?? this.#reserved.get(ip);
    return holder !== undefined && holder !== key ? 'provided IP is already allocated' : undefined;
  }

  /** The next address after the one given out last, so that one that was released rests a while. */
  #freeAddress(family: IPFamily, causes: StatusCause[]): string {
    const cidr = this.#cidrs.get(family)!;
    const size = prefixSize(cidr);
    const end = family === 'IPv4' ? size - 1n : size; // an IPv4 prefix ends with its broadcast address
    const first = this.#nextAddress.get(family) ?? (size > 2n * FIRST_GIVEN_OUT ? FIRST_GIVEN_OUT : 1n);
    for (let i = first, tried = 0n; tried < end; i++, tried++) {
      const offset = ((i - 1n) % (end - 1n)) + 1n; // never the network address
      const ip = nthAddress(cidr, offset);
      if (this.#addresses.has(ip) || this.#reserved.has(ip)) continue;
      this.#nextAddress.set(family, offset + 1n);
      return ip;
    }
    causes.push(refused('spec.clusterIPs', [], `failed to allocate a serviceIP: range is full`));
    return '';
  }

  #fillNodePorts(service: Service, causes: StatusCause[]): void {
    const key = objectKey(service);
    const [low, high] = this.#nodePortRange;
    const ports = service.spec.ports ?? [];
    for (const [i, port] of ports.entries()) {
      if (!port.nodePort) continue;
      const holder = this.#nodePorts.get(portKey(port, port.nodePort));
      const field = `spec.ports[${i}].nodePort`;
      if (port.nodePort < low || port.nodePort > high) {
        const why = `provided port is not in the valid range. The range of valid ports is ${low}-${high}`;
        causes.push(refused(field, port.nodePort, why));
      } else if (holder !== undefined && holder !== key) {
        causes.push(refused(field, port.nodePort, 'provided port is already allocated'));
      }
    }
    for (const port of ports) port.nodePort ||= this.#freeNodePort(port, ports, causes);
  }

  /** Ports of one number that differ in their protocol share a node port, as DNS over TCP and UDP does. */
  #freeNodePort(port: ServicePort, ports: readonly ServicePort[], causes: StatusCause[]): number {
    const isFree = (n: number) =>
      !this.#nodePorts.has(portKey(port, n)) && !ports.some((p) => p.nodePort === n && p.protocol === port.protocol);
    const twin = ports.find((other) => other !== port && other.port === port.port && other.nodePort);
    if (twin?.nodePort && isFree(twin.nodePort)) return twin.nodePort;
    const [low, high] = this.#nodePortRange;
    for (let tried = low; tried <= high; tried++) {
      const n = this.#nextPort;
      this.#nextPort = n >= high ? low : n + 1;
      if (isFree(n) && !ports.some((p) => p.nodePort === n)) return n;
    }
    causes.push(refused('spec.ports', ports, 'failed to allocate a nodePort: range is full'));
    return 0;
  }
}

function portKey(port: ServicePort, nodePort: number): string {
  return `${nodePort}/${port.protocol ?? 'TCP'}`;
}

function usesNodePorts({ type, allocateLoadBalancerNodePorts }: Service['spec']): boolean {
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

/** A client that writes a Service without its allocated values means to keep them. */
function keepAllocated(spec: Service['spec'], old: Service['spec']): void {
  if (spec.type !== 'ExternalName' && old.type !== 'ExternalName' && old.clusterIP) {
    spec.clusterIP ||= old.clusterIP;
    // Who changes clusterIP alone, as a patch may, means the first of clusterIPs; that it may not change is for validation to say.
    if (spec.clusterIP !== old.clusterIP && isDeepStrictEqual(spec.clusterIPs, old.clusterIPs)) {
      spec.clusterIPs = [spec.clusterIP, ...(spec.clusterIPs ?? []).slice(1)];
    }
    if (!spec.clusterIPs?.length && spec.clusterIP === old.clusterIP && old.clusterIPs) {
      spec.clusterIPs = [...old.clusterIPs];
    }
    if (!spec.ipFamilies?.length && old.ipFamilies) spec.ipFamilies = [...old.ipFamilies];
    if (!spec.ipFamilyPolicy && old.ipFamilyPolicy) spec.ipFamilyPolicy = old.ipFamilyPolicy;
    if (spec.ipFamilyPolicy === 'SingleStack') {
      spec.clusterIPs = spec.clusterIPs?.slice(0, 1) ?? [];
      spec.ipFamilies = spec.ipFamilies?.slice(0, 1) ?? [];
    }
  }
  if (!usesNodePorts(spec) || !usesNodePorts(old)) return;
  const taken = new Set(spec.ports?.map((port) => port.nodePort));
  for (const port of spec.ports ?? []) {
    const before = old.ports?.find((p) => p.port === port.port && p.protocol === (port.protocol ?? 'TCP'));
    if (!port.nodePort && before?.nodePort && !taken.has(before.nodePort)) port.nodePort = before.nodePort;
  }
}

/** After a change of type, what the old type had and the new one has not goes, unless the client newly asked for it. */
function dropWhatTheTypeHasNot(spec: Service['spec'], old: Service['spec']): void {
  if (spec.type === old.type) return;
  const fields: (keyof Service['spec'])[] = [];
  if (spec.type === 'ExternalName') {
    fields.push('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy');
  }
  if (spec.type !== 'LoadBalancer') {
    fields.push('allocateLoadBalancerNodePorts', 'loadBalancerClass', 'healthCheckNodePort');
    if (spec.type !== 'NodePort' && !spec.externalIPs?.length) fields.push('externalTrafficPolicy');
  }
  for (const field of fields) {
    if (isDeepStrictEqual(spec[field], old[field])) Reflect.deleteProperty(spec, field);
  }
  if (usesNodePorts(spec)) return;
  const before = new Set(old.ports?.map((port) => port.nodePort));
  for (const port of spec.ports ?? []) if (before.has(port.nodePort)) delete port.nodePort;
}

function refused(field: string, value: unknown, why: string): StatusCause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${why}`, field };
}
