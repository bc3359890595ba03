// Room node: wires one node's agent: runtime, kernel, network, Services, DNS, pods, Node object, kubelet server.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePrefix } from '../addr/prefix.ts';
import { createInformer } from '../cache/informer.ts';
import { createInformers } from '../cache/informers.ts';
import { Client } from '../client/client.ts';
import { createRecorder } from '../client/recorder.ts';
import type { Transport } from '../client/transport.ts';
import { type DnsStatus, startDns } from '../dns/start.ts';
import { makeCgroup } from '../kernel/cgroup.ts';
import { openKernel } from '../kernel/linux.ts';

import type { ClaimReport } from '../lb/speaker.ts';
import type { LoadBalancer } from '../lb/start.ts';
import { NODE_PLACES, POD_PEERS } from '../objects/views.ts';
import { logger } from '../observe/log.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import { createReconciler } from '../reconcile/loop.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import { openRuntime } from '../runtime/start.ts';
import type { NodeOptions } from './agent.ts';
import { startNodeCni } from './cni.ts';
import { ConfigWatch } from './config-watch.ts';
import { watchDrift } from './drift.ts';
import { startKubeletServer } from './kubelet/server.ts';
import { startNodeLoadBalancer } from './load-balancer.ts';
import { createPodNetwork, linkOfNode } from './network.ts';
import { NodeObject } from './node-object.ts';
import { machineCapacity, machineInfo } from './node-status.ts';
import { findPaths, Overlay, type OverlayStep, watchNodes } from './overlay.ts';
import { Pods } from './pods.ts';
import { Policies } from './policies.ts';
import { startProxy } from './proxy.ts';
import { METRICS_PORT } from './proxy-server.ts';
import { watchServiceWays } from './service-ways.ts';
import type { SocketServices } from './socket-services.ts';
import { StartQueue } from './start-queue.ts';

const log = logger('node');

/** Containers of a node that are started at once: the first of many are ready long before the last. */
const STARTS = 4;

export interface AgentOptions {
  readonly options: NodeOptions;
  readonly transport: Transport;
}

/** What an agent tells of itself; plain data. */
export interface AgentReport {
  /** Milliseconds from the thread's beginning to the end of each step of its start. */
  readonly timings: Readonly<Record<string, number>>;
  readonly dns: DnsStatus;
  /** Fragments of the plan that are in force: pods, Services, other nodes and what they share. */
  readonly planned: number;
  readonly overlay: OverlaySettings;
  /** Load balancer addresses for which the node answers. */
  readonly addresses: readonly ClaimReport[];
  readonly sandboxes: number;
  readonly runningContainers: number;
}

export interface Agent {
  /** Settles when network, Services, DNS and pods are in force and the API says that the node is Ready. */
  readonly ready: Promise<void>;
  /** Milliseconds from the thread's beginning to the end of each step. */
  readonly timings: Readonly<Record<string, number>>;
  report(): AgentReport;
  /** One step of the way to another overlay, in one transaction. Throws a KernelError. */
  changeOverlay(settings: OverlaySettings, step: OverlayStep): void;
  /** Gives a load balancer address to another node; returns to which, or undefined when this node has it not or nobody else can. */
  moveAddress(ip: string, to?: string): string | undefined;
  /** Stops our own parts; pods, links and rules stay as they are. `leave`: the node goes, so other nodes are to have its load balancer addresses. */
  close(leave?: boolean): Promise<void>;
}

/**
 * Call it on the thread that is to be the node: already in the node's network namespace, as its sockets are to be there; the
 * runtime moves it into a mount namespace of its own.
 */
