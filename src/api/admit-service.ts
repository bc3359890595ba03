// Room api: admission of Services: families, cluster IPs and node ports, requested or given out.
import { kindRow } from '../objects/kinds.ts';
import { failure, type StatusCause } from '../objects/status.ts';
import { objectKey, type Service } from '../objects/types.ts';
import { invalidValue } from '../objects/validate/causes.ts';
import { isHeadless, needsHealthCheck } from '../objects/validate/service.ts';
import { invalid } from '../objects/validate/validate.ts';
import { NodePorts } from './node-ports.ts';
import { ServiceAddresses } from './service-addresses.ts';
import {
  agreeOnClusterIPs,
  dropWhatTheTypeHasNot,
  hasClusterIP,
  hasNodePorts,
  keepAllocated,
} from './service-change.ts';
import { fillFamilies, type IPFamily } from './service-families.ts';
import type { Store } from './store.ts';

export interface ServiceAllocation {
  readonly serviceCIDRs: readonly string[];
  readonly nodePortRange: readonly [number, number];
}

type Ports = NonNullable<Service['spec']['ports']>;

export class ServiceAllocator {
  readonly #addresses: ServiceAddresses;
  readonly #nodePorts: NodePorts;

  constructor(store: Store, { serviceCIDRs, nodePortRange }: ServiceAllocation) {
    this.#addresses = new ServiceAddresses(store, serviceCIDRs);
    this.#nodePorts = new NodePorts(store, nodePortRange);
  }

  /** Fills in clusterIP(s), ipFamilies, ipFamilyPolicy and node ports in place; throws 422 when what was asked for cannot be had. */
  allocate(service: Service, old?: Service): void {
    const { spec } = service;
    if (old) {
      keepAllocated(spec, old.spec);
      agreeOnClusterIPs(spec, old.spec);
      dropWhatTheTypeHasNot(spec, old.spec);
      if (spec.type !== 'LoadBalancer') service.status = { ...service.status, loadBalancer: {} };
    } else agreeOnClusterIPs(spec);
    if (hasClusterIP(spec)) {
      refuseFor(service, fillFamilies(spec, old?.spec, this.#addresses.families));
      this.#fillAddresses(service, old);
    }
    if (hasNodePorts(spec)) this.#fillNodePorts(service, old === undefined);
    if (needsHealthCheck(spec)) this.#fillHealthCheckPort(service);
  }

  #fillAddresses(service: Service, old: Service | undefined): void {
    const { spec } = service;
    // That an address may not come to or go from a Service which has been headless, validation says.
    if (isHeadless(spec) || (old && isHeadless(old.spec))) return;
    const key = objectKey(service);
    const requested = spec.clusterIPs ?? [];
    const kept = old?.spec.clusterIPs ?? [];
    const causes: StatusCause[] = [];
    for (const [i, ip] of requested.entries()) {
      // Another address in the place of one that was given: validation refuses it in other words.
      if (kept[i] !== undefined && old!.spec.type !== 'ExternalName') continue;
      const why = this.#addresses.refusal(ip, (spec.ipFamilies?.[i] ?? 'IPv4') as IPFamily, key);
      if (why) causes.push(invalidValue('spec.clusterIPs', requested, `failed to allocate IP ${ip}: ${why}`));
    }
    refuseFor(service, causes);
    spec.clusterIPs = (spec.ipFamilies as IPFamily[]).map((family, i) => requested[i] || this.#freeAddress(family));
    spec.clusterIP = spec.clusterIPs[0]!;
  }

  #freeAddress(family: IPFamily): string {
    return this.#addresses.free(family) ?? internal('failed to allocate a serviceIP: range is full');
  }

  #fillNodePorts(service: Service, isNew: boolean): void {
    const key = objectKey(service);
    const { ports = [], type, allocateLoadBalancerNodePorts } = service.spec;
    const causes: StatusCause[] = [];
    for (const [i, { nodePort }] of ports.entries()) {
      const why = nodePort ? this.#nodePorts.refusal(nodePort, key) : undefined;
      if (why) causes.push(invalidValue(`spec.ports[${i}].nodePort`, nodePort, why));
    }
    refuseFor(service, causes);
    if (type === 'LoadBalancer' && allocateLoadBalancerNodePorts === false) return;
    for (const port of ports) port.nodePort ||= (isNew && twinOf(port, ports)) || this.#freePort(service);
  }

  #freePort({ spec }: Service): number {
    const taken = new Set([...(spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0), spec.healthCheckNodePort ?? 0]);
    return this.#nodePorts.free(taken) ?? internal('failed to allocate a nodePort: range is full');
  }

  #fillHealthCheckPort(service: Service): void {
    const { spec } = service;
    if (!spec.healthCheckNodePort) {
      spec.healthCheckNodePort = this.#freePort(service);
      return;
    }
    const why = this.#nodePorts.refusal(spec.healthCheckNodePort, objectKey(service));
    if (why) internal(`failed to allocate requested HealthCheck NodePort ${spec.healthCheckNodePort}: ${why}`);
  }
}

/** Ports of one number that differ in their protocol share a node port, as DNS over TCP and UDP does. */
function twinOf(port: Ports[number], ports: Ports): number | undefined {
  const twin = ports.find((other) => other.port === port.port && other.nodePort);
  const taken = ports.some((other) => other.nodePort === twin?.nodePort && other.protocol === port.protocol);
  return taken ? undefined : twin?.nodePort;
}

function refuseFor(service: Service, causes: readonly StatusCause[]): void {
  if (causes.length > 0) throw invalid(kindRow('Service'), service.metadata.name, causes);
}

/** As Kubernetes answers when it is not a field that is at fault. */
function internal(why: string): never {
  throw failure(500, 'InternalError', `Internal error occurred: ${why}`);
}
