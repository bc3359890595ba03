// Room api: the addresses of Services: ranges from ServiceCIDR objects, and an IPAddress object for each address in use.
import { randomUUID } from 'node:crypto';
import { isIP } from '../addr/ip.ts';
import { nthAddress, parsePrefix, prefixContains, prefixSize } from '../addr/prefix.ts';
import { timestamp } from '../objects/time.ts';
import { type IPAddress, type KubeObject, objectKey, type Service, type ServiceCIDR } from '../objects/types.ts';
import { familyName, type IPFamily } from './service-families.ts';
import type { Store } from './store.ts';

const ADDRESSES = 'ipaddresses.networking.k8s.io';
const RANGES = 'servicecidrs.networking.k8s.io';
const MANAGED_BY = 'ipaddress.kubernetes.io/managed-by';
const FAMILY = 'ipaddress.kubernetes.io/ip-family';
const MANAGER = 'ipallocator.k8s.io';

/** The lower part of a range is left for those who ask for a particular address (KEP-3070). */
function lowerBand(size: bigint): bigint {
  const sixteenth = size / 16n;
  if (size < 16n) return 0n;
  return sixteenth < 16n ? 16n : sixteenth > 256n ? 256n : sixteenth;
}

/** Which Service holds an address follows the stored Services, so a deletion releases what it held. */
export class ServiceAddresses {
  /** The cluster's families, its default first. */
  readonly families: readonly IPFamily[];
  readonly #store: Store;
  /** Well-known addresses, and who alone may have them. */
  readonly #reserved = new Map<string, string>();
  readonly #holders = new Map<string, string>();
  /** CIDRs by the ServiceCIDR object that has them; those of the configuration until its object is there. */
  readonly #ranges = new Map<string, readonly string[]>();
  readonly #next = new Map<string, bigint>();
  /** Addresses whose IPAddress object may not say what is so. */
  readonly #stale = new Set<string>();

  constructor(store: Store, serviceCIDRs: readonly string[]) {
    this.#store = store;
    this.families = serviceCIDRs.map((cidr) => familyName(parsePrefix(cidr).ip));
    this.#ranges.set('kubernetes', serviceCIDRs);
    for (const cidr of serviceCIDRs) {
      this.#reserved.set(nthAddress(cidr, 1), 'default/kubernetes');
      this.#reserved.set(nthAddress(cidr, 10), 'kube-system/kube-dns');
    }
    store.onApply('services', (next, prev) => this.#follow(next, prev));
    store.onApply(RANGES, (next, prev) => this.#followRange(next, prev));
    store.onApply(ADDRESSES, (next, prev) => this.#touch((next ?? prev)!.metadata.name));
  }

  #follow(next: KubeObject | undefined, prev: KubeObject | undefined): void {
    const held = addressesIn(prev);
    const holds = addressesIn(next);
    for (const ip of held) if (!holds.includes(ip)) this.#holders.delete(ip);
    for (const ip of holds) this.#holders.set(ip, objectKey(next!));
    for (const ip of new Set([...held, ...holds])) if (held.includes(ip) !== holds.includes(ip)) this.#touch(ip);
  }

  #followRange(next: KubeObject | undefined, prev: KubeObject | undefined): void {
    const cidrs = (next as ServiceCIDR | undefined)?.spec?.cidrs;
    // From a range on its way out nothing more is given.
    if (cidrs && !next!.metadata.deletionTimestamp) this.#ranges.set(next!.metadata.name, cidrs);
    else this.#ranges.delete((next ?? prev)!.metadata.name);
  }

  /** Later in this turn: a write inside the store's own hook would come before the one that caused it. */
  #touch(ip: string): void {
    this.#stale.add(ip);
    if (this.#stale.size === 1) queueMicrotask(() => this.#settle());
  }

  #settle(): void {
    const stale = [...this.#stale];
    this.#stale.clear();
    for (const ip of stale) {
      const object = this.#store.get(ADDRESSES, '', ip)?.object as IPAddress | undefined;
      const holder = this.#holders.get(ip);
      const ours = object?.metadata.labels?.[MANAGED_BY] === MANAGER;
      if (holder === undefined) {
        if (object && ours) this.#store.remove(ADDRESSES, object as unknown as KubeObject);
      } else if (!object || parentOf(object) !== holder) {
        this.#store.put(ADDRESSES, addressObject(ip, holder, object));
      }
    }
  }

  /** Why the Service cannot have this address; undefined when it can. */
  refusal(ip: string, family: IPFamily, key: string): string | undefined {
    if (!isIP(ip)) return 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
    const ranges = this.#rangesOf(family);
    const range = ranges.find((cidr) => prefixContains(cidr, ip));
    if (range === undefined || isEdge(range, ip)) {
      // Kubernetes' words; which ranges there are it leaves to be found out.
      return `the provided network does not match the current range (${ranges.join(', ') || 'there is none'})`;
    }
    const holder = this.#holderOf(ip);
    return holder !== undefined && holder !== key ? 'provided IP is already allocated' : undefined;
  }

  #holderOf(ip: string): string | undefined {
    const object = this.#store.get(ADDRESSES, '', ip)?.object as IPAddress | undefined;
    return this.#holders.get(ip) ?? this.#reserved.get(ip) ?? (object && parentOf(object));
  }