export async function startAgent({ options, transport }: AgentOptions): Promise<Agent> {
  const timings: Record<string, number> = {};
  const step = (name: string) => {
    timings[name] = Math.round(performance.now() * 10) / 10;
  };
  step('agent loaded');
  // Threads of libuv's pool are born now: one born after the runtime has given this thread its mounts would share its
  // working directory, and a thread that shares it may not change its mount namespace (setns(2): EINVAL).
  await stat('/');
  const client = new Client(transport);
  // How other nodes and their pods do is nothing to this one: only its own are watched whole.
  const informers = createInformers(client, { Node: NODE_PLACES, Pod: POD_PEERS });
  const ownNode = createInformer(client, 'Node', { fieldSelector: `metadata.name=${options.nodeName}` });
  const nodes = informers.of('Node');
  const services = informers.of('Service');
  const endpointSlices = informers.of('EndpointSlice');
  const namespaces = informers.of('Namespace');
  const serviceCIDRs = informers.of('ServiceCIDR');

  const runtime = await openRuntime({
    ...options,
    ...(options.netns && { nodeNetns: options.netns }),
    ...(options.socketCgroup && { podCgroup: options.socketCgroup }),
  });
  step('runtime');
  const capacity = machineCapacity(options.stateDir);
  const node = new NodeObject({
    client,
    options,
    nodes: ownNode,
    images: runtime.images,
    capacity,
    nodeInfo: machineInfo(),
    parts: ['network', 'Services', 'DNS', 'pods'],
  });
  const registered = node.register().then(() => step('registered'));

  const placed = { ...options, podCIDRs: await ownPodCIDRs(options, node) };
  const { datapath = { kind: 'nftables' } } = options;
  const podFamilies = placed.podCIDRs.map((cidr) => parsePrefix(cidr).family);
  const kernel = openKernel(datapath.kind === 'ebpf' ? { conntrackNumbers: datapath.numbers, podFamilies } : {});
  const reconciler = createReconciler(kernel);
  const nodeLink = linkOfNode(placed);
  const network = createPodNetwork({ options: placed, reconciler, kernel, nodeLink });
  const overlay = new Overlay({ options: placed, nodeLink, reconciler, pods: network });
  const paths = await findPaths(overlay, placed);
  const stopWatchingNodes = watchNodes(overlay, options.nodeName, nodes, paths);
  const cni = await startNodeCni({ options: placed, network, kernel, missing: () => node.missing });
  step('network');
  let pods: Pods | undefined;
  const dns = startDns({
    informers: { services, endpointSlices, namespaces },
    options: placed,
    searchesOf: (ip) => pods?.searchesOf(ip),
  });
  const sockets = await openSockets(options, () => new Set(runtime.sandboxes().map(({ netns }) => netns)));
  const proxy = startProxy({
    ...(sockets && { sockets }),
    client,
    reconciler,
    kernel,
    options: placed,
    informers: { services, slices: endpointSlices, nodes, serviceCIDRs },
    metricsPort: METRICS_PORT,
  });
  const stopWays = watchServiceWays({ informers: { services, serviceCIDRs }, options: placed, nodeLink, reconciler });
  const policies = new Policies({ client, informers, reconciler, kernel, options: placed });
  step('DNS, Services and policies begun');
  const loadBalancer: LoadBalancer = await startNodeLoadBalancer({
    options: placed,
    nodeLink,
    reconciler,
    kernel,
    recorder: createRecorder(client, 'podwire-lb', { host: options.nodeName }),
    informers: { services, slices: endpointSlices, nodes },
  });

  const recorder = createRecorder(client, 'kubelet', { host: options.nodeName });
  const configs = new ConfigWatch(client);
  let drift: { close(): void } | undefined;
  let closed = false;
  const kubelet = await startKubeletServer({
    socketPath: join(options.stateDir, 'kubelet.sock'),
    stateDir: options.stateDir,
    runtime,
    findPod: (namespace, name) => pods?.get(namespace, name),
  });
  step('kubelet server');

  async function bringUp(): Promise<void> {
    const dnsReady = dns.ready.then(() => {
      step('DNS');
      node.done('DNS');
    });
    // A container's environment names the Services that are there when it starts.
    await Promise.all([services.synced, policies.known]);
    const parts = { client, runtime, network, policies, recorder, services, configs };
    pods = new Pods({ ...parts, starts: new StartQueue(STARTS), options: placed, allocatable: capacity });
    await Promise.all([
      pods.synced.then(() => step('pods')),
      proxy.ready.then(() => step('Services')),
      policies.ready,
      nodes.synced,
    ]);
    for (const part of ['network', 'Services', 'pods']) node.done(part);
    await Promise.all([registered, dnsReady]);
    await node.ready;
    step('Ready');
    // What is wanted is in force already; what an earlier agent left behind need not be waited for.
    setImmediate(() => {
      if (closed) return;
      drift = watchDrift({ nodeName: options.nodeName, reconciler, kernel });
      void repair(reconciler, options.nodeName);
    });
  }

  return {
    ready: bringUp(),
    timings,
    report: () => ({
      timings,
      dns: dns.status(),
      planned: reconciler.plan.size,
      overlay: overlay.settings,
      addresses: loadBalancer.report(),
      sandboxes: runtime.sandboxes().length,
      runningContainers: runtime.containers().filter((each) => each.state === 'running').length,
    }),
    changeOverlay: (settings, step) => overlay.change(settings, step),
    moveAddress: (ip, to) => loadBalancer.move(ip, to),
    async close(leave = false) {
      await loadBalancer.close(leave);
      node.close();
      cni.close();
      pods?.close();
      configs.close();
      await kubelet.close();
      dns.close();
      proxy.close();
      policies.close();
      sockets?.close();
      stopWatchingNodes();
      stopWays();
      paths?.close();
      closed = true;
      drift?.close();
      overlay.close();
      informers.close();
      ownNode.close();
      runtime.close();
      kernel.close();
      transport.close();
    },
  };
}

/** After the runtime has given this thread its mounts, among which the cgroup is. */
async function openSockets(
  { socketCgroup }: NodeOptions,
  namespaces: () => Iterable<string>,
): Promise<SocketServices | undefined> {
  if (socketCgroup === undefined) return undefined;
  const { SocketServices } = await import('./socket-services.ts');
  return new SocketServices({ cgroup: makeCgroup(socketCgroup), namespaces });
}

/** What the box chose, or what a cluster's controller gives the Node. */
function ownPodCIDRs(options: NodeOptions, node: NodeObject): Promise<readonly string[]> | readonly string[] {
  return options.podCIDRs.length > 0 ? options.podCIDRs : node.podCIDRs;
}

/** Every planner has spoken: what is left in the kernel of an earlier agent and in no plan goes. */
async function repair(reconciler: Reconciler, nodeName: string): Promise<void> {
  try {
    const repaired = await reconciler.repair();
    if (repaired.length > 0) log.info({ node: nodeName, repaired }, 'kernel state repaired');
  } catch (error) {
    log.error({ node: nodeName, err: error }, 'kernel state could not be repaired as a whole');
  }
}
