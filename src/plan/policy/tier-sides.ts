// Room plan: what policies of several tiers say about one pod: of whom they speak, and which rules are for one class of peers.
import type { PodStages } from './decisions.ts';
import { namedPort, type PolicyPod } from './pod.ts';
import { type AtomicPeer, atomsOf, DIRECTIONS, type Direction, type Peer, type PortMatch, type Rule } from './rules.ts';
import { type Stage, stagesOf, type Tier } from './tiers.ts';

/** What a rule may ask of a peer: to be one of these, or (egress) to have a port of the name. */
export type PeerAtom = AtomicPeer | { readonly kind: 'port'; readonly key: string; readonly port: string };

/** `TCP/web` -> the key of those who have a port of the name. */
export function portKey(port: string): string {
  return `#${port}`;
}

type PlainPort = Exclude<PortMatch, { kind: 'name' }>;

/** Directions in which some policy has a say, in force or staged. */
export function stagesOfSides(tiers: ReadonlyMap<string, Tier>, pod: PolicyPod): Map<Direction, PodStages> {
  const sides = new Map<Direction, PodStages>();
  for (const direction of DIRECTIONS) {
    const all = stagesOf(tiers, pod, direction, true);
    if (all.length === 0) continue;
    const hasStaged = all.some(({ policies }) => policies.some(({ staged }) => staged));
    const inForce = hasStaged ? stagesOf(tiers, pod, direction) : all;
    sides.set(direction, { pod: `Pod/${pod.key}`, direction, inForce, withStaged: hasStaged ? all : undefined });
  }
  return sides;
}

function* rulesOf({ direction, inForce, withStaged = inForce }: PodStages): Iterable<Rule> {
  for (const { policies } of withStaged as readonly Stage[]) for (const { rules } of policies) yield* rules[direction];
}

export function atomsOfPod(sides: ReadonlyMap<Direction, PodStages>): Map<string, PeerAtom> {
  const atoms = new Map<string, PeerAtom>();
  for (const side of sides.values()) {
    for (const { peers = [], ports = [], direction } of rulesOf(side)) {
      for (const atom of peers.flatMap(atomsOf)) atoms.set(atom.key, atom);
      for (const port of ports) {
        if (port.kind !== 'name' || direction === 'ingress') continue;
        const name = namedPort(port.protocol, port.name);
        atoms.set(portKey(name), { kind: 'port', key: portKey(name), port: name });
      }
    }
  }
  return atoms;
}

/** Rules that are for peers of these groups, and for which ports; none: for strangers. */
export function applicableRules(
  side: PodStages,
  pod: PolicyPod,
  groups: readonly string[],
): Map<Rule, readonly PlainPort[] | undefined> {
  const known = new Set(groups);
  const found = new Map<Rule, readonly PlainPort[] | undefined>();
  for (const rule of rulesOf(side)) {
    if (rule.peers && !rule.peers.some((peer) => isPeer(peer, known))) continue;
    const ports = rule.ports?.flatMap((port) => plainPorts(port, rule.direction, pod, groups));
    if (!ports || ports.length > 0) found.set(rule, ports);
  }
  return found;
}

function isPeer(peer: Peer, groups: ReadonlySet<string>): boolean {
  if (peer.kind !== 'entity') return groups.has(peer.key);
  return peer.conditions.every(({ not, anyOf }) => not !== anyOf.some(({ key }) => groups.has(key)));
}

/** A name in an ingress rule is a port of the pod itself, in an egress rule whatever the peer calls so. */
function plainPorts(port: PortMatch, direction: Direction, pod: PolicyPod, groups: readonly string[]): PlainPort[] {
  if (port.kind !== 'name') return [port];
  const name = namedPort(port.protocol, port.name);
  const number = direction === 'ingress' ? pod.ports.get(name) : numberIn(groups, name);
  return number === undefined ? [] : [{ kind: 'range', protocol: port.protocol, first: number, last: number }];
}

function numberIn(groups: readonly string[], name: string): number | undefined {
  const start = `${portKey(name)}=`;
  const found = groups.find((group) => group.startsWith(start));
  return found === undefined ? undefined : Number(found.slice(start.length));
}
