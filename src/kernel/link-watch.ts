// Room kernel: hears at once what anybody does to links, addresses, neighbours, routes, filters and sysctls of a namespace, and of
// those in which its veths end (rtnetlink multicast).
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeAddress } from '../wire/netlink/address.ts';
import { decodeLink, getLink, type LinkState } from '../wire/netlink/link.ts';
import type { NetlinkMessage } from '../wire/netlink/message.ts';
import { decodeNeighbour } from '../wire/netlink/neighbour.ts';
import { decodeNetconf } from '../wire/netlink/netconf.ts';
import { decodeQdisc } from '../wire/netlink/qdisc.ts';
import { decodeRoute, RT_TABLE_MAIN } from '../wire/netlink/route.ts';
import { AF_BRIDGE, RTM, RTNLGRP, structOf } from '../wire/netlink/rtnetlink.ts';
import { isOurLink } from './identity.ts';
import type { LinkItem, NetnsPath } from './items.ts';
import { linkItem, routeItem } from './linux-read.ts';

/** The far end of a veth: its namespace, and its name there. */
export interface FarEnd {
  readonly netns: NetnsPath;
  readonly name: string;
}

export interface LinkListener {
  /** The kernel now holds `item`, new or changed; or with `gone` it did until now. Links of foreign kinds come as `existing`. */
  onItem(item: LinkItem, gone: boolean): void;
  /**
   * A link that is not ours came, went, or lost an address: with them go routes of which the kernel says nothing. Or
   * messages were lost.
   */
  onUnclear(): void;
  /** Where this veth ends, if what happens there is wanted too: such items carry the path. One socket hears all of them. */
  farEndOf?(link: string): FarEnd | undefined;
}

export interface LinkWatch {
  close(): void;
}

export interface WatchOptions {
  /** Path of the namespace; absent: the calling thread's. */
  readonly netns?: string | undefined;
  /** Absent: all that there are. */
  readonly groups?: readonly (keyof typeof RTNLGRP)[];
}

/** What is done through any socket is heard, our own doing too. */
export function watchLinks(listener: LinkListener, options: WatchOptions = {}): LinkWatch {
  return new RtnetlinkWatch(listener, options);
}

/** A namespace as messages speak of it: links by their index. */
interface Space {
  readonly netns?: NetnsPath;
  readonly names: Map<number, string>;
}

class RtnetlinkWatch implements LinkWatch {
  readonly #listener: LinkListener;
  readonly #netns: string | undefined;
  readonly #socket: NetlinkSocket;
  readonly #stop: () => void;
  readonly #home: Space = { names: new Map() };
  readonly #up = new Map<number, boolean>();
  /** By the other namespace's id: the veth that leads there, and its far end's index. */
  readonly #veths = new Map<number, { readonly link: string; readonly peerIndex: number }>();

  constructor(listener: LinkListener, { netns, groups = ALL_GROUPS }: WatchOptions) {
    this.#listener = listener;
    this.#netns = netns;
    this.#socket = new NetlinkSocket(NETLINK.ROUTE, netns);
    const onLoss = () => {
      this.#learnLinks();
      listener.onUnclear();
    };
    const numbers = groups.map((group) => RTNLGRP[group]);
    const onMessage = (message: NetlinkMessage, nsid: number | undefined) => this.#hear(message, nsid);
    const elsewhere = listener.farEndOf !== undefined;
    this.#stop = this.#socket.subscribe(numbers, onMessage, onLoss, { elsewhere });
    // After joining, so that no link is missed between.
    this.#learnLinks();
  }

  /** Over a socket of its own: what a listening socket hears would mix with the answers. */
  #learnLinks(): void {
    using socket = new NetlinkSocket(NETLINK.ROUTE, this.#netns);
    for (const link of socket.dump(getLink()).map(decodeLink)) this.#learn(link);
  }

