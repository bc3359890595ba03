// Three nodes with pods in namespaces of their own and a machine beside them, programmed with the real plan of an arbitrary cluster, and real
// packets through it: who answers, and of those that nobody answers, on which node they came to their end.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { familyOf } from '../../src/addr/ip.ts';
import { ensureFabric, type FabricOptions, removeFabric } from '../../src/cluster/fabric.ts';
import { netnsName } from '../../src/cluster/layout.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import type { Pod } from '../../src/objects/types.ts';
import type { Fragment } from '../../src/plan/plan.ts';
import { planPolicyBase } from '../../src/plan/policy/base.ts';
import { NodePolicies } from '../../src/plan/policy/node-policies.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import type { Reconciler } from '../../src/reconcile/reconciler.ts';
import { createNetns, inNetns, netnsPath, removeNamespace, socketIn } from '../../src/sys/netns.ts';
import { bindSocket, listenOn } from '../../src/sys/socket.ts';
import {
  clusterOf,
  DNS_IPS,
  NODE_CIDRS,
  NODES,
  nodeIPs,
  OUTSIDE,
  ownPodCIDRs,
  POD_CIDRS,
  podIPs,
  SERVICE_CIDRS,
} from '../../src/trace/cluster.fixture.ts';
import type { TracedCluster } from '../../src/trace/cluster.ts';
import { type OpenProbe, openProbe, type ProbeResult } from '../../src/trace/probe.ts';
import { orUndo } from '../set-up.ts';
import { CLAIMS, OPEN_PORTS, SLOTS, type TraceFlow, type TraceWorld } from './worlds.ts';

/** What is seen of a flow. */
export interface Seen {
  readonly result: ProbeResult | undefined;
  /** Names of the nodes that it came to and that did not pass it on. */
  readonly endedOn: readonly string[];
}

const ANSWER_LIMIT_MS = 30_000;
/** Flows are known by their source port: one for each. The first ports of services and of NodePorts are left out. */
const PORTS = { first: 10_000, last: 29_999 };

export class PacketWorld implements Disposable {
  readonly #name = `d${process.pid}`;
  readonly #host = netnsPath(`pwt-diff${process.pid}-host`);
  readonly #kernels: Kernel[] = [];
  readonly #reconcilers: Reconciler[] = [];
  readonly #closers: (() => void)[] = [];
  #plans: ReadonlyMap<string, Fragment>[] = [];
  #port = PORTS.first;

  constructor() {
    orUndo(
      () => this[Symbol.dispose](),
      () => this.#make(),
    );
  }

