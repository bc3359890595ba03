// Room plan: what a node must hold of pods that policies of several tiers select: per pod and class of peers the walk's end, for every port.
import { type Family, familyOf, type IP, ipToBigInt } from '../../addr/ip.ts';
import type { Fragment } from '../plan.ts';
import { type BlockPeer, blocksWith } from './address-block.ts';
import { ANYBODY, type NodePolicyFacts } from './base.ts';
import { disjoint } from './blocks.ts';
import { type PeerClass, PeerClasses, withoutNumber } from './classes.ts';
import { intervalsOf, type PodStages } from './decisions.ts';
import { tierBlockElement, tierElement, tierPeerElement } from './elements.ts';
import type { PolicyEngine } from './engine.ts';
import { Interests } from './interests.ts';
import { type PolicyPod, podRef } from './pod.ts';
import type { NodePeer } from './rules.ts';
import { DIRECTIONS, type Direction } from './rules.ts';
import { planTierBase } from './tier-base.ts';
import { applicableRules, atomsOfPod, type PeerAtom, portKey, stagesOfSides } from './tier-sides.ts';

export type Changes = Map<string, Fragment | undefined>;

interface Target {
  readonly link: string;
  readonly pod: PolicyPod;
  readonly sides: ReadonlyMap<Direction, PodStages>;
  /** By key. */
  readonly atoms: ReadonlyMap<string, PeerAtom>;
}

interface PeerAddress {
  readonly ip: IP;
  readonly peers: PeerClass;
}

/**
 * A peer's class here is all that rules can ask of it at once, pods' selectors and blocks alike: which rule comes first depends on all of it.
 * So a pod that changes its labels is one element again, and a rule changes what its own pods hold.
 */
export class TierPolicies {
  readonly #engine: PolicyEngine;
  readonly #facts: NodePolicyFacts;
  readonly #targets = new Map<string, Target>();
  readonly #interests = new Interests<PeerAtom>();
  readonly #classes = new PeerClasses();
  readonly #peers = new Map<string, readonly PeerAddress[]>();
  readonly #blockClasses = new Map<Family, readonly PeerClass[]>();
  /** Number of a class to the keys of the fragments that decide about it. */
  readonly #decided = new Map<number, Set<string>>();
  /** Of the interests. */
  readonly #blocks = new Map<string, BlockPeer>();
  readonly #touchedBlocks: BlockPeer[] = [];
  readonly #dirtyPeers = new Set<string>();
  #dirtyBlocks = false;
  #hasBase = false;

