// Room plan: which policies select which pods, and which pods are whose peers, kept right as objects come, change and go.
import type { IP } from '../../addr/ip.ts';
import type { CalicoTier, Node, Pod } from '../../objects/types.ts';
import { workloadLabels } from './calico-labels.ts';
import { LabelIndex } from './label-index.ts';
import { accountOf, type PodFacts, type PolicyPod, podFacts, sameFacts, sameLabels } from './pod.ts';
import { type AnyPolicy, policyKind, readPolicy } from './read-policy.ts';
import { atomsOf, EVERY_POD, type PodPeer, type PolicyRules } from './rules.ts';
import { Scopes } from './scopes.ts';
import { EVERYTHING, type Selector } from './selector.ts';
import { TIERS, type Tier } from './tiers.ts';

interface State extends PolicyPod {
  /** As selectors see it (calico-labels.ts). */
  seen: Readonly<Record<string, string>>;
  readonly policies: Set<PolicyRules>;
  readonly peers: Set<string>;
}

interface NodeFacts {
  /** By which its own pods know it. */
  readonly ips: readonly IP[];
  readonly all: readonly IP[];
  readonly labels: Readonly<Record<string, string>>;
}

interface Group {
  readonly peer: PodPeer;
  readonly scope: string;
  readonly members: Set<State>;
  refs: number;
}

/** `pod` is told for a pod that is gone too. */
export type PodListener = (pod: PolicyPod) => void;

/**
 * A change costs what it changes: a pod's labels are held against the selectors that ask for one of them, a namespace's against its own
 * pods. Objects may come in any order.
 */
export class PolicyEngine {
  readonly #pods = new Map<string, State>();
  readonly #byNamespace = new Map<string, Set<State>>();
  readonly #byIP = new Map<IP, State>();
  readonly #policies = new Map<string, PolicyRules>();
  readonly #policyIndex = new LabelIndex<PolicyRules>();
  readonly #groups = new Map<string, Group>();
  readonly #groupIndex = new LabelIndex<Group>();
  readonly #scopes = new Scopes();
  readonly #nodes = new Map<string, NodeFacts>();
  /** `namespace/name` of service accounts that have labels. */
  readonly #accounts = new Map<string, Readonly<Record<string, string>>>();
  readonly #tiers = new Map<string, Tier>(TIERS.map((tier) => [tier.name, tier]));
  readonly #listeners = new Set<PodListener>();
  readonly #nodeListeners = new Set<() => void>();

  constructor() {
    this.#retain(EVERY_POD);
  }

  /** Told of every pod whose policies, peers, addresses or ports have changed. */
  onPod(listener: PodListener): void {
    this.#listeners.add(listener);
  }

  get pods(): ReadonlyMap<string, PolicyPod> {
    return this.#pods;
  }

  /** By id: `NetworkPolicy/shop/web`. */
  get policies(): ReadonlyMap<string, PolicyRules> {
    return this.#policies;
  }

  get tiers(): ReadonlyMap<string, Tier> {
    return this.#tiers;
  }

  /** The pod that has the address; none for addresses of nodes. */
  podAt(ip: IP): PolicyPod | undefined {
    return this.#byIP.get(ip);
  }

