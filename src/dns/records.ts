// Room dns: everything the cluster's zone knows, by name and by address; a change to one object touches what it names alone.
import { formatIP, type IP, parseIP } from '../addr/ip.ts';
import { type EndpointSlice, objectKey, type Service } from '../objects/types.ts';
import type { Name, RData } from '../wire/dns/message.ts';
import {
  addressData,
  clusterIPs,
  isHeadless,
  namedEndpoints,
  type ServiceNames,
  serviceNames,
} from './service-names.ts';
import { TTL } from './zone.ts';

/** The version of the Kubernetes DNS specification whose schema the zone has. */
export const SCHEMA_VERSION = '1.1.0';

export interface RecordsOptions {
  /** `cluster.local` */
  readonly zone: Name;
  /** Where the zone's name server answers. */
  readonly dnsIPs: readonly IP[];
  /** Seconds for which answers may be kept; TTL when absent. */
  readonly ttl?: number;
  /** Endpoints without a hostname have their pods' names. */
  readonly podNames?: boolean;
  /** Told what has changed, in the words of dependencyOf() and dependencyOfIP(). */
  readonly onChange?: (dependency: string) => void;
}

/** What answers depend on that never changes. */
const FIXED = 'fixed';

interface ServiceEntry {
  service: Service | undefined;
  readonly slices: Map<string, EndpointSlice>;
  /** Made at the first question after a change. */
  names: ServiceNames | undefined | 'stale';
  /** What it put into the reverse index: by slice, and under '' its own addresses. */
  readonly reverse: Map<string, readonly [ip: IP, name: Name][]>;
}

const NOTHING: readonly RData[] = [];

export class ClusterRecords {
  readonly zone: Name;
  readonly ttl: number;
  readonly #podNames: boolean;
  readonly #dnsIPs: readonly IP[];
  readonly #onChange: (dependency: string) => void;
  readonly #namespaces = new Set<string>();
  /** By `web.shop`, as it stands in a question. */
  readonly #services = new Map<string, ServiceEntry>();
  /** Slice to the Service under which it was filed: its label may change. */
  readonly #sliceOwners = new Map<string, string>();
  /** Address to names, each with how many objects say so. */
  readonly #reverse = new Map<IP, Map<Name, number>>();
  #serial = Math.floor(Date.now() / 1000);

  constructor(options: RecordsOptions) {
    this.zone = options.zone.toLowerCase();
    this.ttl = options.ttl ?? TTL;
    this.#podNames = options.podNames ?? false;
    this.#dnsIPs = options.dnsIPs;
    this.#onChange = options.onChange ?? (() => {});
  }

  /** The zone's serial number: higher after every change. */
  get serial(): number {
    return this.#serial >>> 0;
  }

  /**
   * All data at a name, given as its labels left of the zone in lower case ('' is the zone). Empty: the name exists, with
   * nothing at it. Undefined: there is no such name.
   */
  find(labels: string): readonly RData[] | undefined {
    const parts = labels.split('.');
    switch (parts.at(-1)) {
      case 'svc':
        return this.#findService(parts);
      case 'pod':
        return this.#findPod(parts);
      default:
        return this.#findFixed(labels);
    }
  }

  /**
   * What find() makes its answer of, whether or not there is such a name: what changed when the answer changes. Undefined for
   * the zone itself, whose serial number every change moves; that of another answer's SOA may be an older one.
   */
  dependencyOf(labels: string): string | undefined {
    const parts = labels.split('.');
    const kind = parts.at(-1);
    if (kind === '') return undefined;
    if ((kind !== 'svc' && kind !== 'pod') || parts.length === 1) return FIXED;
    return kind === 'svc' && parts.length > 2 ? `service ${parts.at(-3)}.${parts.at(-2)}` : `namespace ${parts.at(-2)}`;
  }

  /** As dependencyOf(), of namesOf(). */
  dependencyOfIP(ip: IP): string {
    return `ip ${ip}`;
  }

