// Room kernel: what everybody needs who attaches programs to links: their indexes, and requests of which some answers are fine.
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import { createNetns, netnsPath, removeNamespace } from '../sys/netns.ts';
import { newClsact, replaceFilter } from '../wire/netlink/filter.ts';
import { decodeLink, getLink } from '../wire/netlink/link.ts';

/** Undefined when there is no such link. */
export function linkIndex(socket: NetlinkSocket, name: string): number | undefined {
  const [answer] = socket.ask([getLink({ name })]);
  return answer && !(answer instanceof NetlinkError) ? decodeLink(answer).index : undefined;
}

/** Throws a NetlinkError, unless it is one of these. */
export function requestOr(
  socket: NetlinkSocket,
  request: Parameters<NetlinkSocket['request']>[0],
  ...fine: readonly string[]
): void {
  try {
    socket.request(request);
  } catch (error) {
    if (!(error instanceof NetlinkError) || !fine.includes(error.code)) throw error;
  }
}

/** `lo` of a new namespace. */
const FIRST_LINK = 1;

/** Attaches the program to a link of a namespace that is gone afterwards. Throws a NetlinkError where links take none. */
export function tryOnLink(program: number): void {
  const netns = netnsPath(`pw-probe-${process.pid}-program`);
  createNetns(netns);
  try {
    using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
    socket.request(newClsact(FIRST_LINK));
    socket.request(replaceFilter({ index: FIRST_LINK, direction: 'ingress', priority: 1 }, program, 'podwire-probe'));
  } finally {
    removeNamespace(netns);
  }
}
