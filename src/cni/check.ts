// Room cni: CHECK: what an ADD made compared with what is there; every difference is told.
import { familyOf } from '../addr/ip.ts';
import { hostPrefix, networkOf, parsePrefix } from '../addr/prefix.ts';
import { identityOf, satisfies } from '../kernel/identity.ts';
import { type KernelItem, ROUTE_PROTOCOL } from '../kernel/items.ts';
import { openNft } from '../kernel/nft-linux.ts';
import { readSysctl } from '../kernel/sysctls.ts';
import { bucketOf } from '../plan/bandwidth.ts';
import { loopbackSysctls } from '../plan/host-ports.ts';
import { GATEWAYS } from '../plan/pods.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeAddress, getAddresses } from '../wire/netlink/address.ts';
import { decodeNeighbour, getNeighbours } from '../wire/netlink/neighbour.ts';
import { decodeQdisc, getQdiscs } from '../wire/netlink/qdisc.ts';
import { decodeRoute, getRoutes, RT_TABLE_MAIN } from '../wire/netlink/route.ts';
import { addressesOf } from './add.ts';
import { type Attachment, Attachments } from './attachment.ts';
import type { NetConfig } from './config.ts';
import { CniError, CODE } from './error.ts';
import { ipamOf } from './ipam.ts';
import { checkNamespace } from './namespace.ts';
import { environment, type Request } from './request.ts';
import type { Result } from './result.ts';
import { needsRules, ownRules, sharedParts } from './rules.ts';
import { endsOf, linkIn, linkNameOf } from './wiring.ts';

/** Throws a CniError (101) whose message lists what drifted. What later plugins of the chain added or tuned is theirs. */
export function check(config: NetConfig, request: Request): void {
  const { attachment, previous } = toCheck(config, request);
  checkNamespace(request.netns!);
  ipamOf(config, request)?.check(attachment);
  const drift = [...interfaceDrift(attachment, previous), ...bucketDrift(attachment), ...ruleDrift(attachment)];
  if (drift.length > 0) throw new CniError(CODE.drifted, drift.join('; '));
}

/** What is known of it, and what its ADD said. */
export function toCheck(config: NetConfig, request: Request): { attachment: Attachment; previous: Result } {
  const previous = config.prevResult;
  if (!previous) config.reader.fail('prevResult', 'must be given for CHECK');
  const attachment = new Attachments(config.dataDir, config.name, request.host.files).get(request);
  if (!attachment) {
    throw new CniError(
      CODE.unknownContainer,
      `network ${config.name} knows no container ${request.containerID} with ${request.ifname}`,
    );
  }
  if (attachment.netns !== request.netns)
    throw environment('CNI_NETNS', `${attachment.netns} was attached, not ${request.netns}`);
  return { attachment, previous };
}

/** `nodeNetns`: where the node's end of the veth is; absent: the thread's own. */
export function interfaceDrift(attachment: Attachment, previous: Result, nodeNetns?: string): string[] {
  const { netns, ifname, ownsLink } = attachment;
  const link = linkIn(netns, ifname);
  if (!link) return [`${ifname} is gone`];
  const told = previous.interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined);
  const drift: string[] = [];
  if (!link.up) drift.push(`${ifname} is down`);
  if (told?.mac && link.mac !== told.mac.toLowerCase())
    drift.push(`${ifname} has the MAC ${link.mac}, not ${told.mac}`);
  if (told?.mtu && link.mtu !== told.mtu) drift.push(`${ifname} has the MTU ${link.mtu}, not ${told.mtu}`);
  using inside = new NetlinkSocket(NETLINK.ROUTE, netns);
  const addresses = addressesIn(inside, link.index);
  for (const { ip, address } of addressesOf(previous, ifname)) {
    if (!addresses.includes(ip)) drift.push(`${ifname} has lost its address ${address}`);
  }
  if (!ownsLink || addresses.length === 0) return drift;
  return [
    ...drift,
    ...routeDrift(inside, link.index, previous),
    ...gatewayDrift(inside, link.index, attachment),
    ...nodeDrift(attachment, nodeNetns),
    ...macDrift(attachment, link.mac, nodeNetns),
  ];
}

/** A plugin further down the chain (tuning) has given the interface another MAC, and both ends go on sending to the one before. */
function macDrift(attachment: Attachment, mac: string | undefined, netns: string | undefined): string[] {
  const outer = linkIn(netns, linkNameOf(attachment));
  if (!outer) return [];
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  const known = [...new Set(attachment.ips.map(familyOf))]
    .flatMap((family) => socket.dump(getNeighbours(family)).map(decodeNeighbour))
    .find((each) => each.index === outer.index && each.permanent && each.ip && attachment.ips.includes(each.ip));
  if (!known?.mac || known.mac === mac) return [];
  return [
    `${attachment.ifname} has the MAC ${mac}, and the node sends to ${known.mac}: give the MAC to podwire-cni instead`,
  ];
}