  /** The names of an address in canonical text: for PTR. */
  namesOf(ip: IP): Name[] {
    return [...(this.#reverse.get(ip)?.keys() ?? [])];
  }

  setNamespace(name: string, exists: boolean): void {
    if (exists) this.#namespaces.add(name);
    else this.#namespaces.delete(name);
    this.#serial++;
    this.#onChange(`namespace ${name}`);
  }

  /** Undefined removes it; its slices stay filed until they are removed themselves. */
  setService(key: string, service: Service | undefined): void {
    const name = labelsOf(key);
    const entry = this.#entry(name);
    const before = entry.service;
    entry.service = service;
    this.#changed(name, entry);
    this.#replaceReverse(
      entry,
      '',
      (service ? clusterIPs(service) : []).map((ip) => [ip, this.#fullName(name)]),
    );
    if (namingOf(before) !== namingOf(service)) {
      for (const [sliceKey, slice] of entry.slices) this.#replaceReverse(entry, sliceKey, this.#pointers(entry, slice));
    }
    this.#dropIfEmpty(name, entry);
  }

  setSlice(slice: EndpointSlice): void {
    const key = objectKey(slice);
    const service = slice.metadata.labels?.['kubernetes.io/service-name'];
    const name = service ? `${service}.${slice.metadata.namespace}` : undefined;
    if (this.#sliceOwners.get(key) !== name) this.removeSlice(key);
    if (!name) return;
    this.#sliceOwners.set(key, name);
    const entry = this.#entry(name);
    entry.slices.set(key, slice);
    this.#changed(name, entry);
    this.#replaceReverse(entry, key, this.#pointers(entry, slice));
  }

  removeSlice(key: string): void {
    const name = this.#sliceOwners.get(key);
    if (!name) return;
    this.#sliceOwners.delete(key);
    const entry = this.#entry(name);
    entry.slices.delete(key);
    this.#changed(name, entry);
    this.#replaceReverse(entry, key, []);
    this.#dropIfEmpty(name, entry);
  }

  #findService(parts: readonly string[]): readonly RData[] | undefined {
    if (parts.length === 1) return NOTHING;
    const namespace = parts.at(-2)!;
    if (parts.length === 2) return this.#namespaces.has(namespace) ? NOTHING : undefined;
    const name = `${parts.at(-3)}.${namespace}`;
    const entry = this.#services.get(name);
    if (!entry?.service) return undefined;
    if (entry.names === 'stale') {
      entry.names = serviceNames(entry.service, entry.slices.values(), this.#fullName(name), this.#podNames);
    }
    if (parts.length === 3) return entry.names?.at;
    return entry.names?.below.get(parts.slice(0, -3).join('.'));
  }

  /** `10-244-0-7.shop.pod`: made from the name, whether or not a pod has the address, when the namespace exists. */
  #findPod(parts: readonly string[]): readonly RData[] | undefined {
    if (parts.length === 1) return NOTHING;
    if (parts.length > 3 || !this.#namespaces.has(parts.at(-2)!)) return undefined;
    if (parts.length === 2) return NOTHING;
    const ip = podAddress(parts[0]!);
    return ip && [addressData(ip)];
  }

  #findFixed(labels: string): readonly RData[] | undefined {
    switch (labels) {
      case '':
        return this.apex();
      case 'dns':
        return NOTHING;
      case 'ns.dns':
        return this.#dnsIPs.map(addressData);
      case 'dns-version':
        return [{ type: 'TXT', strings: [SCHEMA_VERSION] }];
      default:
        return undefined;
    }
  }

  /** SOA and NS, the same for the zone and for the reverse zones. */
  apex(): [RData & { type: 'SOA' }, RData & { type: 'NS' }] {
    const mname = `ns.dns.${this.zone}`;
    const times = { serial: this.serial, refresh: 7200, retry: 1800, expire: 86400, minimum: this.ttl };
    return [
      { type: 'SOA', mname, rname: `hostmaster.${this.zone}`, ...times },
      { type: 'NS', target: mname },
    ];
  }

  #fullName(service: string): Name {
    return `${service}.svc.${this.zone}`;
  }

  #entry(name: string): ServiceEntry {
    let entry = this.#services.get(name);
    if (!entry) {
      entry = { service: undefined, slices: new Map(), names: undefined, reverse: new Map() };
      this.#services.set(name, entry);
    }
    return entry;
  }

  #changed(name: string, entry: ServiceEntry): void {
    entry.names = 'stale';
    this.#serial++;
    this.#onChange(`service ${name}`);
  }

  #dropIfEmpty(name: string, entry: ServiceEntry): void {
    if (!entry.service && entry.slices.size === 0) this.#services.delete(name);
  }

  #pointers(entry: ServiceEntry, slice: EndpointSlice): [IP, Name][] {
    if (!entry.service) return [];
    const { name, namespace } = entry.service.metadata;
    const service = this.#fullName(`${name}.${namespace}`);
    const endpoints = namedEndpoints(entry.service, slice, this.#podNames);
    return Array.from(endpoints, ({ ip, hostname }) => [ip, `${hostname}.${service}`]);
  }

  #replaceReverse(entry: ServiceEntry, source: string, pointers: readonly [IP, Name][]): void {
    for (const [ip, name] of entry.reverse.get(source) ?? []) this.#count(ip, name, -1);
    for (const [ip, name] of pointers) this.#count(ip, name, 1);
    if (pointers.length === 0) entry.reverse.delete(source);
    else entry.reverse.set(source, pointers);
  }

  #count(ip: IP, name: Name, by: 1 | -1): void {
    const names = this.#reverse.get(ip) ?? new Map<Name, number>();
    const count = (names.get(name) ?? 0) + by;
    if (count > 0) names.set(name, count);
    else names.delete(name);
    if (names.size > 0) this.#reverse.set(ip, names);
    else this.#reverse.delete(ip);
    this.#onChange(this.dependencyOfIP(ip));
  }
}

/** What of a Service decides which endpoints have names. */
function namingOf(service: Service | undefined): string {
  return service && isHeadless(service) ? `headless ${service.spec.publishNotReadyAddresses ?? false}` : '';
}

/** `shop/web` to `web.shop`. */
function labelsOf(key: string): string {
  const slash = key.indexOf('/');
  return `${key.slice(slash + 1)}.${key.slice(0, slash)}`;
}

function podAddress(label: string): IP | undefined {
  const v4 = /^\d+-\d+-\d+-\d+$/.test(label);
  const bytes = parseIP(label.replaceAll('-', v4 ? '.' : ':'));
  return bytes && formatIP(bytes);
}
