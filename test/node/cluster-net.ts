// A cluster's network without its control plane: fabric, nodes and pods in namespaces of their own, for tests of packets.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { familyOf, type IP } from '../../src/addr/ip.ts';
import { type CIDR, nthAddress } from '../../src/addr/prefix.ts';
import { ensureFabric, type FabricNode, type FabricOptions, NODE_LEG, removeFabric } from '../../src/cluster/fabric.ts';
import { netnsName } from '../../src/cluster/layout.ts';
import { segmentOf } from '../../src/cluster/segments.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { createPodNetwork, type RoutedPods } from '../../src/node/network.ts';
import { Overlay } from '../../src/node/overlay.ts';
import type { PodAttachment } from '../../src/node/pod-network.ts';
import type { Node } from '../../src/objects/types.ts';
import { planMasqueradeBase, planNodeAddresses } from '../../src/plan/masquerade.ts';
import { planProxyBase } from '../../src/plan/proxy-base.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import type { Reconciler } from '../../src/reconcile/reconciler.ts';
import { createNetns, netnsPath, removeNamespace, socketIn } from '../../src/sys/netns.ts';
import { bindSocket, listenOn } from '../../src/sys/socket.ts';
import { orUndo } from '../set-up.ts';

export interface TestNode extends FabricNode {
  readonly netns: string;
  readonly options: NodeOptions;
  readonly kernel: Kernel;
  readonly reconciler: Reconciler;
  readonly network: RoutedPods;
  readonly overlay: Overlay;
}

export interface TestPod {
  readonly netns: string;
  readonly ip: IP;
  /** One per family of the cluster. */
  readonly ips: readonly IP[];
  readonly sandboxId: string;
  readonly node: TestNode;
}

const ROUTER = 2;

export class ClusterNet implements Disposable {
  readonly name: string;
  readonly host: string;
  readonly fabric: FabricOptions;
  readonly nodes: TestNode[] = [];
  readonly #dir = mkdtempSync(`${tmpdir()}/pwt-`);
  readonly #pods: string[] = [];

  readonly #settings: Partial<NodeOptions>;

  /** `settings`: of every node, in place of what is plain; `fast`: frames between nodes go past the bridge, as they do with datapath ebpf. */
  constructor(
    name: string,
    nodes: readonly FabricNode[],
    settings: Partial<NodeOptions> = {},
    fast = settings.datapath?.kind === 'ebpf',
  ) {
    this.name = name;
    this.#settings = settings;
    this.host = netnsPath(`pwt-${name}-host`);
    createNetns(this.host);
    const dual = nodes.some((node) => node.ips.length > 1);
    this.fabric = {
      clusterName: name,
      nodeCIDRs: ['172.30.0.0/24', ...(dual ? ['fd00:172:30::/64'] : [])],
      podCIDRs: ['10.244.0.0/16', ...(dual ? ['fd00:10:244::/56'] : [])],
      serviceCIDRs: ['10.96.0.0/16', ...(dual ? ['fd00:10:96::/112'] : [])],
      mtu: 1500,
      racks: 1 + Math.max(...nodes.map(({ rack = 0 }) => rack)),
      nodes,
      fast,
      hostNetns: this.host,
    };
    const undo = () => this[Symbol.dispose]();
    orUndo(undo, () => {
      ensureFabric(this.fabric);
      for (const node of nodes) this.nodes.push(this.startNode(node));
      for (const node of this.nodes) for (const other of this.nodes) if (other !== node) connect(node, other);
    });
  }

  /** What a node's agent does for the network at its start. */
  startNode(node: FabricNode): TestNode {
    const netns = netnsPath(netnsName(this.name, node.name));
    const options = this.#options(node, netns);
    const kernel = openKernel({ netns });
    const reconciler = createReconciler(kernel);
    const network = createPodNetwork({ options, reconciler, kernel, nodeLink: NODE_LEG });
    const overlay = new Overlay({ options, reconciler, pods: network, nodeLink: NODE_LEG });
    return { ...node, netns, options, kernel, reconciler, network, overlay };
  }

