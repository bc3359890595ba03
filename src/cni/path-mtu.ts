// Room cni: the MTU of the node's way to everywhere else, which is what its containers' packets must fit.
import type { Family, IP } from '../addr/ip.ts';
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeLink, getLink } from '../wire/netlink/link.ts';
import { decodeRoute, lookUpRoute } from '../wire/netlink/route.ts';

/** Of Ethernet, where there is no way out. */
const USUAL = 1500;
/** Addresses for documentation (RFC 5737, RFC 9637): only a default route leads there. */
const ELSEWHERE: Record<Family, IP> = { 4: '203.0.113.1', 6: '3fff::1' };

/** The smallest of the families' default routes: of the route itself where it has one, else of its link. */
export function pathMtu(families: readonly Family[]): number {
  using socket = new NetlinkSocket(NETLINK.ROUTE);
  const found = [...new Set(families)].flatMap((family) => mtuTo(socket, ELSEWHERE[family]) ?? []);
  return Math.min(...(found.length > 0 ? found : [USUAL]));
}

function mtuTo(socket: NetlinkSocket, ip: IP): number | undefined {
  const [answer] = socket.ask([lookUpRoute(ip)]);
  if (!answer || answer instanceof NetlinkError) return undefined;
  const route = decodeRoute(answer);
  if (route?.index === undefined) return undefined;
  if (route.mtu !== undefined) return route.mtu;
  const [link] = socket.ask([getLink({ index: route.index })]);
  return link && !(link instanceof NetlinkError) ? decodeLink(link).mtu : undefined;
}
