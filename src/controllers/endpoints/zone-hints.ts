// Room controllers: service.kubernetes.io/topology-mode: Auto. Each zone gets endpoints in the measure of its CPUs, first its own ones;
// where that would overload some, nobody gets hints and all serve all (KEP-2433).
import { parseQuantity } from '../../objects/quantity.ts';
import type { EndpointSlice, Node, Service } from '../../objects/types.ts';
import { readyCondition } from '../node/conditions.ts';
import { type Endpoint, type PortGroup, ZONE } from './endpoint.ts';

const MODES = ['service.kubernetes.io/topology-aware-hints', 'service.kubernetes.io/topology-mode'] as const;
const EXCLUDED = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];
/** No endpoint shall have so much more than its share. */
const OVERLOAD = 0.2;

/** Why there are no hints: the words of Kubernetes' events. */
export interface NoHints {
  readonly problem: string;
}

/** Zone to its part of the CPUs of all nodes. */
type Shares = ReadonlyMap<string, number>;

/** The older annotation wins over the newer one, and both over trafficDistribution, as in Kubernetes. */
export function wantsZoneHints({ metadata }: Service): boolean {
  const mode = MODES.map((name) => metadata.annotations?.[name]).find((value) => value !== undefined);
  return mode === 'Auto' || mode === 'auto';
}

/** Whatever of a node decides about hints, as text. */
export function zoneTraits(node: Node): string {
  const { labels } = node.metadata;
  const isExcluded = EXCLUDED.some((label) => labels?.[label] !== undefined);
  return [labels?.[ZONE], node.status?.allocatable?.['cpu'], readyCondition(node)?.status, isExcluded].join(' ');
}

function zoneShares(nodes: Iterable<Node>): Shares | NoHints {
  const cpus = new Map<string, number>();
  let total = 0;
  for (const node of nodes) {
    const { labels } = node.metadata;
    if (EXCLUDED.some((label) => labels?.[label] !== undefined) || readyCondition(node)?.status !== 'True') continue;
    const cpu = Number(parseQuantity(node.status?.allocatable?.['cpu'] ?? '0') ?? 0);
    const zone = labels?.[ZONE];
    if (!zone || cpu === 0) return insufficient();
    cpus.set(zone, (cpus.get(zone) ?? 0) + cpu);
    total += cpu;
  }
  if (total === 0) return insufficient();
  if (cpus.size < 2) return { problem: 'Nodes only ready in one zone' };
  return new Map([...cpus].map(([zone, cpu]) => [zone, cpu / total]));
}

function insufficient(): NoHints {
  return {
    problem: 'Insufficient Node information: allocatable CPU or zone not specified on one or more nodes',
  };
}

/** Least number of endpoints by zone, so that none has more than its share and OVERLOAD. */
function minima(count: number, shares: Shares): Map<string, number> | NoHints {
  const numbers = `(${count} endpoints, ${shares.size} zones)`;
  if (shares.size > count) return { problem: `Insufficient number of endpoints ${numbers}` };
  const least = new Map([...shares].map(([zone, share]) => [zone, Math.ceil((share * count) / (1 + OVERLOAD))]));
  const sum = [...least.values()].reduce((a, b) => a + b, 0);
  if (sum <= count) return least;
  const words = 'Unable to allocate minimum required endpoints to each zone without exceeding overload threshold';
  return { problem: `${words} ${numbers}` };
}

/**
 * The same groups, with hints for the ready endpoints of one family; or why there are none. Hints that are there stay as long as no zone
 * falls below its least number: a node more or less does not move endpoints about.
 */
export function withZoneHints(
  groups: readonly PortGroup[],
  existing: readonly EndpointSlice[],
  nodes: Iterable<Node>,
): readonly PortGroup[] | NoHints {
  const shares = zoneShares(nodes);
  if ('problem' in shares) return shares;
  const ready = groups.flatMap(({ endpoints }) => endpoints).filter(({ conditions }) => conditions?.ready);
  const least = minima(ready.length, shares);
  if ('problem' in least) return least;
  if (ready.some(({ zone }) => !zone)) return { problem: 'One or more endpoints do not have a zone specified' };
  const before = hintsBefore(existing);
  let zones = new Map(ready.map((endpoint) => [endpoint, before.get(keyOf(endpoint)) ?? endpoint.zone!]));
  if (!suffices(zones, least)) {
    zones = new Map(ready.map((endpoint) => [endpoint, endpoint.zone!]));
    balance(zones, least, shares);
  }
  return groups.map((group) => ({
    ...group,
    endpoints: group.endpoints.map((endpoint) => {
      const zone = zones.get(endpoint);
      return zone === undefined ? endpoint : { ...endpoint, hints: { forZones: [{ name: zone }] } };
    }),
  }));
}

function keyOf({ addresses, targetRef }: Endpoint): string {
  return `${addresses[0]} ${targetRef?.uid ?? ''}`;
}

function hintsBefore(slices: readonly EndpointSlice[]): Map<string, string> {
  const hints = new Map<string, string>();
  for (const endpoint of slices.flatMap(({ endpoints = [] }) => endpoints)) {
    const [only, ...others] = endpoint.hints?.forZones ?? [];
    if (only && others.length === 0 && !endpoint.hints?.forNodes) hints.set(keyOf(endpoint), only.name);
  }
  return hints;
}

function countsOf(zones: ReadonlyMap<Endpoint, string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const zone of zones.values()) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  return counts;
}

function suffices(zones: ReadonlyMap<Endpoint, string>, least: ReadonlyMap<string, number>): boolean {
  const counts = countsOf(zones);
  return (
    [...counts.keys()].every((zone) => least.has(zone)) && [...least].every(([zone, n]) => (counts.get(zone) ?? 0) >= n)
  );
}

/** Endpoints of the zone that has most too many go to the zone that lacks most, while that makes it better or somebody lacks his least. */
function balance(zones: Map<Endpoint, string>, least: ReadonlyMap<string, number>, shares: Shares): void {
  const counts = countsOf(zones);
  const surplus = (zone: string) => (counts.get(zone) ?? 0) - (shares.get(zone) ?? 0) * zones.size;
  const spare = (zone: string) => (counts.get(zone) ?? 0) - (least.get(zone) ?? 0);
  const names = [...new Set([...shares.keys(), ...counts.keys()])].sort();
  // In an order of their own: whoever is asked, and in whatever order pods came, moves the same.
  const movable = [...zones.keys()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  for (let step = 0; step < zones.size; step++) {
    const from = most(
      names.filter((zone) => spare(zone) > 0),
      surplus,
    );
    const needy = names.filter((zone) => spare(zone) < 0);
    const to = most(needy.length > 0 ? needy : names, (zone) => -surplus(zone));
    if (from === undefined || to === undefined) return;
    if (needy.length === 0 && surplus(from) - surplus(to) <= 1) return;
    zones.set(movable.find((endpoint) => zones.get(endpoint) === from)!, to);
    counts.set(from, counts.get(from)! - 1);
    counts.set(to, (counts.get(to) ?? 0) + 1);
  }
}

function most(zones: readonly string[], measure: (zone: string) => number): string | undefined {
  return zones.toSorted((a, b) => measure(b) - measure(a))[0];
}
