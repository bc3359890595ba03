// A node of its own with nine pods (namespaces x, y, z with pods a, b, c) and a host outside: real namespaces, real packets.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Informers } from '../../src/cache/informers.ts';
import { MemoryInformer } from '../../src/cache/memory-informer.fixture.ts';
import type { Client } from '../../src/client/client.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { sandboxId } from '../../src/node/pod-paths.ts';
import { Policies } from '../../src/node/policies.ts';
import {
  type CalicoTier,
  type Namespace,
  type NetworkPolicy,
  type Node,
  objectKey,
  type Pod,
  type ServiceAccount,
} from '../../src/objects/types.ts';
import { planPod, podLinkName } from '../../src/plan/pods.ts';
import { type AnyPolicy, POLICY_KINDS, type PolicyKind, policyKind } from '../../src/plan/policy/read-policy.ts';
import { planProxyBase } from '../../src/plan/proxy-base.ts';
import type { NodeFacts } from '../../src/plan/proxy-names.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import type { Reconciler } from '../../src/reconcile/reconciler.ts';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { PeerProcess } from '../peer-process.ts';
import type { PeerCommand, Question } from './peer.ts';
import type { PolicyObject } from './recipes.ts';

export const NAMESPACES = ['x', 'y', 'z'] as const;
export const NAMES = ['a', 'b', 'c'] as const;
/** `x/a` */
export type PodName = `${(typeof NAMESPACES)[number]}/${(typeof NAMES)[number]}`;
export const PODS = NAMESPACES.flatMap((namespace) => NAMES.map((name): PodName => `${namespace}/${name}`));
export const NODE_IPS = ['172.30.8.11', 'fd00:30:8::11'] as const;
/** The host outside has these; the last is where clouds tell machines their secrets. */
export const OUTSIDE_IPS = ['203.0.113.9', '2001:db8::9', '169.254.169.254'] as const;
export const PORTS = [80, 81] as const;

export function addressesOf(pod: PodName): readonly [string, string] {
  const index = PODS.indexOf(pod) + 2;
  return [`10.244.8.${index}`, `fd00:244:8::${index}`];
}

const PROXY_FACTS: NodeFacts = {
  nodeName: 'node',
  nodeIPs: NODE_IPS,
  ownPodCIDRs: ['10.244.8.0/24', 'fd00:244:8::/64'],
  podCIDRs: ['10.244.0.0/16', 'fd00:244::/32'],
  serviceCIDRs: ['10.96.0.0/16', 'fd00:96::/112'],
  dnsIPs: [],
};

