// One node's Services over the kernel, fed with objects from memory, for tests that look at packets.
import { spawnSync } from 'node:child_process';
import { MemoryInformer } from '../../src/cache/memory-informer.fixture.ts';
import type { Client } from '../../src/client/client.ts';
import { openConntrack } from '../../src/kernel/conntrack-linux.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { openNft } from '../../src/kernel/nft-linux.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { type RunningProxy, startProxy } from '../../src/node/proxy.ts';
import type { EndpointSlice, Node, Service } from '../../src/objects/types.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import type { Reconciler } from '../../src/reconcile/reconciler.ts';
import { BY_SERVICE, nodeOf } from './objects.ts';
import type { Command, Protocol } from './peer.ts';
import { ADDRESSES, type Place, Topology } from './topology.ts';

const missing = ['ip', 'nft', 'conntrack'].filter((tool) => spawnSync(tool, ['-V']).error !== undefined);

/** Why such a test cannot run here; false when it can. */
export const skip =
  process.getuid?.() !== 0
    ? 'needs root for network namespaces'
    : missing.length > 0
      ? `needs ${missing.join(', ')}`
      : false;

export const NODE_OPTIONS = {
  clusterName: 'test',
  nodeName: 'node',
  nodeIPs: [...ADDRESSES.node],
  podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'],
  clusterPodCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'],
  serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  nodeCIDRs: ['172.30.9.0/24', 'fd00:30::/64'],
  dnsIPs: ['10.96.0.10', 'fd00:10:96::a'],
} as unknown as NodeOptions;

/** How the Services of a node get into the kernel: what a mode under test has to be. */
export type StartServices = (parts: {
  readonly kernel: Kernel;
  readonly reconciler: Reconciler;
  readonly options: NodeOptions;
  readonly informers: NodeUnderTest['informers'];
}) => RunningProxy;

const nftables: StartServices = (parts) => startProxy({ ...parts, client: undefined as unknown as Client });

export class NodeUnderTest implements Disposable {
  readonly topology = new Topology();
  readonly services = new MemoryInformer<Service>().sync();
  readonly slices = new MemoryInformer<EndpointSlice>(BY_SERVICE).sync();
  readonly nodes = new MemoryInformer<Node>().sync();
  readonly informers = { services: this.services, slices: this.slices, nodes: this.nodes };
  readonly #options: NodeOptions;
  readonly #mode: StartServices;
  #kernel: Kernel | undefined;
  #reconciler: Reconciler | undefined;
  #proxy: RunningProxy | undefined;

  constructor(options: Partial<NodeOptions>, mode: StartServices) {
    this.#options = { ...NODE_OPTIONS, ...options };
    this.#mode = mode;
    this.nodes.set(nodeOf('node', ADDRESSES.node, ['10.244.1.0/24', 'fd00:10:244:1::/64']));
    this.nodes.set(nodeOf('other', ADDRESSES.other, ['10.244.2.0/24', 'fd00:10:244:2::/64']));
  }

  async start(): Promise<void> {
    const netns = this.topology.netns('node');
    const kernel = openKernel({ netns, nft: openNft(netns), conntrack: openConntrack(netns) });
    const reconciler = createReconciler(kernel);
    this.#kernel = kernel;
    this.#reconciler = reconciler;
    this.#proxy = this.#mode({ kernel, reconciler, options: this.#options, informers: this.informers });
    await this.#proxy.ready;
  }

  /** As when the agent's process ends: the kernel stays as it is. */
  stop(): void {
    this.#proxy?.close();
    this.#reconciler?.close();
    this.#kernel?.close();
    this.#proxy = undefined;
  }

  async restart(): Promise<void> {
    this.stop();
    await this.start();
  }

  repair(): string[] {
    return this.#reconciler!.repair();
  }

  /** The proxy plans what changed in one tick at its end. */
  planned(): Promise<void> {
    return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }

  ask(from: Place, host: string, port: number, protocol: Protocol = 'tcp', rest: object = {}): Promise<string> {
    return this.topology.at(from).call({ op: 'ask', protocol, host, port, ...rest } as Command);
  }

  serve(place: Place, protocol: Protocol, host: string, port: number, name: string): Promise<unknown> {
    return this.topology.at(place).call({ op: 'serve', protocol, host, port, name });
  }

  /** Packets and comment of the element of a counting set that has this address; by `nft`. */
  count(set: string, ip: string): { packets: number; comment: string } {
    const family = ip.includes(':') ? 'ip6' : 'ip';
    const text = this.topology.run('node', `nft list set ${family} podwire ${set}`);
    const found = text.split(/[{,]/).find((element) => element.trim().startsWith(`${ip} .`)) ?? '';
    return {
      packets: Number(/packets (\d+)/.exec(found)?.[1] ?? 0),
      comment: /comment "([^"]*)"/.exec(found)?.[1] ?? '',
    };
  }

  /** Whether the node knows of a session of this client. */
  remembers(client: string): boolean {
    const family = client.includes(':') ? 'ip6' : 'ip';
    return this.topology.run('node', `nft list map ${family} podwire affinity`).includes(`${client} .`);
  }

  async until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    const end = Date.now() + 30_000;
    while (!(await check())) {
      if (Date.now() > end) throw new Error(`not within 30 s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  [Symbol.dispose](): void {
    this.stop();
    this.topology[Symbol.dispose]();
  }
}

export async function startNode(options: Partial<NodeOptions> = {}, mode = nftables): Promise<NodeUnderTest> {
  const node = new NodeUnderTest(options, mode);
  try {
    node.topology.podSide();
    await node.start();
    return node;
  } catch (error) {
    node[Symbol.dispose]();
    throw error;
  }
}
