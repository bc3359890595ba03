// One node's Services over the kernel, fed with objects from memory, for tests that look at packets.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { MemoryInformer } from '../../src/cache/memory-informer.fixture.ts';
import type { Client } from '../../src/client/client.ts';
import { makeCgroup, removeCgroup } from '../../src/kernel/cgroup.ts';
import { openConntrack } from '../../src/kernel/conntrack-linux.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { openNft } from '../../src/kernel/nft-linux.ts';
import { socketLbLacks } from '../../src/kernel/socket-lb.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { type RunningProxy, startProxy } from '../../src/node/proxy.ts';
import { SocketServices } from '../../src/node/socket-services.ts';
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

/** With ebpf the pods are in a cgroup whose sockets are translated. */
export type Mode = 'nftables' | 'ebpf';
export const MODES = ['nftables', 'ebpf'] as const satisfies readonly Mode[];

/** Why a mode cannot be tested here; false when it can. */
export function skipMode(mode: Mode): string | false {
  return skip || (mode === 'ebpf' && (socketLbLacks() ?? false));
}

type NftValue = { concat: unknown[] } | object;
type NftEntry = NftValue | { elem: { val: NftValue; comment?: string } };
interface NftListing {
  readonly nftables: readonly { map?: { elem?: readonly (NftEntry | readonly [NftEntry, NftValue])[] } }[];
}

export class NodeUnderTest implements AsyncDisposable {
  readonly topology = new Topology();
  readonly services = new MemoryInformer<Service>().sync();
  readonly slices = new MemoryInformer<EndpointSlice>(BY_SERVICE).sync();
  readonly nodes = new MemoryInformer<Node>().sync();
  readonly informers = { services: this.services, slices: this.slices, nodes: this.nodes };
  readonly #options: NodeOptions;
  readonly mode: Mode;
  readonly #cgroup = `pwt-svc-${process.pid}`;
  #sockets: SocketServices | undefined;
  #kernel: Kernel | undefined;
  #reconciler: Reconciler | undefined;
  #proxy: RunningProxy | undefined;

  constructor(options: Partial<NodeOptions>, mode: Mode) {
    this.#options = { ...NODE_OPTIONS, ...options };
    this.mode = mode;
    if (mode === 'ebpf') {
      for (const pod of ['pod1', 'pod2'] as const) {
        writeFileSync(`${makeCgroup(this.#cgroup)}/cgroup.procs`, `${this.topology.at(pod).pid}`);
      }
    }
    this.nodes.set(nodeOf('node', ADDRESSES.node, ['10.244.1.0/24', 'fd00:10:244:1::/64']));
    this.nodes.set(nodeOf('other', ADDRESSES.other, ['10.244.2.0/24', 'fd00:10:244:2::/64']));
  }

  async start(): Promise<void> {
    const netns = this.topology.netns('node');
    const kernel = openKernel({ netns, nft: openNft(netns), conntrack: openConntrack(netns) });
    const reconciler = createReconciler(kernel);
    this.#kernel = kernel;
    this.#reconciler = reconciler;
    this.#sockets = this.mode === 'ebpf' ? this.#openSockets() : undefined;
    this.#proxy = startProxy({
      client: undefined as unknown as Client,
      kernel,
      reconciler,
      options: this.#options,
      informers: this.informers,
      ...(this.#sockets && { sockets: this.#sockets }),
    });
    await this.#proxy.ready;
  }

  #openSockets(): SocketServices {
    const namespaces = () => (['pod1', 'pod2'] as const).map((pod) => this.topology.netns(pod));
    return new SocketServices({ cgroup: makeCgroup(this.#cgroup), namespaces });
  }

  /** As when the agent's process ends: the kernel stays as it is. */
  stop(): void {
    this.#proxy?.close();
    this.#sockets?.close();
    this.#reconciler?.close();
    this.#kernel?.close();
    this.#proxy = undefined;
    this.#sockets = undefined;
  }

  async restart(): Promise<void> {
    this.stop();
    await this.start();
  }

  repair(): Promise<string[]> {
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

  /** Elements of a map as `nft` tells them. */
  elements(family: 'ip' | 'ip6', map: string): { key: unknown[]; data?: unknown[]; comment?: string }[] {
    const listed = JSON.parse(this.topology.run('node', `nft -j list map ${family} podwire ${map}`)) as NftListing;
    const { map: described } = listed.nftables.find((each) => each.map) ?? {};
    const parts = (value: NftValue) => ('concat' in value ? value.concat : [value]);
    return (described?.elem ?? []).map((entry) => {
      const [left, data] = Array.isArray(entry) ? entry : [entry, undefined];
      const { val, comment } = 'elem' in left ? left.elem : { val: left, comment: undefined };
      return { key: parts(val), ...(data && { data: parts(data) }), ...(comment && { comment }) };
    });
  }

  /** Packets, bytes and comment of the element of a counting set that has this address; by `nft`. */
  count(set: string, ip: string): { packets: number; bytes: number; comment: string } {
    const family = ip.includes(':') ? 'ip6' : 'ip';
    const text = this.topology.run('node', `nft list set ${family} podwire ${set}`);
    const found = text.split(/[{,]/).find((element) => element.trim().startsWith(`${ip} .`)) ?? '';
    return {
      packets: Number(/packets (\d+)/.exec(found)?.[1] ?? 0),
      bytes: Number(/bytes (\d+)/.exec(found)?.[1] ?? 0),
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    this.topology[Symbol.dispose]();
    if (this.mode === 'ebpf') await removeCgroup(this.#cgroup);
  }
}

export async function startNode(options: Partial<NodeOptions> = {}, mode: Mode = 'nftables'): Promise<NodeUnderTest> {
  const node = new NodeUnderTest(options, mode);
  try {
    node.topology.podSide();
    await node.start();
    return node;
  } catch (error) {
    await node[Symbol.asyncDispose]();
    throw error;
  }
}
