// Room trace: a node as its agent plans it: the same fragments from the same functions, put together as soon as a packet comes by.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, parsePrefix, prefixContains } from '../addr/prefix.ts';
import type { KernelItem, Route } from '../kernel/items.ts';
import type { NftItem } from '../kernel/nft-items.ts';
import { podHostPorts } from '../objects/pod-ports.ts';
import { type EndpointSlice, type Node, type ObjectRef, objectKey, type Pod, type Service } from '../objects/types.ts';
import { causeOf } from '../plan/frontends.ts';
import { planAddress } from '../plan/lb.ts';
import { masqueradeFragmentKey, planMasqueradeBase, planNodeAddresses } from '../plan/masquerade.ts';
import { planNode } from '../plan/node.ts';
import type { OverlayFacts, RemoteNode } from '../plan/overlay/backend.ts';
import { overlayMtu, planOverlay, planRemoteNode } from '../plan/overlay/overlay.ts';
import type { Fragment } from '../plan/plan.ts';
import { planPod, podLinkName } from '../plan/pods.ts';
import { planProxyBase } from '../plan/proxy-base.ts';
import { type NodeFacts, placeOf } from '../plan/proxy-names.ts';
import { externalPrefixes, planServiceWays } from '../plan/service-ways.ts';
import { planService, serviceFragmentKey } from '../plan/services.ts';
import type { Protocol } from './hop.ts';
import { Ruleset } from './packet-walk.ts';

/** What a node knows of itself, and what of the others. */
export interface NodeKnows {
  readonly facts: NodeFacts;
  readonly overlay: OverlayFacts;
  readonly remotes: readonly RemoteNode[];
  /** Load balancer addresses for which it answers. */
  readonly claims: readonly IP[];
}

/** A pod that has a place on the network of its own. */
export interface PlacedPod {
  readonly pod: Pod;
  readonly ips: readonly IP[];
  readonly sandboxId: string;
  /** Path of its namespace. */
  readonly netns: string;
}

export interface NodeObjects {
  readonly nodes: readonly Node[];
  readonly services: readonly Service[];
  /** By key of the Service. */
  readonly slices: ReadonlyMap<string, readonly EndpointSlice[]>;
  /** Of this node. */
  readonly pods: readonly PlacedPod[];
}

export interface RouteFound {
  readonly route: Route;
  readonly cause: ObjectRef;
}

export class NodeView {
  readonly name: string;
  readonly knows: NodeKnows;
  readonly #objects: NodeObjects;
  readonly #rules = new Map<Family, Ruleset>();
  #plan: ReadonlyMap<string, Fragment> | undefined;
  #routes: readonly RouteFound[] | undefined;

  constructor(knows: NodeKnows, objects: NodeObjects) {
    this.name = knows.facts.nodeName;
    this.knows = knows;
    this.#objects = objects;
  }

  /** All of it but NetworkPolicies, which the engine judges. */
  get plan(): ReadonlyMap<string, Fragment> {
    this.#plan ??= planOf(this.knows, this.#objects);
    return this.#plan;
  }

  get items(): KernelItem[] {
    return [...this.plan.values()].flatMap(({ items }) => items);
  }

  /** Services, masquerade and published ports of one family. */
  rules(family: Family): Ruleset {
    const known = this.#rules.get(family);
    if (known) return known;
    const { table, family: word } = placeOf(family);
    const isOf = (item: KernelItem): item is NftItem => 'table' in item && item.table === table && item.family === word;
    const rules = new Ruleset(this.items.filter(isOf));
    this.#rules.set(family, rules);
    return rules;
  }

  podWith(ip: IP): PlacedPod | undefined {
    return this.#objects.pods.find(({ ips }) => ips.includes(ip));
  }

  linkOf({ sandboxId }: PlacedPod): string {
    return podLinkName(sandboxId);
  }

