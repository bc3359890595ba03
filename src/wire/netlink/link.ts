// Room wire: rtnetlink links (linux/if_link.h): veth pairs born across namespaces, bridges, VXLAN devices.
import { formatIP, type IP, ipBytes } from '../../addr/ip.ts';
import { formatMAC, type MAC, macBytes } from '../../addr/mac.ts';
import { Attributes, AttributeWriter } from './attributes.ts';
import { type NetlinkMessage, type NetlinkRequest, NLM_F } from './message.ts';
import { AF_INET, AF_INET6, RTM, structOf } from './rtnetlink.ts';

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  LINKINFO: 18,
  GROUP: 27,
  NET_NS_FD: 28,
  LINK_NETNSID: 37,
  EXT_MASK: 29,
  AF_SPEC: 26,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
};
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN = { ID: 1, LOCAL: 4, LEARNING: 7, PORT: 15, LOCAL6: 17 };
const IFLA_INET_CONF = 1;
/** By their names in net/ipv4/conf (linux/ip.h). */
const IPV4_DEVCONF = { rp_filter: 8, route_localnet: 26 } as const;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFLA_IPTUN = { LOCAL: 2, PMTUDISC: 10 };
const IFF_UP = 1;
/** Leaves per-link statistics out of dumps. */
const RTEXT_FILTER_SKIP_STATS = 8;
const IFINFOMSG_LENGTH = 16;

export interface VxlanOptions {
  readonly vni: number;
  readonly local: IP;
  readonly port: number;
}

export type LinkKind =
  /** `netns` is an open fd of the namespace in which the peer is born; absent: next to its twin. It cannot be born up. */
  | { readonly kind: 'veth'; readonly peer: { name: string; netns?: number; mac?: MAC; mtu?: number } }
  | { readonly kind: 'bridge' }
  /** Learns nothing from packets: entries are programmed. */
  | ({ readonly kind: 'vxlan' } & VxlanOptions)
  /** No far end: each packet goes to the gateway of its route. */
  | { readonly kind: 'ipip'; readonly local: IP };

/** What is set on a link; absent fields stay as they are. */
export interface LinkSettings {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: MAC;
  /** Index of the bridge, 0 to leave it. */
  readonly master?: number;
  readonly group?: number;
}

export type LinkSelector = { readonly index: number } | { readonly name: string };

function ifinfomsg(index: number, up?: boolean): Uint8Array {
  return new Uint8Array(Int32Array.of(0, index, up ? IFF_UP : 0, up === undefined ? 0 : IFF_UP).buffer);
}

function begin(selector: LinkSelector, settings: LinkSettings): AttributeWriter {
  const index = 'index' in selector ? selector.index : 0;
  const writer = new AttributeWriter().struct(ifinfomsg(index, settings.up));
  if ('name' in selector) writer.string(IFLA.IFNAME, selector.name);
  if (settings.mtu !== undefined) writer.u32(IFLA.MTU, settings.mtu);
  if (settings.mac !== undefined) writer.bytes(IFLA.ADDRESS, macBytes(settings.mac));
  if (settings.master !== undefined) writer.u32(IFLA.MASTER, settings.master);
  if (settings.group !== undefined) writer.u32(IFLA.GROUP, settings.group);
  return writer;
}

/**
 * Creates a link with all its settings at once. EEXIST when the name is taken. A veth is told back (linkIndexes), by kernels since 6.2.
 */
export function newLink(name: string, kind: LinkKind, settings: LinkSettings): NetlinkRequest {
  const writer = begin({ name }, settings);
  if (kind.kind === 'veth') oneQueue(writer);
  writer.nested(IFLA.LINKINFO, (info) => {
    info.string(IFLA_INFO_KIND, kind.kind);
    if (kind.kind === 'veth')
      info.nested(IFLA_INFO_DATA, (data) => data.nested(VETH_INFO_PEER, (w) => peer(w, kind.peer)));
    if (kind.kind === 'ipip') info.nested(IFLA_INFO_DATA, (data) => ipip(data, kind.local));
    if (kind.kind === 'vxlan') info.nested(IFLA_INFO_DATA, (data) => vxlan(data, kind));
  });
  const echo = kind.kind === 'veth' ? NLM_F.ECHO : 0;
  return { type: RTM.NEWLINK, flags: NLM_F.CREATE | NLM_F.EXCL | echo, body: writer.finish() };
}

/**
 * The kernel makes one for each processor and takes all but one away again, which is more work than all else that a veth needs, and
 * waits for readers (RCU) meanwhile.
 */
function oneQueue(writer: AttributeWriter): void {
  writer.u32(IFLA.NUM_TX_QUEUES, 1).u32(IFLA.NUM_RX_QUEUES, 1);
}

function peer(writer: AttributeWriter, end: { name: string; netns?: number; mac?: MAC; mtu?: number }): void {
  writer.struct(ifinfomsg(0)).string(IFLA.IFNAME, end.name);
  oneQueue(writer);
  if (end.mtu !== undefined) writer.u32(IFLA.MTU, end.mtu);
  if (end.mac !== undefined) writer.bytes(IFLA.ADDRESS, macBytes(end.mac));
  if (end.netns !== undefined) writer.u32(IFLA.NET_NS_FD, end.netns);
}

function vxlan(writer: AttributeWriter, options: VxlanOptions): void {
  const local = ipBytes(options.local);
  writer.u32(IFLA_VXLAN.ID, options.vni);
  writer.bytes(local.length === 4 ? IFLA_VXLAN.LOCAL : IFLA_VXLAN.LOCAL6, local);
  writer.u8(IFLA_VXLAN.LEARNING, 0).u16be(IFLA_VXLAN.PORT, options.port);
}