  #rangesOf(family: IPFamily): string[] {
    return [...this.#ranges.values()].flat().filter((cidr) => familyName(parsePrefix(cidr).ip) === family);
  }

  /** Undefined when every range is full. */
  free(family: IPFamily): string | undefined {
    for (const cidr of this.#rangesOf(family)) {
      const size = prefixSize(cidr);
      const end = family === 'IPv4' ? size - 1n : size; // an IPv4 prefix ends with its broadcast address
      const lower = lowerBand(size);
      const band = lower < 1n ? 1n : lower > end ? end : lower;
      const ip = this.#freeIn(cidr, band, end, cidr) ?? this.#freeIn(cidr, 1n, band, undefined);
      if (ip !== undefined) return ip;
    }
    return undefined;
  }

  /** The next address after the one given out last (`memory`), so that one that was released rests a while. */
  #freeIn(cidr: string, from: bigint, end: bigint, memory: string | undefined): string | undefined {
    const count = end - from;
    const start = (memory && this.#next.get(memory)) || from;
    for (let tried = 0n; tried < count; tried++) {
      const offset = from + ((start - from + tried) % count);
      const ip = nthAddress(cidr, offset);
      if (this.#holderOf(ip) !== undefined) continue;
      if (memory) this.#next.set(memory, offset + 1n);
      return ip;
    }
    return undefined;
  }
}

/** The network's own address, and the broadcast address of an IPv4 range, are no Service's. */
function isEdge(cidr: string, ip: string): boolean {
  if (ip === nthAddress(cidr, 0)) return true;
  const size = prefixSize(cidr);
  return !ip.includes(':') && size > 2n && ip === nthAddress(cidr, size - 1n);
}

function addressesIn(service: KubeObject | undefined): string[] {
  return ((service as Service | undefined)?.spec?.clusterIPs ?? []).filter((ip) => ip !== 'None' && isIP(ip));
}

function parentOf({ spec }: IPAddress): string {
  const { namespace, name } = spec?.parentRef ?? {};
  return namespace ? `${namespace}/${name}` : (name ?? '');
}

function addressObject(ip: string, holder: string, old: IPAddress | undefined): KubeObject {
  const [namespace, name] = holder.split('/') as [string, string];
  const labels = { [FAMILY]: familyName(ip), [MANAGED_BY]: MANAGER };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IPAddress',
    metadata: {
      name: ip,
      uid: old?.metadata.uid ?? randomUUID(),
      resourceVersion: '',
      creationTimestamp: old?.metadata.creationTimestamp ?? timestamp(Date.now()),
      labels,
    },
    spec: { parentRef: { group: '', resource: 'services', namespace, name } },
  };
}