  #make(): void {
    createNetns(this.#host);
    ensureFabric(this.#fabric());
    for (const { node, slot } of SLOTS) createNetns(this.#podNetns(node, slot));
    for (const [i] of NODES.entries()) {
      const kernel = openKernel({ netns: this.#nodeNetns(i) });
      this.#kernels.push(kernel);
      this.#reconcilers.push(createReconciler(kernel));
      inNetns(this.#nodeNetns(i), () =>
        execFileSync('nft', ['-f', '-'], { input: WATCH, stdio: ['pipe', 'ignore', 'inherit'] }),
      );
    }
  }

  #fabric(): FabricOptions {
    const nodes = NODES.map((name, i) => ({ name, ips: nodeIPs(i), podCIDRs: ownPodCIDRs(i) }));
    const cidrs = { nodeCIDRs: NODE_CIDRS, podCIDRs: POD_CIDRS, serviceCIDRs: SERVICE_CIDRS };
    return { clusterName: this.#name, ...cidrs, mtu: 1500, nodes, hostNetns: this.#host };
  }

  #nodeNetns(i: number): string {
    return netnsPath(netnsName(this.#name, NODES[i]!));
  }

  #podNetns(node: number, slot: number): string {
    return netnsPath(`pwt-diff${process.pid}-${node}-${slot}`);
  }

  /** Pods keep their cables, whatever they are called. */
  #placeOf(pod: Pod): { sandboxId: string; netns: string } {
    const [, node, slot] = pod.metadata.name.split('-');
    return { sandboxId: `sandbox-${node}-${slot}`, netns: this.#podNetns(Number(node), Number(slot)) };
  }

  /** What the API would have of this world; as `podwire trace` sees it. */
  clusterOf(world: TraceWorld): TracedCluster {
    const isOpen = (port: number) => OPEN_PORTS.includes(port);
    return clusterOf(
      { ...world, claims: CLAIMS },
      {
        placeOf: (pod) => this.#placeOf(pod),
        listens: (at, _, port) => typeof at !== 'string' && isOpen(port),
      },
    );
  }

  /** Puts its plans into the nodes' kernels, as changes of what was there. */
  program(cluster: TracedCluster): void {
    const plans = NODES.map((name) => this.#planOf(cluster, name));
    for (const [i, plan] of plans.entries()) {
      const changes = new Map<string, Fragment | undefined>(plan);
      for (const key of this.#plans[i]?.keys() ?? []) if (!plan.has(key)) changes.set(key, undefined);
      this.#reconcilers[i]!.update(changes);
    }
    if (this.#plans.length === 0) this.#serve();
    this.#plans = plans;
  }

  #planOf(cluster: TracedCluster, name: (typeof NODES)[number]): Map<string, Fragment> {
    const view = cluster.views.get(name)!;
    const facts = { nodeName: name, families: [4, 6] as const, dnsIPs: DNS_IPS };
    const policies = new NodePolicies(cluster.parts.engine, facts);
    for (const { pod, ips } of cluster.podsOf(name)) {
      policies.target(`${pod.metadata.namespace}/${pod.metadata.name}`, view.linkOf(view.podWith(ips[0]!)!));
    }
    const fragments = [...policies.takeChanges()].filter((each): each is [string, Fragment] => each[1] !== undefined);
    return new Map([...view.plan, ['policy/base', planPolicyBase(facts)], ...fragments]);
  }

  /** Once the pods have their addresses. */
  #serve(): void {
    // A refusal must not get lost: the kernel sends few ICMP errors a second.
    const all = [
      ...SLOTS.map(({ node, slot }) => this.#podNetns(node, slot)),
      ...NODES.map((_, i) => this.#nodeNetns(i)),
    ];
    for (const netns of all) {
      inNetns(netns, () => {
        writeFileSync('/proc/sys/net/ipv4/icmp_ratemask', '0');
        writeFileSync('/proc/sys/net/ipv6/icmp/ratelimit', '0');
      });
    }
    for (const { node, slot } of SLOTS) {
      for (const ip of podIPs(node, slot))
        for (const port of OPEN_PORTS) this.#serveAt(this.#podNetns(node, slot), ip, port);
    }
  }

  #serveAt(netns: string, ip: string, port: number): void {
    const domain = familyOf(ip) === 4 ? 'inet' : 'inet6';
    const who = (from: string | undefined) => JSON.stringify({ at: ip, port, from });
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(who(socket.remoteAddress));
    });
    server.listen({ fd: listenOn(socketIn(netns, domain, 'stream'), ip, port) });
    const fd = socketIn(netns, domain, 'dgram');
    bindSocket(fd, ip, port);
    const socket = createSocket(domain === 'inet' ? 'udp4' : 'udp6');
    socket.on('error', () => {});
    socket.on('message', (_, from) => socket.send(who(from.address), from.port, from.address));
    socket.bind({ fd });
    this.#closers.push(
      () => server.close(),
      () => socket.close(),
    );
  }

  /**
   * Sends all at once. `mayBeLost` says of which nobody need wait for an answer: they are done when a node has taken them in and not passed
   * them on.
   */
  async send(flows: readonly TraceFlow[], mayBeLost: (i: number) => boolean): Promise<Seen[]> {
    for (const [i] of NODES.entries())
      for (const set of ['seen', 'passed']) this.#nft(i, 'flush', 'set', 'inet', 'pwt', set);
    const probes: OpenProbe[] = [];
    const results = new Map<number, ProbeResult>();
    try {
      for (const flow of flows) probes.push(this.#open(flow));
      for (const [i, probe] of probes.entries()) void probe.send().then((result) => results.set(i, result));
      let ended: (readonly string[])[] = [];
      const end = Date.now() + ANSWER_LIMIT_MS;
      for (let open = flows.length; open > 0 && Date.now() < end; ) {
        // What a node has taken in and not passed on twice over is not under way inside it.
        const before = ended;
        ended = this.#endings(probes);
        const isDone = (i: number) =>
          results.has(i) || (mayBeLost(i) && ended[i]!.length > 0 && ended[i]!.join() === before[i]?.join());
        open = flows.filter((_, i) => !isDone(i)).length;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return flows.map((_, i) => ({ result: results.get(i), endedOn: ended[i]! }));
    } finally {
      for (const [i, probe] of probes.entries()) if (!results.has(i)) probe.close();
    }
  }

  #open({ src, dst, protocol, port }: TraceFlow): OpenProbe {
    const fromPort = this.#port;
    this.#port = this.#port === PORTS.last ? PORTS.first : this.#port + 1;
    return openProbe({
      netns: this.#netnsOf(src),
      to: dst,
      port,
      protocol,
      fromPort,
      payload: '?',
      timeoutMs: ANSWER_LIMIT_MS,
    });
  }

  #netnsOf(src: string): string {
    const place = SLOTS.find(({ node, slot }) => podIPs(node, slot).includes(src));
    if (place) return this.#podNetns(place.node, place.slot);
    const node = NODES.findIndex((_, i) => nodeIPs(i).includes(src));
    if (node >= 0) return this.#nodeNetns(node);
    if (OUTSIDE.includes(src as (typeof OUTSIDE)[number])) return this.#host;
    throw new Error(`nobody here has ${src}`);
  }

  /** A packet may come by a node twice: what counts is whether it has left as often as it came. What has come is read first. */
  #endings(probes: readonly OpenProbe[]): string[][] {
    const nodes = NODES.map((_, i) => ({ seen: this.#counts(i, 'seen'), passed: this.#counts(i, 'passed') }));
    return probes.map(({ fromPort }) =>
      NODES.filter((_, i) => (nodes[i]!.seen.get(fromPort) ?? 0) > (nodes[i]!.passed.get(fromPort) ?? 0)),
    );
  }

  #counts(i: number, set: 'seen' | 'passed'): Map<number, number> {
    const text = this.#nft(i, 'list', 'set', 'inet', 'pwt', set);
    const counted = text.matchAll(/(\d+) counter packets (\d+)/g);
    return new Map([...counted].map(([, port, packets]) => [Number(port), Number(packets)]));
  }

  #nft(i: number, ...words: string[]): string {
    return inNetns(this.#nodeNetns(i), () =>
      execFileSync('nft', ['-n', ...words], { encoding: 'utf8', maxBuffer: 16 << 20 }),
    );
  }

  [Symbol.dispose](): void {
    for (const close of this.#closers) close();
    for (const reconciler of this.#reconcilers) reconciler.close();
    for (const kernel of this.#kernels) kernel.close();
    removeFabric(this.#name, this.#host);
    for (const { node, slot } of SLOTS) removeNamespace(this.#podNetns(node, slot));
    removeNamespace(this.#host);
  }
}

/** First and last on every way through a node: how often it has taken a packet in, and passed it on, to itself too. */
const WATCH = `table inet pwt {
  set seen { type inet_service; flags dynamic; size 65535; }
  set passed { type inet_service; flags dynamic; size 65535; }
  chain first { udp dport 8472 return; meta l4proto { tcp, udp } th sport ${PORTS.first}-${PORTS.last} add @seen { th sport counter }; }
  chain last { udp dport 8472 return; meta l4proto { tcp, udp } th sport ${PORTS.first}-${PORTS.last} add @passed { th sport counter }; }
  chain prerouting { type filter hook prerouting priority -250; jump first; }
  chain output { type filter hook output priority -250; jump first; }
  chain postrouting { type filter hook postrouting priority 300; jump last; }
  chain input { type filter hook input priority 300; jump last; }
}
`;
