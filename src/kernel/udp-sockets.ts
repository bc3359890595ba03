// Room kernel: connected UDP sockets of a network namespace whose other end is gone: they are ended, as nothing else would tell their owners.
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import {
  type ConnectedSocket,
  connectedUdpSockets,
  decodeConnectedSocket,
  destroyUdpSocket,
} from '../wire/netlink/sock-diag.ts';

/**
 * Ends those that `isStale`; their owners are told ECONNABORTED and connect anew. Returns how many. `netns`: path of the namespace.
 * Throws a SysError, EOPNOTSUPP where the kernel cannot.
 */
export function endUdpSockets(netns: string, isStale: (socket: ConnectedSocket) => boolean): number {
  using socket = new NetlinkSocket(NETLINK.SOCK_DIAG, netns);
  const connected = ([4, 6] as const).flatMap((family) => socket.dump(connectedUdpSockets(family)));
  const stale = connected.map(decodeConnectedSocket).filter(isStale);
  let ended = 0;
  for (const each of stale) {
    try {
      socket.request(destroyUdpSocket(each));
      ended++;
    } catch (error) {
      // Its owner was faster.
      if (!(error instanceof NetlinkError) || error.code !== 'ENOENT') throw error;
    }
  }
  return ended;
}