function ipip(writer: AttributeWriter, local: IP): void {
  writer.bytes(IFLA_IPTUN.LOCAL, ipBytes(local)).u8(IFLA_IPTUN.PMTUDISC, 1);
}

/** Changes an existing link. ENODEV when there is none. */
export function setLink(selector: LinkSelector, settings: LinkSettings): NetlinkRequest {
  return { type: RTM.NEWLINK, flags: 0, body: begin(selector, settings).finish() };
}

export type IPv4Setting = keyof typeof IPV4_DEVCONF;

export function isIPv4Setting(name: string): name is IPv4Setting {
  return Object.hasOwn(IPV4_DEVCONF, name);
}

/** net/ipv4/conf/NAME/SETTING, without the way over a file. */
export function setIPv4(name: string, settings: readonly (readonly [IPv4Setting, number])[]): NetlinkRequest {
  const body = begin({ name }, {}).nested(IFLA.AF_SPEC, (families) =>
    families.nested(AF_INET, (inet) =>
      inet.nested(IFLA_INET_CONF, (conf) => {
        for (const [setting, value] of settings) conf.u32(IPV4_DEVCONF[setting], value);
      }),
    ),
  );
  return { type: RTM.NEWLINK, flags: 0, body: body.finish() };
}

/** From then on the link gets no IPv6 link-local address when it comes up. EAFNOSUPPORT where it has no IPv6 at all. */
export function setNoLinkLocal(name: string): NetlinkRequest {
  const body = begin({ name }, {}).nested(IFLA.AF_SPEC, (families) =>
    families.nested(AF_INET6, (inet6) => inet6.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
  );
  return { type: RTM.NEWLINK, flags: 0, body: body.finish() };
}

/** Deletes one link, or all of a group in one go: the wait for readers (16-20 ms) is then paid once. */
export function deleteLink(selector: LinkSelector | { readonly group: number }): NetlinkRequest {
  const group = 'group' in selector;
  const writer = group ? begin({ index: 0 }, { group: selector.group }) : begin(selector, {});
  return { type: RTM.DELLINK, flags: 0, body: writer.finish() };
}

/** One link, or with no selector all of them (a dump). */
export function getLink(selector?: LinkSelector): NetlinkRequest {
  const writer = begin(selector ?? { index: 0 }, {});
  return { type: RTM.GETLINK, flags: 0, body: writer.u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS).finish() };
}

/** A link as the kernel tells it. */
export interface LinkState {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: MAC | undefined;
  /** Index of the bridge; 0: none. */
  readonly master: number;
  readonly group: number;
  /** Index of a veth's other end, in the namespace where that lives. */
  readonly peerIndex: number | undefined;
  /** Id of that namespace in this one; undefined when it is this one. */
  readonly peerNsid: number | undefined;
  /** `veth`, `bridge`, …; undefined for devices without a kind, such as lo. */
  readonly kind: string | undefined;
  readonly vxlan: (VxlanOptions & { learning: boolean }) | undefined;
  readonly ipip: { readonly local: IP } | undefined;
}

/** Throws a NetlinkFormatError when the message is malformed. */
export function decodeLink(message: NetlinkMessage): LinkState {
  const header = structOf(message, IFINFOMSG_LENGTH);
  const attributes = new Attributes(message.body, IFINFOMSG_LENGTH);
  const mac = attributes.bytes(IFLA.ADDRESS);
  const info = attributes.nested(IFLA.LINKINFO);
  const kind = info?.string(IFLA_INFO_KIND);
  const link: LinkState = {
    index: header.getInt32(4, true),
    name: attributes.string(IFLA.IFNAME) ?? '',
    up: (header.getUint32(8, true) & IFF_UP) !== 0,
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    mac: mac?.length === 6 ? formatMAC(mac) : undefined,
    master: attributes.u32(IFLA.MASTER) ?? 0,
    group: attributes.u32(IFLA.GROUP) ?? 0,
    peerIndex: kind === 'veth' ? attributes.u32(IFLA.LINK) : undefined,
    peerNsid: kind === 'veth' ? attributes.u32(IFLA.LINK_NETNSID) : undefined,
    kind,
    vxlan: kind === 'vxlan' ? decodeVxlan(info?.nested(IFLA_INFO_DATA)) : undefined,
    ipip: kind === 'ipip' ? decodeIpip(info?.nested(IFLA_INFO_DATA)) : undefined,
  };
  attributes.check();
  return link;
}

/** Of a veth as newLink() is told of it: its own index, and that of its far end where that lives. */
export function linkIndexes(message: NetlinkMessage): {
  readonly index: number;
  readonly peerIndex: number | undefined;
} {
  const index = structOf(message, IFINFOMSG_LENGTH).getInt32(4, true);
  return { index, peerIndex: new Attributes(message.body, IFINFOMSG_LENGTH).u32(IFLA.LINK) };
}

function decodeIpip(data: Attributes | undefined): LinkState['ipip'] {
  const local = data?.bytes(IFLA_IPTUN.LOCAL);
  return local?.length === 4 ? { local: formatIP(local) } : undefined;
}

function decodeVxlan(data: Attributes | undefined): LinkState['vxlan'] {
  const local = data?.bytes(IFLA_VXLAN.LOCAL) ?? data?.bytes(IFLA_VXLAN.LOCAL6);
  if (!data || (local?.length !== 4 && local?.length !== 16)) return undefined;
  return {
    vni: data.u32(IFLA_VXLAN.ID) ?? 0,
    local: formatIP(local),
    port: data.u16be(IFLA_VXLAN.PORT) ?? 0,
    learning: data.u8(IFLA_VXLAN.LEARNING) === 1,
  };
}