  nodeIPs(name: string | undefined): readonly IP[] {
    return (name !== undefined && this.#nodes.get(name)?.ips) || [];
  }

  /** Told where nodes' addresses or labels may be others. */
  onNodes(listener: () => void): void {
    this.#nodeListeners.add(listener);
  }

  addressesOfNodes(selector: Selector): IP[] {
    return [...this.#nodes.values()].flatMap(({ all, labels }) => (selector.matches(labels) ? all : []));
  }

  /** Whether the address is that of a node whose labels the selector matches. */
  isNode(selector: Selector, ip: IP): boolean {
    return this.addressesOfNodes(selector).includes(ip);
  }

  /** Pods that a peer of some policy means. */
  members(peerKey: string): ReadonlySet<PolicyPod> {
    return this.#groups.get(peerKey)?.members ?? new Set();
  }

  setPod(pod: Pod | PodFacts): void {
    const facts = 'spec' in pod ? podFacts(pod) : pod;
    const old = this.#pods.get(facts.key);
    if (old && sameFacts(old, facts)) return;
    if (old) this.#forget(old);
    const state: State = { ...facts, seen: this.#seen(facts), policies: new Set(), peers: new Set() };
    this.#pods.set(facts.key, state);
    const around = this.#byNamespace.get(facts.namespace) ?? new Set();
    this.#byNamespace.set(facts.namespace, around.add(state));
    for (const ip of facts.ips) this.#byIP.set(ip, state);
    this.#place(state);
    this.#tell(state);
  }

  removePod(key: string): void {
    const state = this.#pods.get(key);
    if (!state) return;
    this.#forget(state);
    this.#tell({ ...state, ips: [], policies: new Set(), peers: new Set() });
  }

  #forget(state: State): void {
    this.#pods.delete(state.key);
    const around = this.#byNamespace.get(state.namespace);
    around?.delete(state);
    if (around?.size === 0) this.#byNamespace.delete(state.namespace);
    for (const ip of state.ips) if (this.#byIP.get(ip) === state) this.#byIP.delete(ip);
    for (const key of state.peers) this.#groups.get(key)?.members.delete(state);
  }

  /** Finds the pod's policies and peers anew; says whether they are others. */
  #place(state: State): boolean {
    if (state.hostNetwork) return false;
    const policies = new Set<PolicyRules>();
    const groups = new Set<Group>();
    for (const scope of this.#scopes.of(state.namespace)) {
      for (const policy of this.#policyIndex.matching(scope, state.seen)) policies.add(policy);
      for (const group of this.#groupIndex.matching(scope, state.seen)) groups.add(group);
    }
    const keys = new Set([...groups].map(({ peer }) => peer.key));
    const changed = !sameSet(policies, state.policies) || !sameSet(keys, state.peers);
    for (const key of state.peers) if (!keys.has(key)) this.#groups.get(key)?.members.delete(state);
    for (const group of groups) group.members.add(state);
    replace(state.policies, policies);
    replace(state.peers, keys);
    return changed;
  }

  #placeNamespace(namespace: string): void {
    for (const state of this.#byNamespace.get(namespace) ?? []) if (this.#place(state)) this.#tell(state);
  }

  setNamespace(name: string, labels: Readonly<Record<string, string>>): void {
    if (this.#scopes.setNamespace(name, labels)) this.#placeNamespace(name);
  }

  removeNamespace(name: string): void {
    if (this.#scopes.removeNamespace(name)) this.#placeNamespace(name);
  }

  #seen(pod: PodFacts): Readonly<Record<string, string>> {
    const { namespace, labels } = pod;
    const account = accountOf(pod);
    return workloadLabels(namespace, labels, account, this.#accounts.get(`${namespace}/${account}`));
  }

  setServiceAccount(namespace: string, name: string, labels: Readonly<Record<string, string>>): void {
    const key = `${namespace}/${name}`;
    if (sameLabels(this.#accounts.get(key) ?? {}, labels)) return;
    if (Object.keys(labels).length > 0) this.#accounts.set(key, labels);
    else this.#accounts.delete(key);
    for (const state of this.#byNamespace.get(namespace) ?? []) {
      if (accountOf(state) !== name) continue;
      state.seen = this.#seen(state);
      if (this.#place(state)) this.#tell(state);
    }
  }

  setNode(node: Node): void {
    const addresses = node.status?.addresses ?? [];
    const of = (...types: string[]) =>
      addresses.filter(({ type }) => types.includes(type)).map(({ address }) => address);
    const [ips, all] = [of('InternalIP'), of('InternalIP', 'ExternalIP')];
    const known = this.#nodes.get(node.metadata.name);
    const now = { ips, all, labels: node.metadata.labels ?? {} };
    // A node's status is written again and again.
    if (JSON.stringify(known) === JSON.stringify(now)) return;
    this.#nodes.set(node.metadata.name, now);
    for (const listener of this.#nodeListeners) listener();
  }

  removeNode(name: string): void {
    if (this.#nodes.delete(name)) for (const listener of this.#nodeListeners) listener();
  }

  /** Throws an ExpressionError for a Calico selector that cannot be read; the API refuses such. */
  setPolicy(object: AnyPolicy, kind = policyKind(object)): void {
    const policy = readPolicy(object, kind);
    const old = this.#policies.get(policy.id);
    // New peers before the old ones go: what both have in common is not made anew.
    this.#policies.set(policy.id, policy);
    for (const peer of podPeers(policy)) this.#retain(peer);
    const scope = this.#scopes.retain(policy.subject.scope);
    this.#policyIndex.add(scope, policy.subject.podSelector ?? EVERYTHING, policy);
    if (old) this.#drop(old);
    this.#select(policy, scope);
  }

  removePolicy(id: string): void {
    const policy = this.#policies.get(id);
    if (!policy) return;
    this.#policies.delete(id);
    this.#drop(policy);
  }

  /** Of the tiers that are always there only Calico's own word for their end could be another, and it may not be. */
  setTier({ metadata, spec }: CalicoTier): void {
    if (TIERS.some(({ name }) => name === metadata.name)) return;
    const end = spec.defaultAction === 'Pass' ? 'pass' : 'deny';
    this.#putTier(metadata.name, { name: metadata.name, order: spec.order ?? Number.POSITIVE_INFINITY, end });
  }

  removeTier(name: string): void {
    if (!TIERS.some((tier) => tier.name === name)) this.#putTier(name, undefined);
  }

  #putTier(name: string, tier: Tier | undefined): void {
    if (JSON.stringify(this.#tiers.get(name)) === JSON.stringify(tier)) return;
    if (tier) this.#tiers.set(name, tier);
    else this.#tiers.delete(name);
    for (const state of this.#pods.values()) {
      if ([...state.policies].some((policy) => policy.tier === name)) this.#tell(state);
    }
  }

  #select(policy: PolicyRules, scope: string): void {
    for (const state of this.#inScope(scope)) {
      if (state.hostNetwork || state.policies.has(policy)) continue;
      if (policy.subject.podSelector?.matches(state.seen) === false) continue;
      state.policies.add(policy);
      this.#tell(state);
    }
  }

  #drop(policy: PolicyRules): void {
    const { scope, podSelector = EVERYTHING } = policy.subject;
    const key = this.#scopes.keyOf(scope);
    this.#policyIndex.remove(key, podSelector, policy);
    for (const state of this.#inScope(key)) if (state.policies.delete(policy)) this.#tell(state);
    this.#scopes.release(scope);
    for (const peer of podPeers(policy)) this.#release(peer);
  }

  *#inScope(scope: string): Iterable<State> {
    for (const namespace of this.#scopes.namespacesOf(scope, this.#byNamespace)) {
      yield* this.#byNamespace.get(namespace)!;
    }
  }

  #retain(peer: PodPeer): void {
    const known = this.#groups.get(peer.key);
    if (known) {
      known.refs++;
      return;
    }
    const scope = this.#scopes.retain(peer.scope);
    const group: Group = { peer, scope, members: new Set(), refs: 1 };
    this.#groups.set(peer.key, group);
    this.#groupIndex.add(scope, peer.podSelector ?? EVERYTHING, group);
    for (const state of this.#inScope(scope)) this.#join(state, group);
  }

  #join(state: State, group: Group): void {
    if (state.hostNetwork || group.peer.podSelector?.matches(state.seen) === false) return;
    group.members.add(state);
    state.peers.add(group.peer.key);
    this.#tell(state);
  }

  #release(peer: PodPeer): void {
    const group = this.#groups.get(peer.key);
    if (!group || --group.refs > 0) return;
    this.#groups.delete(peer.key);
    this.#groupIndex.remove(group.scope, peer.podSelector ?? EVERYTHING, group);
    this.#scopes.release(peer.scope);
    for (const state of group.members) if (state.peers.delete(peer.key)) this.#tell(state);
  }

  #tell(pod: PolicyPod): void {
    for (const listener of this.#listeners) listener(pod);
  }
}

function* podPeers({ rules }: PolicyRules): Iterable<PodPeer> {
  for (const { peers } of [...rules.ingress, ...rules.egress]) {
    for (const atom of (peers ?? []).flatMap(atomsOf)) if (atom.kind === 'pods') yield atom;
  }
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && [...a].every((value) => b.has(value));
}

function replace<T>(set: Set<T>, by: ReadonlySet<T>): void {
  set.clear();
  for (const value of by) set.add(value);
}
