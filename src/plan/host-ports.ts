// Room plan: published ports: what comes to a port of the node goes on to a pod. The agent and the CNI plugin have the same rules.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import { prefixContains } from '../addr/prefix.ts';
import type { Sysctl } from '../kernel/items.ts';
import type { ConntrackFilter } from '../kernel/kernel.ts';
import type { NftChain, NftElement, NftItem, NftRule, NftSet, NftStatement } from '../kernel/nft-items.ts';
import { hairpinSet, hostPortTargetsSet } from './proxy-base.ts';
import { HAIRPIN, HOST_PORT_TARGETS, type Place, placeOf, wordsOf } from './proxy-names.ts';

export interface HostPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** Absent: every address of the node. 0.0.0.0 and :: are every address of their family. */
  readonly hostIP?: IP;
}

const PORTS = 'host-ports';
const ADDRESS_PORTS = 'host-address-ports';
/** protocol . port of those of every address that the node's 127.0.0.1 leads to, where it does not lead to all. */
const LOOPBACK_PORTS = 'loopback-ports';
const PUBLISH = 'publish';
const PUBLISH_LOOPBACK = 'publish-loopback';
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
/** Behind the Services: where one of theirs has the same port, it is theirs. */
const PRIORITY = -99;
const RAW = -300;
const LOOPBACK = { 4: '127.0.0.0/8', 6: '::1' } as const;
/** The source of whoever asks there and says nothing else. */
export const LOOPBACK_SOURCE: IP = '127.0.0.1';
const UNSPECIFIED: readonly IP[] = ['0.0.0.0', '::'];

/** Which ports are reached by the node's 127.0.0.1 too; some: those of `loopbackPorts`, and of a `hostIP` there. Never by ::1. */
export type OnLoopback = 'all' | 'some';

/** What all published ports of a table share. */
export function hostPortBase(family: Family, place: Place, loopback: OnLoopback): NftItem[] {
  const onLoopback = family === 4 ? loopback : undefined;
  const { address } = wordsOf(family);
  const data = [address, 'inet_service'] as const;
  return [
    { kind: 'table', ...place },
    { kind: 'set', ...place, set: PORTS, key: ['inet_proto', 'inet_service'], data },
    { kind: 'set', ...place, set: ADDRESS_PORTS, key: [address, 'inet_proto', 'inet_service'], data },
    ...(onLoopback === 'some' ? [loopbackSet(place), loopbackChain(family, place)] : []),
    publishChain(family, place),
    ...hooks(family, place, onLoopback),
    ...(onLoopback ? [loopbackGuard(place)] : []),
  ];
}

/** One rule a protocol: nft takes a port translation only after a protocol. A port of one address comes before one of all. */
function publishChain(family: Family, place: Place): NftChain {
  const rules = PROTOCOLS.flatMap((protocol) => [
    toPortOfAddress(family, protocol),
    { statements: [ofProtocol(protocol), { kind: 'dnat', key: ['meta l4proto', 'th dport'], map: PORTS } as const] },
  ]);
  return { kind: 'chain', ...place, chain: PUBLISH, rules };
}

function toPortOfAddress(family: Family, protocol: HostPort['protocol']): NftRule {
  const key = [wordsOf(family).daddr, 'meta l4proto', 'th dport'] as const;
  return { statements: [ofProtocol(protocol), { kind: 'dnat', key, map: ADDRESS_PORTS }] };
}

function ofProtocol(protocol: HostPort['protocol']): NftStatement {
  return { kind: 'match', left: 'meta l4proto', right: protocol };
}

/** Of what goes to 127.0.0.0/8: ports of just that address, and those of every address that are to be reached there. */
function loopbackChain(family: Family, place: Place): NftChain {
  const ofSome: NftStatement = { kind: 'lookup', key: ['meta l4proto', 'th dport'], set: LOOPBACK_PORTS };
  const publish: NftStatement = { kind: 'verdict', verdict: 'goto', chain: PUBLISH };
  const rules = PROTOCOLS.map((protocol) => toPortOfAddress(family, protocol));
  return { kind: 'chain', ...place, chain: PUBLISH_LOOPBACK, rules: [...rules, { statements: [ofSome, publish] }] };
}

/** What comes in, from pods of the node too, meets prerouting; what the node itself sends, output. */
function hooks(family: Family, place: Place, onLoopback: OnLoopback | undefined): NftChain[] {
  const local: NftStatement = { kind: 'match', left: 'fib daddr type', right: 'local' };
  // A packet to 127.0.0.1 must not leave the node (RFC 1122, 3.2.1.3), unless links are told that it may; to ::1 it never can.
  const { daddr } = wordsOf(family);
  const toLoopback: NftStatement = { kind: 'match', left: daddr, right: LOOPBACK[family] };
  const publish: NftStatement = { kind: 'verdict', verdict: 'jump', chain: PUBLISH };
  const publishLoopback: NftStatement = { kind: 'verdict', verdict: 'jump', chain: PUBLISH_LOOPBACK };
  const output: NftStatement[][] = [
    onLoopback === 'all' ? [local, publish] : [{ ...toLoopback, not: true }, local, publish],
    ...(onLoopback === 'some' ? [[toLoopback, publishLoopback]] : []),
  ];
  return (['prerouting', 'output'] as const).map((hook) => ({
    kind: 'chain',
    ...place,
    chain: `${PORTS}-${hook}`,
    base: { type: 'nat', hook, priority: PRIORITY },
    rules: (hook === 'output' ? output : [[local, publish]]).map((statements) => ({ statements })),
  }));
}

