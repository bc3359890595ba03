// Room node: NetworkPolicies on one node: watched objects to the engine, its plan to the reconciler, and flows that are forbidden now cut.
import { familyOf, type IP } from '../addr/ip.ts';
import type { Informer } from '../cache/informer.ts';
import type { Informers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import type { FlowEnd, Kernel } from '../kernel/kernel.ts';
import { type Node, objectKey, type Pod, type ServiceAccount } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { podLinkName } from '../plan/pods.ts';
import { type NodePolicyFacts, planPolicyBase } from '../plan/policy/base.ts';
import { CALICO_NETWORK_POLICY } from '../plan/policy/calico.ts';
import { PolicyEngine } from '../plan/policy/engine.ts';
import { type Changes, type IsolatedPod, NodePolicies } from '../plan/policy/node-policies.ts';
import { dnsPod, podFacts } from '../plan/policy/pod.ts';
import { type AnyPolicy, POLICY_KINDS, type PolicyKind } from '../plan/policy/read-policy.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';
import { sandboxId } from './pod-paths.ts';
import { endsOfForbidden, endsOfPods, FlowCutter } from './policy-flows.ts';
import { POLICY_LOG_GROUP, watchPolicyLog } from './policy-log.ts';
import { PolicyReader } from './policy-reader.ts';

const log = logger('policies');

/** What a pod's life asks of policies. */
export interface PodPolicies {
  /** Until every policy that was there when this was called is known; nothing to wait for where there are none. */
  upToDate(namespace: string): Promise<void>;
  /** Puts what isolates the pod in force, before it returns. Throws a KernelError: the pod must not start yet. */
  admit(pod: Pod, ips: readonly IP[]): void;
  release(pod: Pod): void;
}

export interface PoliciesOptions {
  readonly client: Client;
  readonly informers: Pick<Informers, 'of'>;
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'cutFlows'>;
  readonly options: NodeOptions;
  /** Path of the node's namespace; absent: the calling thread's. */
  readonly netns?: string;
}

/** Items of one transaction while the first plan is put in. */
const PIECE = 5000;
const BASE = 'policy/base';
const CALICO_KINDS: readonly string[] = [CALICO_NETWORK_POLICY, 'GlobalNetworkPolicy'];

interface Admitted {
  readonly uid: string;
  readonly ips: readonly IP[];
}

export class Policies implements PodPolicies {
  /** Policies and namespaces are known: pods may be admitted. */
  readonly known: Promise<void>;
  /** The first whole plan is with the reconciler. */
  readonly ready: Promise<void>;
  readonly #options: PoliciesOptions;
  readonly #facts: { -readonly [K in keyof NodePolicyFacts]: NodePolicyFacts[K] };
  readonly #engine = new PolicyEngine();
  readonly #plan: NodePolicies;
  readonly #reader: PolicyReader;
  readonly #cutter: FlowCutter;
  readonly #admitted = new Map<string, Admitted>();
  readonly #stops: (() => void)[] = [];
  #pods: Informer<Pod> | undefined;
  #accounts: Informer<ServiceAccount> | undefined;
  #hasBase = false;
  #log: { close(): void } | undefined;
  #isReady = false;
  #scheduled = false;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: PoliciesOptions) {
    this.#options = options;
    const { informers, client, kernel, options: node } = options;
    const families = ([4, 6] as const).filter((family) => node.nodeIPs.some((ip) => familyOf(ip) === family));
    this.#facts = { nodeName: node.nodeName, families, dnsIPs: node.dnsIPs };
    this.#plan = new NodePolicies(this.#engine, this.#facts);
    this.#cutter = new FlowCutter(kernel, this.#engine, node.nodeName);
    this.#engine.setPod(dnsPod(node.dnsIPs));
    const watches = new Map(
      POLICY_KINDS.map((kind): [PolicyKind, Informer<AnyPolicy>] => [kind, informers.of(kind) as Informer<AnyPolicy>]),
    );
    this.#reader = new PolicyReader(client, watches, this.#engine, () => this.#schedule());
    const tiers = informers.of('CalicoTier');
    const namespaces = informers.of('Namespace');
    const nodes = informers.of('Node');
    this.#stops.push(
      () => this.#reader.close(),
      namespaces.onChange(({ type, object: { metadata } }) => {
        if (type === 'delete') this.#engine.removeNamespace(metadata.name);
        else this.#engine.setNamespace(metadata.name, metadata.labels ?? {});
        this.#schedule();
      }),
      nodes.onChange(({ type, object }) => this.#node(type, object)),
      tiers.onChange(({ type, object }) => {
        if (type === 'delete') this.#engine.removeTier(object.metadata.name);
        else this.#engine.setTier(object);
        this.#schedule();
      }),
    );
    const all = [...watches.values(), tiers, namespaces, nodes];
    this.known = Promise.all(all.map(({ synced }) => synced)).then(() => {});
    this.ready = this.known
      .then(() => Promise.all(this.#peers().map(({ synced }) => synced)))
      .then(() => this.#begin());
  }

  #node(type: string, node: Node): void {
    if (type === 'delete') this.#engine.removeNode(node.metadata.name);
    else this.#engine.setNode(node);
    if (this.#plan.isStale) this.#schedule();
  }

  /** What has to be watched for the policies that there are. */
  #peers(): Informer<Pod | ServiceAccount>[] {
    const { policies } = this.#engine;
    if (policies.size === 0) return [];
    const hasCalico = [...policies.values()].some(({ ref }) => CALICO_KINDS.includes(ref.kind));
    return [this.#watchPods(), ...(hasCalico ? [this.#watchAccounts()] : [])];
  }

  /** Calico's selectors see the labels of pods' service accounts. */
  #watchAccounts(): Informer<ServiceAccount> {
    if (this.#accounts) return this.#accounts;
    this.#accounts = this.#options.informers.of('ServiceAccount');
    const stop = this.#accounts.onChange(({ type, object: { metadata } }) => {
      const labels = type === 'delete' ? {} : (metadata.labels ?? {});
      this.#engine.setServiceAccount(metadata.namespace!, metadata.name, labels);
      this.#schedule();
    });
    this.#stops.push(stop);
    return this.#accounts;
  }

  /** Pods of all nodes, who may be peers: a node watches them from the first policy on. */
  #watchPods(): Informer<Pod> {
    if (this.#pods) return this.#pods;
    this.#pods = this.#options.informers.of('Pod');
    const stop = this.#pods.onChange(({ type, object }) => {
      if (type !== 'delete') this.#setPod(object);
      // A pod of ours is held to its policies until nothing of it is left, whatever the API knows of it.
      else if (!this.#admitted.has(objectKey(object))) this.#engine.removePod(objectKey(object));
      this.#schedule();
    });
    this.#stops.push(stop);
    return this.#pods;
  }

  /** The node knows the addresses of its own pods before the API does. */
  #setPod(pod: Pod): void {
    const admitted = this.#admitted.get(objectKey(pod));
    if (admitted && admitted.uid !== pod.metadata.uid) return;
    const facts = podFacts(pod);
    this.#engine.setPod(admitted ? { ...facts, ips: admitted.ips } : facts);
  }

  async upToDate(namespace: string): Promise<void> {
    await this.#reader.read(namespace);
    await Promise.all(this.#peers().map(({ synced }) => synced));
  }

  admit(pod: Pod, ips: readonly IP[]): void {
    if (pod.spec.hostNetwork) return;
    const key = objectKey(pod);
    this.#admitted.set(key, { uid: pod.metadata.uid, ips });
    this.#setPod(pod);
    this.#plan.target(key, linkOf(pod));
    this.#commit();
  }

  release(pod: Pod): void {
    const key = objectKey(pod);
    this.#plan.untarget(key, linkOf(pod));
    if (this.#admitted.get(key)?.uid === pod.metadata.uid) {
      this.#admitted.delete(key);
      this.#engine.removePod(key);
      // One that has its name by now, wherever it is.
      const next = this.#pods?.get(key);
      if (next && next.metadata.uid !== pod.metadata.uid) this.#setPod(next);
    }
    this.#schedule();
  }

  /** Settles when every connection that what is planned by now forbids is cut. */
  get settled(): Promise<void> {
    return this.#cutter.idle;
  }

  /** Pods that may not be carried past the rules by another path. */
  isolated(): IsolatedPod[] {
    return this.#plan.isolated();
  }

  /** Events of one tick make one transaction. */
  #schedule(): void {
    if (this.#scheduled || this.#closed || !this.#isReady) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      // Without the others' addresses, what policies allow would be refused.
      const missing = this.#peers().find(({ hasSynced }) => !hasSynced);
      if (missing) void missing.synced.then(() => this.#schedule());
      else this.#tryCommit();
    });
  }

  #begin(): void {
    this.#isReady = true;
    if (this.#closed) return;
    const changes = this.#takeChanges();
    try {
      for (const piece of pieces(changes)) this.#options.reconciler.update(piece);
    } catch (error) {
      this.#complain(error);
    }
    // What was forbidden while nobody was here.
    this.#cut(endsOfPods(this.#plan.isolated()));
    this.#schedule();
  }

  #takeChanges(): Changes {
    const wanted = this.#engine.policies.size > 0;
    if (wanted && !this.#hasBase) this.#listen();
    const changes = this.#plan.takeChanges();
    if (wanted === this.#hasBase) return changes;
    this.#hasBase = wanted;
    changes.set(BASE, wanted ? planPolicyBase(this.#facts) : undefined);
    return changes;
  }

  #listen(): void {
    const { nodeName, stateDir } = this.#options.options;
    const { netns } = this.#options;
    this.#log ??= watchPolicyLog({
      engine: this.#engine,
      nodeName,
      stateDir,
      ...(netns !== undefined && { netns }),
    });
    if (this.#log) this.#facts.logGroup = POLICY_LOG_GROUP;
  }

  #commit(): void {
    const changes = this.#takeChanges();
    if (changes.size === 0) return;
    const { reconciler } = this.#options;
    const forbidden = endsOfForbidden(changes, reconciler.plan, () => this.#plan.isolated());
    reconciler.update(changes);
    // Before all pods are known, everybody would be a stranger.
    if (this.#isReady) this.#cut(forbidden);
  }

  #cut(ends: readonly FlowEnd[]): void {
    if (this.#options.options.cutFlows !== false) this.#cutter.cutSoon(ends);
  }

  #tryCommit(): void {
    try {
      this.#commit();
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    log.error({ node: this.#facts.nodeName, err: error }, 'NetworkPolicies could not be set up; trying again');
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      if (this.#closed) return;
      // The reconciler knows what it owes: an update of nothing makes it try.
      try {
        this.#options.reconciler.update(new Map());
      } catch (again) {
        this.#complain(again);
      }
    }, 1000).unref();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#cutter.close();
    this.#log?.close();
    for (const stop of this.#stops) stop();
  }
}

function linkOf(pod: Pod): string {
  return podLinkName(sandboxId(pod.metadata.uid));
}

const ORDER = [
  BASE,
  'policy/tier-base',
  'policy/blocks',
  'policy/tier-blocks',
  'policy/peer',
  'policy/tier-peer',
  'policy/allow',
  'policy/tier/',
  'policy/pod',
];

/** What is allowed before what isolates, so that no flow is refused between two of them. */
function* pieces(changes: Changes): Iterable<Changes> {
  const rank = (key: string) => ORDER.findIndex((begin) => key.startsWith(begin));
  const sorted = [...changes].sort(([a], [b]) => rank(a) - rank(b));
  let piece: Changes = new Map();
  let count = 0;
  for (const [key, fragment] of sorted) {
    piece.set(key, fragment);
    count += fragment?.items.length ?? 1;
    if (count < PIECE && key !== BASE) continue;
    yield piece;
    piece = new Map();
    count = 0;
  }
  if (piece.size > 0) yield piece;
}
