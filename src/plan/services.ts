// Room plan: a Service and its EndpointSlices as elements of the node's maps.
import type { Family, IP } from '../addr/ip.ts';
import type { NftElement, NftItem, NftValue } from '../kernel/nft-items.ts';
import { type EndpointSlice, type ObjectRef, refText, type Service } from '../objects/types.ts';
import { type Backends, causeOf, type Frontend, frontendsOf } from './frontends.ts';
import type { Fragment } from './plan.ts';
import { choiceChains, OUTSIDE } from './proxy-chains.ts';
import {
  DROP,
  DROPPED,
  ENDPOINTS,
  ENDPOINTS_OUTSIDE,
  HAIRPIN,
  KEEP_SOURCE,
  type NodeFacts,
  PICKS,
  placeOf,
  SERVICES,
  SERVICES_OUTSIDE,
  SOURCES,
  TRAFFIC,
} from './proxy-names.ts';
import type { Endpoint } from './service-endpoints.ts';

/** nft takes no longer comments. */
const COMMENT_LENGTH = 128;
/** Numbers of endpoints that clients stick to have this bit, which no index has. */
const NUMBERED = 0x8000_0000;
const PLACES = { 4: placeOf(4), 6: placeOf(6) } as const;

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
  const frontends = frontendsOf(service, slices, facts);
  if (frontends.length === 0) return undefined;
  const cause = causeOf(service);
  const items = new ItemList(cause, placesIn(previous), facts.countServices === true);
  for (const frontend of frontends) items.add(frontend);
  return { cause, items: items.all() };
}

class ItemList {
  readonly #items: NftItem[] = [];
  /** Chains and hairpins, which several frontends share. */
  readonly #shared = new Map<string, NftItem>();
  readonly #comment: string;
  readonly #places: Places;
  readonly #counted: boolean;

  constructor(service: ObjectRef, places: Places, counted: boolean) {
    this.#counted = counted;
    this.#comment = comment(service);
    this.#places = places;
  }

  all(): NftItem[] {
    return [...this.#items, ...this.#shared.values()];
  }

  add(frontend: Frontend): void {
    const { family, ip, protocol, port, inside, outside, sources = [] } = frontend;
    const key = [ip, protocol, port];
    const dropsAll = drops(inside) || (outside && drops(outside));
    this.#element(family, SERVICES, key, { verdict: 'goto', chain: this.#chain(frontend, inside, false) });
    if (outside) {
      this.#element(family, SERVICES_OUTSIDE, key, { verdict: 'goto', chain: this.#chain(frontend, outside, true) });
      this.#element(family, KEEP_SOURCE, key);
    }
    if (this.#counted) this.#element(family, TRAFFIC, key);
    for (const source of sources) this.#element(family, SOURCES, [...key, source]);
    if (dropsAll) this.#element(family, DROPPED, key, undefined, `${this.#comment}: no endpoint on this node`);
    else if (sources.length > 0) {
      this.#element(family, DROPPED, key, undefined, `${this.#comment}: not in loadBalancerSourceRanges`);
    }
    this.#backends(frontend, inside, 0);
    if (outside) this.#backends(frontend, outside, OUTSIDE);
  }

  #chain({ family, affinitySeconds, sources }: Frontend, backends: Backends, outside: boolean): string {
    if (drops(backends)) return DROP;
    const count = backends.endpoints.length;
    const guarded = sources !== undefined;
    const { chain, chains } = choiceChains(family, { count, outside, affinitySeconds, guarded });
    for (const item of chains) this.#shared.set(`${family} ${item.chain}`, item);
    return chain;
  }

  #backends({ family, ip, protocol, port, affinitySeconds }: Frontend, { endpoints }: Backends, first: number): void {
    const before = this.#places.get(`${ip} ${protocol} ${port} ${first}`);
    const placed = keepPlaces(before, endpoints);
    const numbers = affinitySeconds === undefined ? undefined : numbersOf(placed);
    for (let i = 0; i < placed.length; i++) {
      const endpoint = placed[i]!;
      const named = comment(endpoint.cause);
      const known = before?.[i];
      // The very object as before is no work for anybody who compares.
      if (known && isAt(known, endpoint) && known.comment === named) this.#items.push(known);
      else this.#element(family, ENDPOINTS, [ip, protocol, port, first + i], [endpoint.ip, endpoint.port], named);
      if (numbers) {
        this.#element(family, PICKS, [ip, protocol, port, first + i], [numbers[i]!], named);
        // One number for inside and outside, but a client outside stays only with those that it may come to.
        this.#element(
          family,
          first === OUTSIDE ? ENDPOINTS_OUTSIDE : ENDPOINTS,
          [ip, protocol, port, numbers[i]!],
          [endpoint.ip, endpoint.port],
          named,
        );
      }
      // Shared by Services with the same endpoint, so it carries no comment of one of them.
      if (endpoint.local) this.#share(family, HAIRPIN, [endpoint.ip, endpoint.ip]);
    }
  }

  #element(
    family: Family,
    set: string,
    key: readonly NftValue[],
    data?: NftElement['data'],
    named = this.#comment,
  ): void {
    this.#items.push(element(family, set, key, data, named));
  }

  #share(family: Family, set: string, key: readonly NftValue[], data?: NftElement['data'], named?: string): void {
    this.#shared.set(`${set} ${key.join(' ')}`, element(family, set, key, data, named));
  }
}