const meta = (name: string, namespace?: string, labels: Record<string, string> = {}) => ({
  name,
  ...(namespace && { namespace }),
  labels,
  uid: `uid-${namespace ?? ''}-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export function podObject(pod: PodName, labels: Record<string, string> = {}): Pod {
  const [namespace, name] = pod.split('/') as [string, string];
  const ports = PORTS.map((containerPort) => ({ name: `serve-${containerPort}-tcp`, containerPort }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: meta(name, namespace, { pod: name, ...labels }) as Pod['metadata'],
    spec: { nodeName: 'node', containers: [{ name: 'c', image: 'i', ports }] },
    status: { phase: 'Running', podIPs: addressesOf(pod).map((ip) => ({ ip })) },
  };
}

export class Field implements AsyncDisposable {
  readonly watches = new Map(POLICY_KINDS.map((kind) => [kind, new MemoryInformer<AnyPolicy>().sync()] as const));
  readonly policies = this.watches.get('NetworkPolicy')!;
  readonly tiers = new MemoryInformer<CalicoTier>().sync();
  readonly accounts = new MemoryInformer<ServiceAccount>().sync();
  readonly pods = new MemoryInformer<Pod>().sync();
  readonly namespaces = new MemoryInformer<Namespace>().sync();
  readonly nodes = new MemoryInformer<Node>().sync();
  readonly stateDir = mkdtempSync(join(tmpdir(), 'pwt-pol-'));
  readonly #prefix = `pwt-pol${process.pid}-`;
  readonly #places = ['node', 'outside', ...PODS.map((pod) => pod.replace('/', '-'))];
  readonly #peers = new Map<string, PeerProcess<PeerCommand>>();
  kernel!: Kernel;
  reconciler!: Reconciler;
  agent!: Policies;
  #version = 1;

  static async create(): Promise<Field> {
    const field = new Field();
    try {
      await field.#build();
    } catch (error) {
      await field[Symbol.asyncDispose]();
      throw error;
    }
    return field;
  }

  async #build(): Promise<void> {
    for (const place of this.#places) createNetns(this.#netns(place));
    this.#wire();
    const addresses = NODE_IPS.map((address) => ({ type: 'InternalIP', address }));
    this.nodes.set({ apiVersion: 'v1', kind: 'Node', metadata: meta('node'), status: { addresses } });
    // The host outside is another node to those who ask for it by its labels.
    const far = OUTSIDE_IPS.slice(0, 2).map((address) => ({ type: 'InternalIP', address }));
    const farMeta = { ...meta('far', undefined, { role: 'far' }) };
    this.nodes.set({ apiVersion: 'v1', kind: 'Node', metadata: farMeta, status: { addresses: far } });
    for (const name of NAMESPACES) this.labelNamespace(name, { ns: name });
    await this.startAgent();
    for (const pod of PODS) this.pods.set(podObject(pod));
    for (const place of this.#places.slice(1)) this.#peers.set(place, this.#spawn(place));
    await Promise.all([...this.#peers.values()].map((peer) => peer.call({ op: 'serve', ports: PORTS })));
  }

  /** As a new process would: it knows nothing of what the kernel holds. */
  async startAgent(): Promise<void> {
    this.kernel = openKernel({ netns: this.#netns('node') });
    this.reconciler = createReconciler(this.kernel);
    // Services are always there, and with them connections are tracked from the first on.
    this.reconciler.update(new Map([['proxy/base', planProxyBase(PROXY_FACTS)]]));
    for (const pod of PODS) this.#cable(pod);
    const others = { Pod: this.pods, Namespace: this.namespaces, Node: this.nodes };
    const all: Record<string, unknown> = {
      ...others,
      CalicoTier: this.tiers,
      ServiceAccount: this.accounts,
      ...Object.fromEntries(this.watches),
    };
    const of = (kind: string) => all[kind];
    const list = (kind: PolicyKind) => {
      const items = [...this.watches.get(kind)!.list()];
      return Promise.resolve({ items, metadata: { resourceVersion: String(this.#version) } });
    };
    this.agent = new Policies({
      client: { list } as unknown as Client,
      informers: { of } as unknown as Informers,
      reconciler: this.reconciler,
      kernel: this.kernel,
      netns: this.#netns('node'),
      options: { nodeName: 'node', nodeIPs: NODE_IPS, dnsIPs: [], stateDir: this.stateDir } as unknown as NodeOptions,
    });
    await this.agent.ready;
    for (const pod of PODS) this.agent.admit(podObject(pod), addressesOf(pod));
  }

  #netns(place: string): string {
    return netnsPath(`${this.#prefix}${place}`);
  }

  #cable(pod: PodName): void {
    const object = podObject(pod);
    const [podNamespace, podName] = pod.split('/') as [string, string];
    const netns = this.#netns(pod.replace('/', '-'));
    const place = { sandboxId: sandboxId(object.metadata.uid), podNamespace, podName, netns };
    const fragment = planPod({ ...place, ips: addressesOf(pod), nodeIPs: NODE_IPS, mtu: 1500 });
    this.reconciler.update(new Map([[`pod/${pod}`, fragment]]));
  }

  #wire(): void {
    const ip = (place: string, ...lines: string[]) =>
      inNetns(this.#netns(place), () =>
        execFileSync('ip', ['-batch', '-'], { input: lines.join('\n'), stdio: ['pipe', 'ignore', 'inherit'] }),
      );
    ip(
      'node',
      'link set lo up',
      `link add name eth0 type veth peer name eth0 netns ${this.#prefix}outside`,
      'link set eth0 up',
      ...NODE_IPS.map((each) => `addr add ${each}/${each.includes(':') ? '64 nodad' : '24'} dev eth0`),
      ...OUTSIDE_IPS.map((each) => `route add ${each} dev eth0`),
    );
    ip(
      'outside',
      'link set lo up',
      'link set eth0 up',
      'addr add 172.30.8.1/24 dev eth0',
      'addr add fd00:30:8::1/64 nodad dev eth0',
      ...OUTSIDE_IPS.map((each) => `addr add ${each}/${each.includes(':') ? '128 nodad' : '32'} dev eth0`),
      `route add 10.244.8.0/24 via ${NODE_IPS[0]}`,
      `route add fd00:244:8::/64 via ${NODE_IPS[1]}`,
    );
    inNetns(this.#netns('node'), () => {
      for (const [key, value] of Object.entries({ 'ipv4/ip_forward': 1, 'ipv6/conf/all/forwarding': 1 })) {
        writeFileSync(`/proc/sys/net/${key}`, String(value));
      }
    });
  }

  #spawn(place: string): PeerProcess<PeerCommand> {
    return new PeerProcess(new URL('./peer.ts', import.meta.url), this.#netns(place));
  }

  labelNamespace(name: string, labels: Record<string, string>): void {
    const all = { ...labels, 'kubernetes.io/metadata.name': name };
    this.namespaces.set({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: meta(name, undefined, all) as Namespace['metadata'],
    });
  }

  apply(
    ...policies: { readonly namespace: string; readonly name: string; readonly spec: NetworkPolicy['spec'] }[]
  ): void {
    for (const { namespace, name, spec } of policies) {
      const metadata = {
        ...meta(name, namespace),
        resourceVersion: String(++this.#version),
      } as NetworkPolicy['metadata'];
      this.put({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec });
    }
  }

  /** A policy of any kind, as `kubectl apply` has it. */
  put(policy: PolicyObject): void {
    const { name, namespace } = policy.metadata;
    const metadata = { ...meta(name, namespace), ...policy.metadata, resourceVersion: String(++this.#version) };
    const stored = { ...policy, metadata } as unknown as AnyPolicy;
    if (policy.kind === 'Tier') this.tiers.set(stored as unknown as CalicoTier);
    else this.watches.get(policyKind(stored))!.set(stored);
  }

  clear(): void {
    for (const watch of this.watches.values()) {
      for (const policy of [...watch.list()]) watch.delete(objectKey(policy));
    }
    for (const tier of [...this.tiers.list()]) this.tiers.delete(objectKey(tier));
  }

  /** Events of one tick are planned at its end, and are in the kernel then. */
  async committed(): Promise<void> {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** What is forbidden now is cut, too. */
  async planned(): Promise<void> {
    await this.committed();
    await this.agent.settled;
  }

  ask(from: PodName | 'outside', questions: readonly Question[]): Promise<boolean[]> {
    return this.peer(from).call({ op: 'ask', questions });
  }

  peer(place: PodName | 'outside'): PeerProcess<PeerCommand> {
    return this.#peers.get(place.replace('/', '-'))!;
  }

  /** A command inside the node. */
  onNode(command: string): string {
    const [file, ...args] = command.split(' ');
    return inNetns(this.#netns('node'), () => execFileSync(file!, args, { encoding: 'utf8' }));
  }

  netnsOf(pod: PodName): string {
    return this.#netns(pod.replace('/', '-'));
  }

  linkOf(pod: PodName): string {
    return podLinkName(sandboxId(podObject(pod).metadata.uid));
  }

  stopAgent(): void {
    this.agent?.close();
    this.reconciler?.close();
    this.kernel?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopAgent();
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
    for (const place of this.#places) removeNamespace(this.#netns(place));
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}