  #options({ name, ips, podCIDRs, rack = 0 }: FabricNode, netns: string): NodeOptions {
    const stateDir = `${this.#dir}/${name}`;
    mkdirSync(stateDir, { recursive: true });
    const { nodeCIDRs, podCIDRs: clusterPodCIDRs, serviceCIDRs, mtu, racks = 1 } = this.fabric;
    const segmentCIDRs = nodeCIDRs.map((cidr) => segmentOf(cidr, racks, rack));
    return {
      clusterName: this.name,
      nodeName: name,
      nodeIPs: ips,
      netns,
      stateDir,
      imageDir: `${this.#dir}/images`,
      clusterDomain: 'cluster.local',
      podCIDRs,
      clusterPodCIDRs,
      serviceCIDRs,
      nodeCIDRs,
      dnsIPs: ['10.96.0.10'],
      dnsUpstreams: [],
      mtu,
      vxlan: { vni: 1, port: 8472 },
      nodePortRange: [30000, 32767],
      ociRuntime: '',
      conmon: '',
      ourFabric: true,
      segmentCIDRs,
      routers: racks > 1 ? segmentCIDRs.map((cidr) => nthAddress(cidr, ROUTER)) : [],
      ...this.#settings,
    };
  }

  /** What the proxy puts in force on every node, though there is no Service: who keeps its address and who does not. */
  enforceRules(nonMasqueradeCIDRs: readonly CIDR[] = []): void {
    for (const node of this.nodes) {
      const { clusterPodCIDRs, nodeIPs, ...rest } = node.options;
      const facts = { ...rest, nodeIPs, podCIDRs: clusterPodCIDRs, ownPodCIDRs: node.podCIDRs, nonMasqueradeCIDRs };
      const addresses = this.nodes.map(
        (each) => [`masquerade/${each.name}`, planNodeAddresses(nodeObject(each), facts)] as const,
      );
      const base = [
        ['proxy/base', planProxyBase(facts)] as const,
        ['masquerade/base', planMasqueradeBase(facts)] as const,
      ];
      node.reconciler.update(new Map([...base, ...addresses]));
    }
  }

  addPod(node: TestNode, sandboxId: string, wishes: Partial<PodAttachment> = {}): TestPod {
    const netns = netnsPath(`pwt-${this.name}-${sandboxId}`);
    createNetns(netns);
    this.#pods.push(netns);
    return this.attach(node, sandboxId, wishes);
  }

  attach(node: TestNode, sandboxId: string, wishes: Partial<PodAttachment> = {}): TestPod {
    const netns = netnsPath(`pwt-${this.name}-${sandboxId}`);
    const names = { podUid: sandboxId, podNamespace: 'default', podName: sandboxId };
    const ips = node.network.attach({ sandboxId, netns, ...names, ...wishes });
    return { netns, ip: ips[0]!, ips, sandboxId, node };
  }

  detach({ node, sandboxId }: TestPod): void {
    node.network.detach(sandboxId);
  }

  [Symbol.dispose](): void {
    for (const node of this.nodes) {
      node.overlay.close();
      node.reconciler.close();
      node.kernel.close();
    }
    removeFabric(this.name, this.host);
    for (const path of [...this.#pods, this.host]) removeNamespace(path);
    rmSync(this.#dir, { recursive: true });
  }
}

function nodeObject({ name, ips }: FabricNode): Node {
  const metadata = { name, uid: name, resourceVersion: '1', creationTimestamp: '' };
  const addresses = ips.map((address) => ({ type: 'InternalIP', address }));
  return { apiVersion: 'v1', kind: 'Node', metadata, status: { addresses } };
}

/** What watching Nodes does when it hears of `other`. */
export function connect(node: TestNode, other: FabricNode): void {
  node.overlay.set(other.name, other);
}

export function disconnect(node: TestNode, other: FabricNode): void {
  node.overlay.set(other.name, undefined);
}

export interface Echo extends AsyncDisposable {
  readonly port: number;
}

/** A TCP server inside a namespace that answers each connection with the client's address as it sees it, then echoes. */
export async function serveIn(netns: string, ip: IP, at = 0): Promise<Echo> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(`${socket.remoteAddress}\n`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen({ fd: listenOn(tcpSocket(netns, ip), ip, at) }, resolve));
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** Sends `payload` from one namespace to a server of serveIn() in another; returns the address under which it was seen and what came back. */
export async function talk(
  netns: string,
  ip: IP,
  port: number,
  payload = 'ping',
  from?: IP,
): Promise<[seen: string, echoed: string]> {
  const fd = tcpSocket(netns, ip);
  if (from) bindSocket(fd, from, 0);
  const socket = new Socket({ fd, readable: true, writable: true });
  try {
    return await new Promise((resolve, reject) => {
      let text = '';
      socket.setTimeout(30_000, () => reject(new Error(`${ip}:${port} is silent`)));
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        text += chunk;
        const end = text.indexOf('\n');
        if (end >= 0 && text.length - end - 1 >= payload.length) resolve([text.slice(0, end), text.slice(end + 1)]);
      });
      socket.connect(port, ip, () => socket.write(payload));
    });
  } finally {
    socket.destroy();
  }
}

function tcpSocket(netns: string, ip: IP): number {
  return socketIn(netns, familyOf(ip) === 4 ? 'inet' : 'inet6', 'stream');
}

/** Bound; its errors are nobody's. */
export function udpSocketIn(netns: string, ip: IP, port = 0): UdpSocket {
  const six = familyOf(ip) === 6;
  const fd = socketIn(netns, six ? 'inet6' : 'inet', 'dgram');
  bindSocket(fd, ip, port);
  const socket = createSocket(six ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  socket.bind({ fd });
  return socket;
}
