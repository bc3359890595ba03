// Room plan: what a node must hold of all policies for its own pods, as fragments of which a change touches few.
import { type Family, familyOf, type IP } from '../../addr/ip.ts';
import { type BlockPeer, inBlock } from './address-block.ts';
import { allowances } from './allowed.ts';
import { ANYBODY, type Level, type NodePolicyFacts, tiersChain } from './base.ts';
import { disjoint } from './blocks.ts';
import { namedGroup, type PeerClass, PeerClasses, withoutNumber } from './classes.ts';
import { allowedElement, classElement, podElements } from './elements.ts';
import type { PolicyEngine } from './engine.ts';
import { Interests } from './interests.ts';
import { type PolicyPod, podRef } from './pod.ts';
import { DIRECTIONS, type Direction, EVERY_POD } from './rules.ts';
import { EVERYBODY, groupsOf, readSides, type Sides, usesOf } from './sides.ts';
import { type Changes, TierPolicies } from './tier-policies.ts';
import { comparePolicies, isPlain } from './tiers.ts';

export type { Changes } from './tier-policies.ts';

interface Target {
  link: string;
  sides: Sides;
}

interface PeerAddress {
  readonly ip: IP;
  readonly classes: ReadonlyMap<Level, PeerClass>;
}

export interface IsolatedPod {
  /** `namespace/name` */
  readonly key: string;
  readonly link: string;
  readonly ips: readonly IP[];
  readonly directions: readonly Direction[];
}

/**
 * Addresses are known by classes (classes.ts), so that a pod that comes or changes its labels is one element, and what a pod allows is
 * said once for all peers of a class. What is no concern of this node's pods is not in its kernel.
 */
export class NodePolicies {
  readonly #engine: PolicyEngine;
  readonly #facts: NodePolicyFacts;
  readonly #targets = new Map<string, Target>();
  /** Groups, and the block of those that are addresses. */
  readonly #interests = new Interests<BlockPeer | undefined>();
  readonly #tiers: TierPolicies;
  /** Those in a port's name at addresses. */
  readonly #namedBlocks = new Map<string, BlockPeer>();
  readonly #classes = new PeerClasses();
  readonly #peers = new Map<string, PeerAddress[]>();
  readonly #blockClasses = new Map<Family, PeerClass[]>();
  /** Class to the keys of the fragments that allow it something. */
  readonly #allowed = new Map<PeerClass | undefined, Set<string>>();
  /** Pods that have elements of their own. */
  readonly #planned = new Set<string>();
  readonly #dirtyTargets = new Set<string>();
  readonly #dirtyPeers = new Set<string>();
  readonly #leaving = new Set<string>();
  #dirtyBlocks = false;

