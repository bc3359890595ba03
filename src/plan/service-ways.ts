// Room plan: a node's own ways to addresses of Services that its first options do not name: further ServiceCIDRs, and externalIPs.
import { familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, hostPrefix, networkOf, prefixesOverlap } from '../addr/prefix.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { ObjectRef, Service, ServiceCIDR } from '../objects/types.ts';
import type { Fragment } from './plan.ts';

export interface WaysFacts {
  readonly nodeIPs: readonly IP[];
  readonly nodeLink: string;
  /** Of nodes, pods and the first Services: those have ways of their own. */
  readonly knownCIDRs: readonly CIDR[];
}

/** Key `service-ways/<kind>/<namespace/name>`; undefined when it needs none. */
export function planServiceWays(cause: ObjectRef, prefixes: readonly CIDR[], facts: WaysFacts): Fragment | undefined {
  const items = furtherPrefixes(prefixes, facts.knownCIDRs).flatMap((dst) => wayTo(dst, facts));
  return items.length > 0 ? { cause, items } : undefined;
}

/** Those that have no way yet, each once. What overlaps pods or nodes would take packets from them. */
export function furtherPrefixes(prefixes: readonly CIDR[], known: readonly CIDR[]): CIDR[] {
  const all = new Set(prefixes.map((prefix) => networkOf(prefix)));
  return [...all].filter((prefix) => !known.some((other) => prefixesOverlap(prefix, other)));
}

export function cidrsOf({ metadata, spec }: ServiceCIDR): readonly CIDR[] {
  return metadata.deletionTimestamp && !metadata.finalizers?.length ? [] : (spec?.cidrs ?? []);
}

export function externalPrefixes({ spec }: Service): CIDR[] {
  if (spec.type === 'ExternalName' || spec.clusterIP === 'None') return [];
  return (spec.externalIPs ?? []).map((ip) => hostPrefix(ip));
}

/** As the way to the first Services: it never leaves by it, for the output hook translates it. */
function wayTo(dst: CIDR, { nodeIPs, nodeLink }: WaysFacts): KernelItem[] {
  const src = nodeIPs.find((ip) => familyOf(ip) === familyOf(dst.split('/')[0]!));
  return src === undefined ? [] : [{ kind: 'route', dst, type: 'unicast', link: nodeLink, src }];
}
