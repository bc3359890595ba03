// Room kernel: packets that rules of a namespace log to a group (NFLOG), as they come.
import { SysError } from '../sys/ffi.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { bindLogGroup, decodeLoggedPacket, type LoggedPacket, NFLOG_PACKET } from '../wire/nflog/packet.ts';

export type { LoggedPacket } from '../wire/nflog/packet.ts';

/** Undefined when the kernel has no NFLOG, or somebody else listens to the group in this namespace. */
export function watchLog(
  group: number,
  onPacket: (packet: LoggedPacket) => void,
  netns?: string,
): { close(): void } | undefined {
  const socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
  try {
    socket.request(bindLogGroup(group));
  } catch (error) {
    socket.close();
    if (error instanceof SysError) return undefined;
    throw error;
  }
  const hear = ({ type, body }: { type: number; body: Uint8Array }) => {
    const packet = type === NFLOG_PACKET ? decodeLoggedPacket(body) : undefined;
    if (packet) onPacket(packet);
  };
  // What is lost when too many come at once is not told: the counters have all of them.
  const stop = socket.subscribe([], hear, () => {});
  return {
    close() {
      stop();
      socket.close();
    },
  };
}
