// Room kernel: hears at once what anybody does to links, addresses, neighbours, routes and filters of a namespace (rtnetlink multicast).
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeAddress } from '../wire/netlink/address.ts';
import { decodeLink, getLink } from '../wire/netlink/link.ts';
import type { NetlinkMessage } from '../wire/netlink/message.ts';
import { decodeNeighbour } from '../wire/netlink/neighbour.ts';
import { decodeRoute, RT_TABLE_MAIN } from '../wire/netlink/route.ts';
import { AF_BRIDGE, RTM, RTNLGRP, structOf } from '../wire/netlink/rtnetlink.ts';
import { isOurLink } from './identity.ts';
import type { LinkItem } from './items.ts';
import { linkItem, routeItem } from './linux-read.ts';

export interface LinkListener {
  /** The kernel now holds `item`, new or changed; or with `gone` it did until now. Links of foreign kinds come as `existing`. */
  onItem(item: LinkItem, gone: boolean): void;
  /**
   * A link that is not ours came, went, or lost an address: with them go routes of which the kernel says nothing. Or
   * messages were lost.
   */
  onUnclear(): void;
}

export interface LinkWatch {
  close(): void;
}

/** `netns`: path of the namespace; absent: the calling thread's. What is done through any socket is heard, our own doing too. */
export function watchLinks(listener: LinkListener, netns?: string): LinkWatch {
  return new RtnetlinkWatch(listener, netns);
}

class RtnetlinkWatch implements LinkWatch {
  readonly #listener: LinkListener;
  readonly #netns: string | undefined;
  readonly #socket: NetlinkSocket;
  readonly #stop: () => void;
  /** Messages tell a link by its index. */
  readonly #names = new Map<number, string>();
  readonly #up = new Map<number, boolean>();

  constructor(listener: LinkListener, netns: string | undefined) {
    this.#listener = listener;
    this.#netns = netns;
    this.#socket = new NetlinkSocket(NETLINK.ROUTE, netns);
    const onLoss = () => {
      this.#learnNames();
      listener.onUnclear();
    };
    this.#stop = this.#socket.subscribe(Object.values(RTNLGRP), (message) => this.#hear(message), onLoss);
    // After joining, so that no link is missed between.
    this.#learnNames();
  }

  /** Over a socket of its own: what a listening socket hears would mix with the answers. */
  #learnNames(): void {
    using socket = new NetlinkSocket(NETLINK.ROUTE, this.#netns);
    for (const { index, name, up } of socket.dump(getLink()).map(decodeLink)) {
      this.#names.set(index, name);
      this.#up.set(index, up);
    }
  }

  #hear(message: NetlinkMessage): void {
    const { type } = message;
    if (type === RTM.NEWLINK || type === RTM.DELLINK) this.#hearLink(message);
    else if (type === RTM.DELADDR) this.#hearAddress(message);
    else if (type === RTM.NEWNEIGH || type === RTM.DELNEIGH) this.#hearNeighbour(message);
    else if (type === RTM.DELQDISC || type === RTM.DELTFILTER) this.#hearFilter(message);
    else if (type === RTM.NEWROUTE || type === RTM.DELROUTE) this.#hearRoute(message);
  }

  #hearLink(message: NetlinkMessage): void {
    // A bridge tells of its ports in messages of its own family; a port that leaves it is not gone.
    if (message.body[0] === AF_BRIDGE) return;
    const link = decodeLink(message);
    const { index, name, up, mtu, mac } = link;
    const gone = message.type === RTM.DELLINK;
    const item = linkItem(link, this.#names) ?? { kind: 'link', name, mtu, up, ...(mac && { mac }), type: EXISTING };
    const wasUp = this.#up.get(index);
    if (gone) {
      this.#names.delete(index);
      this.#up.delete(index);
    } else {
      this.#names.set(index, name);
      this.#up.set(index, up);
    }
    this.#listener.onItem(item, gone);
    // With a link go its filters, of which the kernel says nothing.
    if (gone) this.#filtersGone(name);
    if (!isOurLink(name) && (wasUp ?? false) !== (up && !gone)) this.#listener.onUnclear();
  }

  #hearAddress(message: NetlinkMessage): void {
    const { index, address, noPrefixRoute } = decodeAddress(message);
    const link = this.#names.get(index);
    if (link === undefined) return;
    this.#listener.onItem({ kind: 'address', link, address, ...(noPrefixRoute && { noPrefixRoute }) }, true);
    if (link !== 'lo' && !isOurLink(link)) this.#listener.onUnclear();
  }

  #hearNeighbour(message: NetlinkMessage): void {
    const { index, fdb, ip, mac, permanent } = decodeNeighbour(message);
    const link = this.#names.get(index);
    if (link === undefined || ip === undefined) return;
    const gone = message.type === RTM.DELNEIGH || !permanent;
    if (fdb) {
      if (mac) this.#listener.onItem({ kind: 'fdb', link, mac, dst: ip }, gone);
    } else this.#listener.onItem({ kind: 'neighbour', link, ip, mac: mac ?? NO_MAC }, gone);
  }

  /** Whichever of the link's filters it was: whoever wants one there puts it again. */
  #hearFilter(message: NetlinkMessage): void {
    const link = this.#names.get(structOf(message, TCMSG_LENGTH).getInt32(4, true));
    if (link !== undefined) this.#filtersGone(link);
  }

  #filtersGone(link: string): void {
    this.#listener.onItem({ kind: 'ipip', link, local: '' }, true);
    this.#listener.onItem({ kind: 'fast-path', link, from: 'pod' }, true);
  }

  #hearRoute(message: NetlinkMessage): void {
    const route = decodeRoute(message);
    if (route?.table !== RT_TABLE_MAIN) return;
    this.#listener.onItem(routeItem(route, this.#names), message.type === RTM.DELROUTE);
  }

  close(): void {
    this.#stop();
    this.#socket.close();
  }
}

const EXISTING = { kind: 'existing' } as const;
const TCMSG_LENGTH = 20;
const NO_MAC = '00:00:00:00:00:00';