  /** Whether packets to the address end on the node itself. */
  isLocal(ip: IP): boolean {
    const { facts, claims } = this.knows;
    return facts.nodeIPs.includes(ip) || facts.dnsIPs.includes(ip) || claims.includes(ip);
  }

  /** The longest prefix among the plan's routes and the segment on which the node has its own address. */
  routeTo(ip: IP): RouteFound | undefined {
    this.#routes ??= routesOf(this.plan, this.knows.overlay);
    const found = this.#routes.find(({ route }) => prefixContains(route.dst, ip));
    return found?.route.type === 'unreachable' || found?.route.type === 'blackhole' ? undefined : found;
  }
}

function planOf(knows: NodeKnows, { nodes, services, slices, pods }: NodeObjects): Map<string, Fragment> {
  const { facts, overlay, remotes, claims } = knows;
  const plan = new Map<string, Fragment>();
  const set = (key: string, fragment: Fragment | undefined) => fragment && plan.set(key, fragment);
  set('node', planNode({ ...facts, ...overlay }));
  set('overlay', planOverlay(overlay));
  for (const remote of remotes) set(`node/${remote.name}`, planRemoteNode(overlay, remote));
  for (const { pod, ips, sandboxId, netns } of pods) {
    const { namespace: podNamespace = 'default', name: podName } = pod.metadata;
    const place = { sandboxId, podNamespace, podName, netns, ips, nodeIPs: facts.nodeIPs, mtu: overlayMtu(overlay) };
    const hostPorts = podHostPorts(pod).map((port) => ({ ...port, protocol: protocolWord(port.protocol) }));
    const fastPath = overlay.fastPath === true;
    set(`pod/${sandboxId}`, planPod({ ...place, hostPorts, fastPath }));
  }
  set('proxy/base', planProxyBase(facts));
  set('masquerade/base', planMasqueradeBase(facts));
  for (const node of nodes) set(masqueradeFragmentKey(node.metadata.name), planNodeAddresses(node, facts));
  const { nodeIPs, podCIDRs, serviceCIDRs } = facts;
  const ways = {
    nodeIPs,
    nodeLink: overlay.nodeLink,
    knownCIDRs: [...overlay.nodeCIDRs, ...podCIDRs, ...serviceCIDRs],
  };
  for (const service of services) {
    const key = objectKey(service);
    set(serviceFragmentKey(key), planService(service, slices.get(key) ?? [], facts));
    set(`service-ways/Service/${key}`, planServiceWays(causeOf(service), externalPrefixes(service), ways));
  }
  const balanced = services.find(({ spec }) => spec.type === 'LoadBalancer');
  for (const ip of claims) {
    const { namespace = 'default', name = '' } = balanced?.metadata ?? {};
    const service = { kind: 'Service', namespace, name };
    set(`lb/${ip}`, planAddress({ ip, link: overlay.nodeLink, nodeIPs: facts.nodeIPs, service }));
  }
  return plan;
}

function routesOf(plan: ReadonlyMap<string, Fragment>, overlay: OverlayFacts): RouteFound[] {
  const planned = [...plan.values()].flatMap(({ items, cause }) =>
    items.flatMap((item) => (item.kind === 'route' && item.netns === undefined ? [{ route: item, cause }] : [])),
  );
  const cause: ObjectRef = { kind: 'Node', name: overlay.nodeName };
  const connected = overlay.segmentCIDRs.map((dst: CIDR): RouteFound => {
    const route: Route = { kind: 'route', dst, type: 'unicast', link: overlay.nodeLink, scope: 'link' };
    return { route, cause };
  });
  const length = ({ route }: RouteFound) => parsePrefix(route.dst).length;
  return [...planned, ...connected].sort((a, b) => length(b) - length(a));
}

export function sameFamily(ips: readonly IP[], family: Family): IP | undefined {
  return ips.find((ip) => familyOf(ip) === family);
}

export function protocolWord(protocol: Protocol): 'tcp' | 'udp' | 'sctp' {
  return protocol.toLowerCase() as 'tcp' | 'udp' | 'sctp';
}