function addressesIn(socket: NetlinkSocket, index: number): string[] {
  return ([4, 6] as const)
    .flatMap((family) => socket.dump(getAddresses(family)).map(decodeAddress))
    .filter((state) => state.index === index)
    .map(({ address }) => parsePrefix(address).ip);
}

function routeDrift(inside: NetlinkSocket, index: number, previous: Result): string[] {
  const ours = previous.routes.filter(({ gw, dst }) => gw === GATEWAYS[familyOf(dst)]);
  const have = routesOn(inside, index);
  return ours
    .filter(({ dst }) => !have.includes(networkOf(dst)))
    .map(({ dst, gw }) => `the route to ${dst} via ${gw} is gone`);
}

function routesOn(socket: NetlinkSocket, index: number): string[] {
  return ([4, 6] as const)
    .flatMap((family) =>
      socket.dump(getRoutes(family, ROUTE_PROTOCOL, RT_TABLE_MAIN)).flatMap((each) => decodeRoute(each) ?? []),
    )
    .filter((route) => route.index === index)
    .map(({ dst }) => networkOf(dst));
}

/** Where a MAC was asked for, the kernel answers for the gateway, and whoever sets it once more takes the neighbour away. */
function gatewayDrift(inside: NetlinkSocket, index: number, { ips, mac }: Attachment): string[] {
  if (mac !== undefined) return [];
  const families = [...new Set(ips.map(familyOf))];
  return families
    .filter((family) => {
      const have = inside.dump(getNeighbours(family)).map(decodeNeighbour);
      return !have.some((each) => each.index === index && each.permanent && each.ip === GATEWAYS[family]);
    })
    .map((family) => `the neighbour ${GATEWAYS[family]} is gone`);
}

function nodeDrift(attachment: Attachment, netns: string | undefined): string[] {
  const name = linkNameOf(attachment);
  const link = linkIn(netns, name);
  if (!link) return [`the node's ${name} is gone`];
  if (!link.up) return [`the node's ${name} is down`];
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  const have = routesOn(socket, link.index);
  const lost = attachment.ips.filter((ip) => !have.includes(hostPrefix(ip)));
  return [
    ...lost.map((ip) => `the node's route to ${hostPrefix(ip)} is gone`),
    ...loopbackDrift(attachment, name, netns),
  ];
}

function loopbackDrift({ ips, portMappings }: Attachment, link: string, netns: string | undefined): string[] {
  return loopbackSysctls(link, { ips, hostPorts: portMappings }).flatMap((wanted) => {
    const value = readSysctl(wanted, netns);
    if (value === wanted.value) return [];
    return [`the node's ${link} keeps 127.0.0.1 from the container: route_localnet is ${value}`];
  });
}

function bucketDrift(attachment: Attachment): string[] {
  const { ingress, egress } = attachment.bandwidth;
  if (!ingress && !egress) return [];
  if (!linkIn(attachment.netns, attachment.ifname)) return [];
  const { outer, inner } = endsOf(attachment);
  const ends = [
    ['ingress', undefined, outer, ingress],
    ['egress', attachment.netns, inner.index, egress],
  ] as const;
  return ends.flatMap(([direction, netns, index, shape]) => {
    if (!shape || index === undefined) return [];
    using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
    const have = socket
      .dump(getQdiscs())
      .map(decodeQdisc)
      .find((each) => each.index === index && each.root);
    if (have?.kind !== 'tbf') return [`the ${direction} limit of ${shape.rate} bit/s is gone`];
    if (have.rate === bucketOf(shape).rate) return [];
    return [`the ${direction} limit is ${(have.rate ?? 0) * 8} bit/s, not ${shape.rate}`];
  });
}

function ruleDrift(attachment: Attachment): string[] {
  if (!needsRules(attachment)) return [];
  const nft = openNft(undefined);
  try {
    return differences(nft.read(), [
      ...sharedParts(attachment).flatMap((part) => part.items()),
      ...ownRules(attachment),
    ]);
  } finally {
    nft.close();
  }
}

/** What of `want` is not in the kernel, or not as it should be. */
export function differences(have: readonly KernelItem[], want: readonly KernelItem[]): string[] {
  const known = new Map(have.map((item) => [identityOf(item), item]));
  return want.flatMap((item) => {
    const found = known.get(identityOf(item));
    if (!found) return [`nft ${identityOf(item)} is gone`];
    return satisfies(found, item) ? [] : [`nft ${identityOf(item)} has changed`];
  });
}
