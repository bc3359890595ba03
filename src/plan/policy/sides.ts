// Room plan: what a pod's policies say in each direction, sorted by the groups of peers that they speak of.

import type { BlockPeer } from './address-block.ts';
import type { Use } from './allowed.ts';
import { namedGroup, type PeerClass, withoutNumber } from './classes.ts';
import { namedPort, type PolicyPod } from './pod.ts';
import { DIRECTIONS, type Direction, EVERY_POD, type PortMatch, type Protocol, type Rule } from './rules.ts';
import { isolating } from './tiers.ts';

/** The group of rules that are for everybody. */
export const EVERYBODY = 'everybody';

/** By direction, then by group. Only directions in which the pod is isolated are there. */
export type Sides = ReadonlyMap<Direction, ReadonlyMap<string, readonly Use[]>>;

export interface Reading {
  readonly sides: Sides;
  /** The blocks of those groups that are addresses. */
  readonly blocks: ReadonlyMap<string, BlockPeer>;
}

export function readSides(pod: PolicyPod): Reading {
  const sides = new Map<Direction, Map<string, Use[]>>();
  const blocks = new Map<string, BlockPeer>();
  for (const direction of DIRECTIONS) {
    const policies = isolating(pod, direction);
    if (policies.length === 0) continue;
    const uses = new Map<string, Use[]>();
    sides.set(direction, uses);
    for (const rule of policies.flatMap(({ rules }) => rules[direction])) readRule(rule, pod, uses, blocks);
  }
  return { sides, blocks };
}

function readRule(rule: Rule, pod: PolicyPod, uses: Map<string, Use[]>, blocks: Map<string, BlockPeer>): void {
  const { plain, named } = portsOf(rule.ports, rule.direction, pod);
  for (const peer of rule.peers ?? [undefined]) {
    const add = (group: string, ports: Use['ports']) => {
      uses.set(group, [...(uses.get(group) ?? []), { rule, ports }]);
      if (peer?.kind === 'block') blocks.set(group, peer);
    };
    if (!plain || plain.length > 0) add(peer?.key ?? EVERYBODY, plain);
    for (const { protocol, name } of named) {
      const group = namedGroup(peer?.key ?? EVERY_POD.key, namedPort(protocol, name));
      add(group, [{ kind: 'all', protocol }]);
    }
  }
}

type PlainPort = Exclude<PortMatch, { kind: 'name' }>;
type NamedPort = Extract<PortMatch, { kind: 'name' }>;

/** A name in an ingress rule is a port of the pod itself; in an egress rule it is whatever the peer calls so. */
function portsOf(ports: readonly PortMatch[] | undefined, direction: Direction, pod: PolicyPod) {
  const plain: PlainPort[] = [];
  const named: NamedPort[] = [];
  for (const port of ports ?? []) {
    if (port.kind !== 'name') plain.push(port);
    else if (direction === 'egress') named.push(port);
    else {
      const number = pod.ports.get(namedPort(port.protocol, port.name));
      if (number !== undefined) plain.push({ kind: 'range', protocol: port.protocol, first: number, last: number });
    }
  }
  return { plain: ports ? plain : undefined, named };
}

export function groupsOf(sides: Sides): Set<string> {
  return new Set([...sides.values()].flatMap((uses) => [...uses.keys()]));
}

/** What the class is allowed (no class: everybody); by a port's name with the number that its pods give it. */
export function usesOf(sides: Sides, direction: Direction, peers: PeerClass | undefined): Use[] {
  const side = sides.get(direction);
  if (!peers) return [...(side?.get(EVERYBODY) ?? [])];
  return peers.groups.flatMap((each): readonly Use[] => {
    const { group, number } = withoutNumber(each);
    const uses = side?.get(group) ?? [];
    if (number === undefined) return uses;
    return uses.map(({ rule, ports }): Use => {
      const one = { kind: 'range', first: number, last: number } as const;
      // Only protocols with ports have names for them.
      return { rule, ports: ports!.map(({ protocol }) => ({ ...one, protocol: protocol as Protocol })) };
    });
  });
}