  constructor(engine: PolicyEngine, facts: NodePolicyFacts) {
    this.#engine = engine;
    this.#facts = facts;
    engine.onNodes(() => {
      for (const [, atom] of this.#interests.entries()) this.#dirtyBlocks ||= atom.kind === 'nodes';
    });
  }

  get isStale(): boolean {
    return this.#dirtyBlocks;
  }

  /** Directions in which the pod is judged here. */
  directions(key: string): Direction[] {
    return [...(this.#targets.get(key)?.sides.keys() ?? [])];
  }

  /** `targets` are pods that changed, undefined where they are nothing to this plan any more; `peers` those that may be others' peers. */
  takeChanges(
    targets: ReadonlyMap<string, { readonly link: string; readonly pod: PolicyPod } | undefined>,
    peers: Iterable<string>,
    changes: Changes,
  ): void {
    const spoken = new Map<string, Set<string>>();
    for (const [key, target] of targets) spoken.set(key, this.#readTarget(key, target));
    this.#touchPodsInBlocks();
    for (const key of peers) this.#dirtyPeers.add(key);
    for (const key of this.#dirtyPeers) this.#readPeer(key, changes);
    this.#dirtyPeers.clear();
    if (this.#dirtyBlocks) this.#readBlocks(changes);
    this.#dirtyBlocks = false;
    for (const [key, atoms] of spoken) this.#decideAll(key, atoms, changes);
    const changed = this.#classes.takeChanged();
    // One that goes before one that comes: it may be the same again.
    for (const each of changed) if (!this.#classes.isLive(each)) this.#forgetClass(each, changes);
    for (const each of changed) if (this.#classes.isLive(each)) this.#decideClass(each, changes);
    const needed = this.#targets.size > 0;
    if (needed !== this.#hasBase) changes.set('policy/tier-base', needed ? planTierBase(this.#facts) : undefined);
    this.#hasBase = needed;
  }

  /** Returns all of which the pod's rules spoke before or speak now. */
  #readTarget(key: string, to: { readonly link: string; readonly pod: PolicyPod } | undefined): Set<string> {
    const old = new Set(this.#targets.get(key)?.atoms.keys());
    const sides = to ? stagesOfSides(this.#engine.tiers, to.pod) : new Map<Direction, PodStages>();
    const atoms = atomsOfPod(sides);
    this.#interests.change(key, old, atoms, (_, atom, spoken) => this.#touch(atom, spoken));
    if (to && sides.size > 0) this.#targets.set(key, { ...to, sides, atoms });
    else this.#targets.delete(key);
    return new Set([...old, ...atoms.keys()]);
  }

  /** Whoever the atom is about is of another class now. */
  #touch(atom: PeerAtom, spoken: boolean): void {
    if (atom.kind === 'pods') for (const { key } of this.#engine.members(atom.key)) this.#dirtyPeers.add(key);
    else if (atom.kind === 'port') this.#touchPods(({ ports }) => ports.has(atom.port));
    else this.#dirtyBlocks = true;
    if (atom.kind !== 'block') return;
    if (spoken) this.#blocks.set(atom.key, atom);
    else this.#blocks.delete(atom.key);
    this.#touchedBlocks.push(atom);
  }

  /** Pods in blocks that came or went, all blocks at once: there may be many of both. */
  #touchPodsInBlocks(): void {
    const blocks = this.#touchedBlocks.splice(0);
    if (blocks.length > 0) this.#touchPods(({ ips }) => ips.some((ip) => blocksWith(blocks, ip).length > 0));
  }

  #touchPods(are: (pod: PolicyPod) => boolean): void {
    for (const pod of this.#engine.pods.values()) if (are(pod)) this.#dirtyPeers.add(pod.key);
  }

  #readPeer(key: string, changes: Changes): void {
    const old = this.#peers.get(key);
    if (!old && this.#interests.size === 0) return;
    const pod = this.#engine.pods.get(key);
    const now = (pod?.ips ?? []).flatMap((ip): PeerAddress[] => {
      const peers = this.#facts.families.includes(familyOf(ip))
        ? this.#classes.retain('tiers', this.#groupsOf(pod!, ip))
        : undefined;
      return peers ? [{ ip, peers }] : [];
    });
    for (const { peers } of old ?? []) this.#classes.release(peers);
    if (now.length > 0) {
      this.#peers.set(key, now);
      const items = now.map(({ ip, peers }) => tierPeerElement(ip, peers.id, `Pod/${key}`));
      changes.set(`policy/tier-peer/${key}`, { cause: podRef(pod!), items });
    } else if (old) {
      this.#peers.delete(key);
      changes.set(`policy/tier-peer/${key}`, undefined);
    }
  }

  #groupsOf(pod: PolicyPod, ip: IP): string[] {
    const peers = [...pod.peers].filter((key) => this.#interests.has(key));
    const ports = [...pod.ports].filter(([port]) => this.#interests.has(portKey(port)));
    const blocks = blocksWith(this.#blocks.values(), ip).map(({ key }) => key);
    return [...peers, ...blocks, ...ports.map(([port, number]) => `${portKey(port)}=${number}`)].sort();
  }

  #readBlocks(changes: Changes): void {
    for (const family of this.#facts.families) {
      const blocks = [...this.#interests.entries()].flatMap(([, atom]) => this.#blockOf(atom, family));
      const intervals = disjoint(blocks, family).map(({ key, blocks: groups }) => {
        return { key, peers: this.#classes.retain('tiers', groups)! };
      });
      for (const peers of this.#blockClasses.get(family) ?? []) this.#classes.release(peers);
      const live = intervals.map(({ peers }) => peers);
      this.#blockClasses.set(family, live);
      const items = intervals.map(({ key, peers: { id, groups } }) => {
        return tierBlockElement(family, key, id, groups.join('; '));
      });
      const cause = { kind: 'Node', name: this.#facts.nodeName };
      changes.set(`policy/tier-blocks/${family}`, items.length > 0 ? { cause, items } : undefined);
    }
  }

  #blockOf(atom: PeerAtom, family: Family): BlockPeer[] {
    if (atom.kind === 'block') return [atom];
    return atom.kind === 'nodes' ? [this.#nodesAsBlock(atom, family)] : [];
  }

  #nodesAsBlock({ key, nodeSelector }: NodePeer, family: Family): BlockPeer {
    const ips = this.#engine.addressesOfNodes(nodeSelector).filter((ip) => familyOf(ip) === family);
    const numbers = [...new Set(ips.map(ipToBigInt))].sort((a, b) => (a < b ? -1 : 1));
    return { kind: 'block', key, family, ranges: numbers.map((number) => ({ first: number, last: number })) };
  }

  #decideAll(key: string, atoms: Iterable<string>, changes: Changes): void {
    for (const direction of DIRECTIONS) this.#decide(key, direction, undefined, changes);
    const classes = new Set([...atoms].flatMap((atom) => [...this.#classes.with(atom)]));
    for (const peers of classes) for (const direction of DIRECTIONS) this.#decide(key, direction, peers, changes);
  }

  #decideClass(peers: PeerClass, changes: Changes): void {
    const users = new Set(peers.groups.flatMap((group) => [...this.#interests.users(withoutNumber(group).group)]));
    for (const key of users) for (const direction of DIRECTIONS) this.#decide(key, direction, peers, changes);
  }

  #forgetClass({ id }: PeerClass, changes: Changes): void {
    for (const fragment of this.#decided.get(id) ?? []) changes.set(fragment, undefined);
    this.#decided.delete(id);
  }

  #decide(key: string, direction: Direction, peers: PeerClass | undefined, changes: Changes): void {
    const id = peers?.id ?? ANYBODY;
    const fragment = `policy/tier/${direction}/${key}/${id}`;
    const target = this.#targets.get(key);
    const side = target?.sides.get(direction);
    const concerns = !peers || peers.groups.some((group) => target?.atoms.has(withoutNumber(group).group));
    const known = this.#decided.get(id) ?? new Set();
    if (target && side && concerns) {
      const { pod, link } = target;
      const intervals = intervalsOf(side, applicableRules(side, pod, peers?.groups ?? []));
      const items = this.#facts.families.flatMap((family) =>
        intervals.map((each) => tierElement(family, direction, link, id, each)),
      );
      this.#decided.set(id, known.add(fragment));
      changes.set(fragment, { cause: podRef(pod), items });
    } else if (known.delete(fragment)) {
      changes.set(fragment, undefined);
      if (known.size === 0) this.#decided.delete(id);
    }
  }
}
