// Room controllers: which addresses a Service gets: those it has, those it asks for, else the first free ones of its pools.
import { type Family, familyOf, type IP, ipToBigInt } from '../../addr/ip.ts';
import { type AddressRange, addressesOf, parseRange, rangeContains, rangeSize } from '../../addr/range.ts';
import { matchesSelector } from '../../objects/select.ts';
import type { LBPool, Namespace } from '../../objects/types.ts';
import type { AddressBook } from './book.ts';
import type { AddressRequest } from './request.ts';

export interface Pool {
  readonly name: string;
  readonly object: LBPool;
  readonly ranges: readonly AddressRange[];
}

export interface Supply {
  /** In the order in which they are tried. */
  readonly pools: readonly Pool[];
  readonly book: AddressBook;
  /** Addresses of nodes, routers and the like, which no Service may have. */
  readonly reserved: ReadonlySet<IP>;
  readonly namespace: Namespace | undefined;
  /** Address before which none of the range is free, as far as known. Kept by choose() and hintFreed(). */
  readonly hints: Map<string, bigint>;
}

export type Choice =
  /** `missing`: why there is none of a family that the Service only prefers. */
  | { readonly ips: readonly IP[]; readonly missing?: string }
  | { readonly reason: 'NoPool' | 'PoolExhausted' | 'NotAvailable'; readonly message: string };

export function readPool(object: LBPool): Pool {
  return { name: object.metadata.name, object, ranges: object.spec.addresses.map(parseRange) };
}

/** Highest priority first, then by name. */
export function inOrder(pools: Iterable<Pool>): Pool[] {
  const priority = ({ object }: Pool) => object.spec.priority ?? 0;
  return [...pools].sort((a, b) => priority(b) - priority(a) || (a.name < b.name ? -1 : 1));
}

export function poolOf(pools: readonly Pool[], ip: IP): Pool | undefined {
  return pools.find((pool) => pool.ranges.some((range) => rangeContains(range, ip)));
}

/** `current`: what the Service has. It keeps that for as long as it does not ask for something else. */
export function choose(request: AddressRequest, current: readonly IP[], supply: Supply): Choice {
  const ips: IP[] = [];
  const missing: Extract<Choice, { reason: string }>[] = [];
  for (const family of request.families) {
    const found = chooseOne(request, family, current, supply);
    if (typeof found === 'string') ips.push(found);
    else missing.push(found);
  }
  const [failure] = missing;
  if (!failure) return { ips };
  const asked = request.families.some((family) =>
    request.ips.some((ip) => familyOf(ip) === family && !ips.includes(ip)),
  );
  if (request.allFamilies || ips.length === 0 || asked) return failure;
  return { ips, missing: failure.message };
}

function chooseOne(request: AddressRequest, family: Family, current: readonly IP[], supply: Supply): IP | Failure {
  const { book } = supply;
  const wished = request.ips.find((ip) => familyOf(ip) === family);
  const has = current.find((ip) => familyOf(ip) === family);
  const allowed = supply.pools.filter((pool) => serves(pool, request, supply.namespace));
  const inPool = request.pool === undefined || (has && poolOf(supply.pools, has)?.name === request.pool);
  if (has !== undefined && (wished ?? has) === has && inPool && !book.refusal(has, request.holder)) return has;
  if (wished !== undefined) return takeWished(wished, allowed, request, supply);
  const pools = allowed.filter(({ name, object }) =>
    request.pool === undefined ? object.spec.autoAssign !== false : name === request.pool,
  );
  const ranges = pools.flatMap((pool) => pool.ranges.filter((range) => range.family === family));
  if (ranges.length === 0) return noPool(request, family);
  const { sharingKey } = request.holder;
  if (sharingKey !== undefined) {
    for (const ip of book.sharedBy(sharingKey)) {
      if (ranges.some((range) => rangeContains(range, ip)) && !book.refusal(ip, request.holder)) return ip;
    }
  }
  for (const range of ranges) {
    const ip = firstFree(range, supply);
    if (ip !== undefined) return ip;
  }
  const names = [...new Set(pools.filter((pool) => pool.ranges.some((r) => r.family === family)).map((p) => p.name))];
  return {
    reason: 'PoolExhausted',
    message:
      `no IPv${family} address is free in LBPool ${names.join(', ')}: add addresses (kubectl edit lbpool ${names[0]}), ` +
      'delete a Service of type LoadBalancer, or let Services share one (annotation podwire.io/allow-shared-ip)',
  };
}