function loopbackSet(place: Place): NftSet {
  return { kind: 'set', ...place, set: LOOPBACK_PORTS, key: ['inet_proto', 'inet_service'] };
}

/** Elements for those of a pod's ports of every address that 127.0.0.1 leads to: for whoever is on a link with `loopbackSysctls`. */
export function loopbackPorts(place: Place, ports: readonly HostPort[], comment: string): NftElement[] {
  return portsOf(4, ports)
    .filter(({ hostIP }) => hostIP === undefined)
    .map(({ protocol, hostPort }) => ({
      kind: 'element',
      ...place,
      set: LOOPBACK_PORTS,
      key: [protocol, hostPort],
      comment,
    }));
}

/** A link that lets 127.0.0.1 out lets it in too: without this a pod would reach what listens there for the node alone. */
function loopbackGuard(place: Place): NftChain {
  const statements: NftStatement[] = [
    { kind: 'match', left: 'iifname', not: true, right: 'lo' },
    { kind: 'match', left: wordsOf(4).daddr, right: LOOPBACK[4] },
    { kind: 'verdict', verdict: 'drop' },
  ];
  const base = { type: 'filter', hook: 'prerouting', priority: RAW } as const;
  return { kind: 'chain', ...place, chain: `${PORTS}-guard`, base, rules: [{ statements }] };
}

/** Where the ports lead: `to` is the pod's address of the place's family. */
export function hostPortElements(place: Place, to: IP, ports: readonly HostPort[], comment: string): NftElement[] {
  return portsOf(familyOf(to), ports).map(({ hostIP, protocol, hostPort, containerPort }) => ({
    kind: 'element',
    ...place,
    set: hostIP === undefined ? PORTS : ADDRESS_PORTS,
    key: [...(hostIP === undefined ? [] : [hostIP]), protocol, hostPort],
    data: [to, containerPort],
    comment,
  }));
}

/** Those of the family, without `hostIP` where that is every address. */
export function portsOf(family: Family, ports: readonly HostPort[]): HostPort[] {
  return ports
    .filter(({ hostIP }) => hostIP === undefined || familyOf(hostIP) === family)
    .map(({ hostIP, ...port }) => (hostIP === undefined || UNSPECIFIED.includes(hostIP) ? port : { ...port, hostIP }));
}

/** 127.0.0.1 is an address of the node like any other; ::1 cannot be, for which Linux has no such thing as route_localnet. */
export function areOnLoopback(ports: readonly HostPort[]): boolean {
  return portsOf(4, ports).some(isOnLoopback);
}

function isOnLoopback({ hostIP }: HostPort): boolean {
  return hostIP === undefined || isLoopback(hostIP);
}

/** 127.0.0.0/8 */
export function isLoopback(ip: IP): boolean {
  return prefixContains(LOOPBACK[4], ip);
}

export interface PublishedPod {
  readonly podNamespace: string;
  readonly podName: string;
  /** At most one per family. */
  readonly ips: readonly IP[];
  readonly hostPorts: readonly HostPort[];
}

/** What a pod's ports are in the node's own table: the pod sees who asks, but where it asks itself. */
export function publishPod({ podNamespace, podName, ips, hostPorts }: PublishedPod): NftItem[] {
  if (hostPorts.length === 0) return [];
  const comment = `Pod/${podNamespace}/${podName}`.slice(0, 127);
  return ips.flatMap((ip): NftItem[] => {
    const family = familyOf(ip);
    const place = placeOf(family);
    const targets = portsOf(family, hostPorts).map(({ protocol, containerPort }) => [ip, protocol, containerPort]);
    const element = { kind: 'element', ...place, comment } as const;
    return [
      ...hostPortBase(family, place, 'all'),
      hairpinSet(family),
      hostPortTargetsSet(family),
      ...hostPortElements(place, ip, hostPorts, comment),
      { ...element, set: HAIRPIN, key: [ip, ip] },
      ...(family === 4 && areOnLoopback(hostPorts) ? [{ ...element, set: HAIRPIN, key: [LOOPBACK_SOURCE, ip] }] : []),
      ...targets.map((key) => ({ ...element, set: HOST_PORT_TARGETS, key })),
    ];
  });
}

/** The node's end of its veth carries what 127.0.0.1 asked, and the answers. */
export function loopbackSysctls(link: string, { ips, hostPorts }: Pick<PublishedPod, 'ips' | 'hostPorts'>): Sysctl[] {
  if (!ips.some((ip) => familyOf(ip) === 4) || !areOnLoopback(hostPorts)) return [];
  return [{ kind: 'sysctl', key: `net/ipv4/conf/${link}/route_localnet`, value: '1' }];
}

/** UDP has no end: a client that went on speaking to the port would be sent where it was sent before the pod was there. */
export function staleHostPortFlows({ ips, hostPorts }: PublishedPod, nodeIPs: readonly IP[]): ConntrackFilter[] {
  const udp = hostPorts.filter(({ protocol }) => protocol === 'udp');
  return ips.flatMap((ip) =>
    portsOf(familyOf(ip), udp).flatMap(({ hostIP, hostPort, containerPort }) =>
      (hostIP === undefined
        ? [...nodeIPs, LOOPBACK_SOURCE].filter((each) => familyOf(each) === familyOf(ip))
        : [hostIP]
      ).map(
        (originalDst): ConntrackFilter => ({
          protocol: 'UDP',
          originalDst,
          originalDstPort: hostPort,
          except: [{ ip, port: containerPort }],
        }),
      ),
    ),
  );
}