  constructor(engine: PolicyEngine, facts: NodePolicyFacts) {
    this.#engine = engine;
    this.#facts = facts;
    this.#tiers = new TierPolicies(engine, facts);
    engine.onPod(({ key }) => {
      this.#dirtyPeers.add(key);
      if (this.#targets.has(key)) this.#dirtyTargets.add(key);
    });
  }

  /** From now on the pod is held to its policies here; `link` is the node's end of its cable. */
  target(key: string, link: string): void {
    const known = this.#targets.get(key);
    this.#leaving.delete(key);
    if (known?.link === link) return;
    // Another pod of the same name, whose cable is another: what was of the first goes with the same changes.
    if (known) known.link = link;
    else this.#targets.set(key, { link, sides: new Map() });
    this.#dirtyTargets.add(key);
  }

  /** With the changes that come next nothing is left of the pod. */
  untarget(key: string, link: string): void {
    if (this.#targets.get(key)?.link !== link) return;
    this.#leaving.add(key);
    this.#dirtyTargets.add(key);
  }

  /** Pods of this node that some policy isolates: no other path may carry their packets past the rules. */
  isolated(): IsolatedPod[] {
    return [...this.#targets].flatMap(([key, { link, sides }]) => {
      const directions = [...sides.keys(), ...this.#tiers.directions(key)];
      return directions.length > 0 ? [{ key, link, ips: this.#engine.pods.get(key)?.ips ?? [], directions }] : [];
    });
  }

  get isStale(): boolean {
    return this.#dirtyTargets.size + this.#dirtyPeers.size > 0 || this.#tiers.isStale;
  }

  /** Fragments that are others than when this was last asked, by key. One transaction of all of them keeps every promise. */
  takeChanges(): Changes {
    const changes: Changes = new Map();
    const before = new Map<string, Sides>();
    const tiered = new Map<string, { readonly link: string; readonly pod: PolicyPod } | undefined>();
    for (const key of this.#dirtyTargets) {
      const { link } = this.#targets.get(key)!;
      const pod = this.#leaving.has(key) ? undefined : this.#engine.pods.get(key);
      const isTiered = pod !== undefined && !isPlain(pod);
      tiered.set(key, isTiered ? { link, pod } : undefined);
      before.set(key, this.#readTarget(key, isTiered ? undefined : pod));
    }
    this.#tiers.takeChanges(tiered, this.#dirtyPeers, changes);
    for (const key of this.#dirtyTargets) this.#planPod(key, changes);
    for (const key of this.#dirtyPeers) this.#readPeer(key, changes);
    if (this.#dirtyBlocks) this.#readBlocks(changes);
    for (const [key, old] of before) this.#allowAll(key, old, changes);
    for (const peers of this.#classes.takeChanged()) this.#allowClass(peers, changes);
    for (const key of this.#leaving) this.#targets.delete(key);
    for (const dirty of [this.#leaving, this.#dirtyTargets, this.#dirtyPeers]) dirty.clear();
    this.#dirtyBlocks = false;
    return changes;
  }

  /** Reads what its policies say as a union; returns what they said before. */
  #readTarget(key: string, pod: PolicyPod | undefined): Sides {
    const target = this.#targets.get(key)!;
    const old = target.sides;
    const { sides, blocks } = pod ? readSides(pod) : { sides: new Map(), blocks: new Map<string, BlockPeer>() };
    target.sides = sides;
    const wanted = new Map([...groupsOf(sides)].map((group) => [group, blocks.get(group)]));
    this.#interests.change(key, groupsOf(old), wanted, (group, block, spoken) => {
      if (block && group !== block.key) {
        if (spoken) this.#namedBlocks.set(group, block);
        else this.#namedBlocks.delete(group);
      }
      this.#touchGroup(group, block);
    });
    return old;
  }

  /** The pod's own elements: which chain judges it, if any. */
  #planPod(key: string, changes: Changes): void {
    const { sides, link } = this.#targets.get(key)!;
    const pod = this.#leaving.has(key) ? undefined : this.#engine.pods.get(key);
    const inTiers = this.#tiers.directions(key);
    const judgedBy = new Map<Direction, { chain: string; comment: string }>();
    for (const direction of pod ? DIRECTIONS : []) {
      const by = [...pod!.policies].filter(({ directions }) => directions.includes(direction)).sort(comparePolicies);
      const names = by.map(({ id, staged }) => (staged ? `${id} (staged)` : id)).join(', ');
      if (sides.has(direction))
        judgedBy.set(direction, { chain: direction, comment: `Pod/${key} isolated by ${names}` });
      else if (inTiers.includes(direction)) {
        judgedBy.set(direction, { chain: tiersChain(direction), comment: `Pod/${key} selected by ${names}` });
      }
    }
    const fragment = `policy/pod/${key}`;
    if (pod && judgedBy.size > 0) {
      const isSelected = [...pod.policies].some(({ staged }) => !staged);
      const items = this.#facts.families.flatMap((family) => podElements(pod, link, judgedBy, isSelected, family));
      this.#planned.add(key);
      changes.set(fragment, { cause: podRef(pod), items });
    } else if (this.#planned.delete(key)) changes.set(fragment, undefined);
  }

  /** Whoever is in the group is of another class now. */
  #touchGroup(group: string, block: BlockPeer | undefined): void {
    if (block?.key === group) {
      this.#dirtyBlocks = true;
      return;
    }
    const peer = block ? EVERY_POD.key : group.split('#')[0]!;
    for (const { key } of this.#engine.members(peer)) this.#dirtyPeers.add(key);
  }

  #readPeer(key: string, changes: Changes): void {
    const pod = this.#engine.pods.get(key);
    const old = this.#peers.get(key);
    const ips = (pod?.ips ?? []).filter((ip) => this.#facts.families.includes(familyOf(ip)));
    const now = ips.map((ip): PeerAddress => ({ ip, classes: this.#classesOf(pod!, ip) }));
    for (const { classes } of old ?? []) for (const peers of classes.values()) this.#classes.release(peers);
    const items = now.flatMap(({ ip, classes }) =>
      [...classes].map(([level, { id }]) => classElement(level, ip, ip, id, `Pod/${key}`)),
    );
    if (items.length > 0) {
      this.#peers.set(key, now);
      changes.set(`policy/peer/${key}`, { cause: podRef(pod!), items });
    } else if (old) {
      this.#peers.delete(key);
      changes.set(`policy/peer/${key}`, undefined);
    }
  }

  #classesOf(pod: PolicyPod, ip: IP): Map<Level, PeerClass> {
    const groups: Record<'pods' | 'namespaces', string[]> = { pods: [], namespaces: [] };
    for (const peer of pod.peers) {
      if (this.#interests.has(peer)) groups[peer.endsWith(' pods ()') ? 'namespaces' : 'pods'].push(peer);
    }
    for (const [port, number] of pod.ports) {
      for (const peer of pod.peers) {
        const group = namedGroup(peer, port);
        if (this.#interests.has(group)) groups.pods.push(`${group}=${number}`);
      }
      for (const [group, block] of this.#namedBlocks) {
        if (group === namedGroup(block.key, port) && inBlock(block, ip)) groups.pods.push(`${group}=${number}`);
      }
    }
    const classes = new Map<Level, PeerClass>();
    for (const level of ['pods', 'namespaces'] as const) {
      const peers = this.#classes.retain(level, groups[level].sort());
      if (peers) classes.set(level, peers);
    }
    return classes;
  }

  #readBlocks(changes: Changes): void {
    const blocks = [...this.#interests.entries()].flatMap(([group, block]) => (block?.key === group ? [block] : []));
    for (const family of this.#facts.families) {
      const intervals = disjoint(blocks, family).map(({ key, blocks: names }) => {
        return { key, peers: this.#classes.retain('blocks', names)! };
      });
      for (const peers of this.#blockClasses.get(family) ?? []) this.#classes.release(peers);
      this.#blockClasses.set(
        family,
        intervals.map(({ peers }) => peers),
      );
      const items = intervals.map(({ key, peers: { id, groups } }) =>
        classElement('blocks', key.split(/[/-]/)[0]!, key, id, groups.join('; ')),
      );
      const cause = { kind: 'Node', name: this.#facts.nodeName };
      changes.set(`policy/blocks/${family}`, items.length > 0 ? { cause, items } : undefined);
    }
  }

  /** Of one pod: whatever its rules speak of, before and now. */
  #allowAll(key: string, old: Sides, changes: Changes): void {
    const groups = new Set([...groupsOf(old), ...groupsOf(this.#targets.get(key)!.sides)]);
    for (const direction of DIRECTIONS) {
      for (const group of groups) {
        if (group === EVERYBODY) this.#allow(key, direction, undefined, changes);
        for (const peers of this.#classes.with(group)) this.#allow(key, direction, peers, changes);
      }
    }
  }

  /** Of one class that came or went: whatever pods' rules speak of it. */
  #allowClass(peers: PeerClass, changes: Changes): void {
    if (!this.#classes.isLive(peers)) {
      for (const fragment of this.#allowed.get(peers) ?? []) {
        if (!this.#isAllowedByAnother(fragment, peers)) changes.set(fragment, undefined);
      }
      this.#allowed.delete(peers);
      return;
    }
    const users = peers.groups.flatMap((group) => [...this.#interests.users(withoutNumber(group).group)]);
    for (const key of new Set(users)) {
      for (const direction of DIRECTIONS) this.#allow(key, direction, peers, changes);
    }
  }

  /** A class that went and came again with the same changes has its number again. */
  #isAllowedByAnother(fragment: string, peers: PeerClass): boolean {
    const again = this.#classes.at(peers);
    return again !== undefined && this.#allowed.get(again)?.has(fragment) === true;
  }

  #allow(key: string, direction: Direction, peers: PeerClass | undefined, changes: Changes): void {
    const id = peers?.id ?? ANYBODY;
    const fragment = `policy/allow/${direction}/${key}/${id}`;
    const { sides, link } = this.#targets.get(key)!;
    const list = allowances(usesOf(sides, direction, peers));
    const known = this.#allowed.get(peers) ?? new Set();
    const [first] = list;
    if (first) {
      const items = this.#familiesOf(peers).flatMap((family) =>
        list.map((each) => allowedElement(family, direction, link, id, each)),
      );
      this.#allowed.set(peers, known.add(fragment));
      changes.set(fragment, { cause: first.rule.policy.ref, items });
    } else if (known.delete(fragment)) {
      changes.set(fragment, undefined);
      if (known.size === 0) this.#allowed.delete(peers);
    }
  }

  #familiesOf(peers: PeerClass | undefined): readonly Family[] {
    if (peers?.level !== 'blocks') return this.#facts.families;
    return this.#facts.families.filter((family) => this.#blockClasses.get(family)?.includes(peers));
  }
}
