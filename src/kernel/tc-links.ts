// Room kernel: what everybody needs who attaches programs to links: their indexes, and requests of which some answers are fine.
import { NetlinkError, type NetlinkSocket } from '../sys/netlink-socket.ts';
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