function element(
  family: Family,
  set: string,
  key: readonly NftValue[],
  data: NftElement['data'],
  named: string | undefined,
): NftElement {
  const place = PLACES[family];
  const item = { kind: 'element', family: place.family, table: place.table, set, key } as const;
  const short = named !== undefined && named.length > COMMENT_LENGTH ? named.slice(0, COMMENT_LENGTH) : named;
  if (data === undefined) return short === undefined ? item : { ...item, comment: short };
  if (short === undefined) return { ...item, data };
  // Nearly all are of this form, and 100,000 of them are made when a large cluster is loaded.
  return { kind: 'element', family: place.family, table: place.table, set, key, data, comment: short };
}

function drops({ endpoints, otherwise }: Backends): boolean {
  return endpoints.length === 0 && otherwise === 'drop';
}

function comment(ref: ObjectRef): string {
  const text = refText(ref);
  return text.length > COMMENT_LENGTH ? text.slice(0, COMMENT_LENGTH) : text;
}

/** What a plan had at each index, by `address protocol port first-index`. */
type Places = ReadonlyMap<string, readonly (NftElement | undefined)[]>;

const NO_PLACES: Places = new Map();

function placesIn(previous: Fragment | undefined): Places {
  if (!previous) return NO_PLACES;
  const places = new Map<string, NftElement[]>();
  for (const item of previous.items) {
    if (item.kind !== 'element' || item.set !== ENDPOINTS || !Array.isArray(item.data)) continue;
    const [ip, protocol, port, index] = item.key as [string, string, number, number];
    if (index >= NUMBERED) continue;
    const first = index >= OUTSIDE ? OUTSIDE : 0;
    const key = `${ip} ${protocol} ${port} ${first}`;
    const known = places.get(key) ?? [];
    places.set(key, known);
    known[index - first] = item;
  }
  return places;
}

function isAt({ data }: NftElement, { ip, port }: Endpoint): boolean {
  return Array.isArray(data) && data[0] === ip && data[1] === port;
}

/** Those that had a place keep it; the others fill the holes. */
function keepPlaces(
  places: readonly (NftElement | undefined)[] | undefined,
  endpoints: readonly Endpoint[],
): readonly Endpoint[] {
  if (!places || endpoints.every((endpoint, i) => places[i] && isAt(places[i], endpoint))) return endpoints;
  const placed = new Array<Endpoint | undefined>(endpoints.length).fill(undefined);
  const rest: Endpoint[] = [];
  const indexes = new Map(
    places.map((element, index) => [(element?.data as NftValue[] | undefined)?.join(' '), index]),
  );
  for (const endpoint of endpoints) {
    const index = indexes.get(`${endpoint.ip} ${endpoint.port}`);
    if (index !== undefined && index < placed.length) placed[index] = endpoint;
    else rest.push(endpoint);
  }
  let next = 0;
  return placed.map((endpoint) => endpoint ?? rest[next++]!);
}

/**
 * A number for each endpoint that says nothing but who it is: the same after a restart of ours and whatever others come and go, so
 * that clients find the endpoint again.
 */
function numbersOf(endpoints: readonly Endpoint[]): number[] {
  const taken = new Set<number>();
  return endpoints.map(({ ip, port }) => {
    let number = (hash(`${ip} ${port}`) | NUMBERED) >>> 0;
    while (taken.has(number)) number = ((number + 1) | NUMBERED) >>> 0;
    taken.add(number);
    return number;
  });
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return sum >>> 0;
}

/** Of each UDP frontend of a plan, `address port`, where its traffic may go now. */
export function udpTargets(fragment: Fragment | undefined): Map<string, { ip: IP; port: number }[]> {
  const targets = new Map<string, { ip: IP; port: number }[]>();
  for (const item of fragment?.items ?? []) {
    if (item.kind !== 'element' || (item.set !== SERVICES && item.set !== ENDPOINTS) || item.key[1] !== 'udp') continue;
    const [ip, , port, index] = item.key;
    const frontend = `${ip} ${port}`;
    const known = targets.get(frontend) ?? [];
    targets.set(frontend, known);
    if (item.set === ENDPOINTS && Number(index) < NUMBERED && Array.isArray(item.data)) {
      known.push({ ip: String(item.data[0]), port: Number(item.data[1]) });
    }
  }
  return targets;
}