  #learn({ index, name, up, peerIndex, peerNsid }: LinkState): void {
    this.#home.names.set(index, name);
    this.#up.set(index, up);
    if (peerNsid !== undefined && peerIndex !== undefined) this.#veths.set(peerNsid, { link: name, peerIndex });
  }

  #forget({ index, name, peerNsid }: LinkState): void {
    this.#home.names.delete(index);
    this.#up.delete(index);
    if (peerNsid !== undefined && this.#veths.get(peerNsid)?.link === name) this.#veths.delete(peerNsid);
  }

  #hear(message: NetlinkMessage, nsid: number | undefined): void {
    const space = nsid === undefined ? this.#home : this.#spaceOf(nsid);
    if (!space) return;
    const { type } = message;
    if (type === RTM.NEWLINK || type === RTM.DELLINK) this.#hearLink(message, space);
    else if (type === RTM.DELADDR) this.#hearAddress(message, space);
    else if (type === RTM.NEWNEIGH || type === RTM.DELNEIGH) this.#hearNeighbour(message, space);
    else if (type === RTM.DELQDISC || type === RTM.DELTFILTER) this.#hearFilter(message, space);
    else if (type === RTM.NEWROUTE || type === RTM.DELROUTE) this.#hearRoute(message, space);
    else if (type === RTM.NEWNETCONF) this.#hearNetconf(message, space);
  }

  /** Undefined: nobody wants to hear of it. */
  #spaceOf(nsid: number): Space | undefined {
    const veth = this.#veths.get(nsid);
    const end = veth && this.#listener.farEndOf?.(veth.link);
    if (!end) return undefined;
    const names = [[LO, 'lo'] as const, [veth.peerIndex, end.name] as const];
    return { netns: end.netns, names: new Map(names) };
  }

  #tell({ netns }: Space, item: LinkItem, gone: boolean): void {
    this.#listener.onItem(netns === undefined ? item : { ...item, netns }, gone);
  }

  #hearLink(message: NetlinkMessage, space: Space): void {
    // A bridge tells of its ports in messages of its own family; a port that leaves it is not gone.
    if (message.body[0] === AF_BRIDGE) return;
    const link = decodeLink(message);
    const { index, name, up, mtu, mac } = link;
    const gone = message.type === RTM.DELLINK;
    const plain = { kind: 'link', name, mtu, up, ...(mac && { mac }), type: EXISTING } as const;
    if (space !== this.#home) {
      this.#tell(space, plain, gone);
      return;
    }
    const wasUp = this.#up.get(index);
    this.#tell(space, linkItem(link, this.#home.names) ?? plain, gone);
    if (gone) this.#forget(link);
    else this.#learn(link);
    // With a link go its filters, of which the kernel says nothing.
    if (gone) this.#filtersGone(space, name);
    if (!isOurLink(name) && (wasUp ?? false) !== (up && !gone)) this.#listener.onUnclear();
  }

  #hearAddress(message: NetlinkMessage, space: Space): void {
    const { index, address, noPrefixRoute } = decodeAddress(message);
    const link = space.names.get(index);
    if (link === undefined) return;
    this.#tell(space, { kind: 'address', link, address, ...(noPrefixRoute && { noPrefixRoute }) }, true);
    if (space === this.#home && link !== 'lo' && !isOurLink(link)) this.#listener.onUnclear();
  }

  #hearNeighbour(message: NetlinkMessage, space: Space): void {
    const { index, fdb, ip, mac, permanent } = decodeNeighbour(message);
    const link = space.names.get(index);
    if (link === undefined || ip === undefined) return;
    const gone = message.type === RTM.DELNEIGH || !permanent;
    if (fdb) {
      if (mac) this.#tell(space, { kind: 'fdb', link, mac, dst: ip }, gone);
    } else this.#tell(space, { kind: 'neighbour', link, ip, mac: mac ?? NO_MAC }, gone);
  }

  /** Whichever of the link's filters or queues it was: whoever wants one there puts it again. */
  #hearFilter(message: NetlinkMessage, space: Space): void {
    const link = space.names.get(structOf(message, TCMSG_LENGTH).getInt32(4, true));
    if (link === undefined) return;
    this.#filtersGone(space, link);
    // The kernel tells also of its own queue that a bucket took the place of.
    const isBucket = message.type === RTM.DELQDISC && decodeQdisc(message).kind === 'tbf';
    if (isBucket) this.#tell(space, { kind: 'bucket', link, rate: 0, burst: 0, limit: 0 }, true);
  }

  #filtersGone(space: Space, link: string): void {
    this.#tell(space, { kind: 'ipip', link, local: '' }, true);
    this.#tell(space, { kind: 'fast-path', link, from: 'pod' }, true);
  }

  #hearRoute(message: NetlinkMessage, space: Space): void {
    const route = decodeRoute(message);
    if (route?.table !== RT_TABLE_MAIN) return;
    this.#tell(space, routeItem(route, space.names), message.type === RTM.DELROUTE);
  }

  #hearNetconf(message: NetlinkMessage, space: Space): void {
    const { family, of, forwarding, rpFilter } = decodeNetconf(message);
    const link = typeof of === 'number' ? space.names.get(of) : of;
    if (link === undefined) return;
    const say = (key: string, value: number) => this.#tell(space, { kind: 'sysctl', key, value: String(value) }, false);
    const conf = `net/ipv${family}/conf/${link}`;
    if (rpFilter !== undefined) say(`${conf}/rp_filter`, rpFilter);
    if (forwarding !== undefined) say(`${conf}/forwarding`, forwarding);
    // The same under its older name.
    if (forwarding !== undefined && family === 4 && link === 'all') say('net/ipv4/ip_forward', forwarding);
  }

  close(): void {
    this.#stop();
    this.#socket.close();
  }
}

const ALL_GROUPS = Object.keys(RTNLGRP) as readonly (keyof typeof RTNLGRP)[];
const LO = 1;
const EXISTING = { kind: 'existing' } as const;
const TCMSG_LENGTH = 20;
const NO_MAC = '00:00:00:00:00:00';