type Failure = Extract<Choice, { reason: string }>;

function takeWished(ip: IP, allowed: readonly Pool[], request: AddressRequest, supply: Supply): IP | Failure {
  const pool = poolOf(allowed, ip);
  if (!pool || (request.pool !== undefined && pool.name !== request.pool)) {
    const names = allowed.map((each) => each.name).join(', ');
    const open = names ? `the pools open to this Service are ${names}` : 'no pool is open to this Service';
    return {
      reason: 'NotAvailable',
      message: `${ip} is in no LBPool that this Service may use; ${open} (kubectl get lbpools)`,
    };
  }
  if (supply.reserved.has(ip))
    return { reason: 'NotAvailable', message: `${ip} is an address of the node network itself` };
  const why = supply.book.refusal(ip, request.holder);
  return why === undefined
    ? ip
    : { reason: 'NotAvailable', message: `${why}; ask for another, or leave the choice to the pool` };
}

function noPool({ pool, service }: AddressRequest, family: Family): Failure {
  const namespace = service.metadata.namespace ?? 'default';
  const message =
    pool === undefined
      ? `no LBPool gives IPv${family} addresses to this Service: create one, or open one to namespace ${namespace} (kubectl get lbpools)`
      : `there is no LBPool ${pool} with IPv${family} addresses that is open to this Service (kubectl get lbpools)`;
  return { reason: 'NoPool', message };
}

function serves({ object }: Pool, { service }: AddressRequest, namespace: Namespace | undefined): boolean {
  const { namespaces = [], namespaceSelector, serviceSelector } = object.spec;
  const { metadata } = service;
  if (serviceSelector && !matchesSelector(serviceSelector, metadata.labels)) return false;
  if (namespaces.length === 0 && !namespaceSelector) return true;
  return (
    namespaces.includes(metadata.namespace ?? '') || matchesSelector(namespaceSelector, namespace?.metadata.labels)
  );
}

function firstFree(range: AddressRange, { book, reserved, hints }: Supply): IP | undefined {
  const key = hintKey(range);
  for (const ip of addressesOf(range, hints.get(key))) {
    if (!book.isFree(ip) || reserved.has(ip)) continue;
    hints.set(key, ipToBigInt(ip));
    return ip;
  }
  hints.set(key, range.last + 1n);
  return undefined;
}

function hintKey({ family, first, last }: AddressRange): string {
  return `${family}/${first}/${last}`;
}

/** Addresses below a hint are free again. */
export function hintFreed(hints: Map<string, bigint>, pools: readonly Pool[], ips: readonly IP[]): void {
  for (const ip of ips) {
    for (const range of pools.flatMap((pool) => pool.ranges)) {
      const hint = hints.get(hintKey(range));
      if (hint !== undefined && rangeContains(range, ip) && ipToBigInt(ip) < hint)
        hints.set(hintKey(range), ipToBigInt(ip));
    }
  }
}

/** JSON has no numbers beyond it, and nobody counts so far. */
const MOST = BigInt(Number.MAX_SAFE_INTEGER);

export function countPool(
  pool: Pool,
  { book, reserved }: Pick<Supply, 'book' | 'reserved'>,
): { assigned: number; free: number } {
  const inside = (ip: IP) => pool.ranges.some((range) => rangeContains(range, ip));
  const assigned = [...book.addresses()].filter(inside).length;
  const kept = [...reserved].filter((ip) => inside(ip) && book.isFree(ip)).length;
  const total = pool.ranges.reduce((sum, range) => sum + rangeSize(range), 0n);
  const free = total - BigInt(assigned + kept);
  return { assigned, free: Number(free > MOST ? MOST : free) };
}
