// Room wire: what the kernel tells of a namespace's or a link's settings when somebody writes such a sysctl (linux/netconf.h).
import { Attributes } from './attributes.ts';
import type { NetlinkMessage } from './message.ts';
import { AF_INET6, structOf } from './rtnetlink.ts';

const NETCONFA = { IFINDEX: 1, FORWARDING: 2, RP_FILTER: 3 } as const;
/** `struct netconfmsg`, padded. */
const NETCONFMSG_LENGTH = 4;

export interface NetconfState {
  readonly family: 4 | 6;
  /** `all`, `default`, or the index of a link. */
  readonly of: 'all' | 'default' | number;
  readonly forwarding: number | undefined;
  /** IPv4 alone. */
  readonly rpFilter: number | undefined;
}

/** Throws a NetlinkFormatError when the message is malformed. */
export function decodeNetconf(message: NetlinkMessage): NetconfState {
  const family = structOf(message, 1).getUint8(0) === AF_INET6 ? 6 : 4;
  const attributes = new Attributes(message.body, NETCONFMSG_LENGTH);
  const index = (attributes.u32(NETCONFA.IFINDEX) ?? 0) | 0;
  const state: NetconfState = {
    family,
    of: index === -1 ? 'all' : index === -2 ? 'default' : index,
    forwarding: attributes.u32(NETCONFA.FORWARDING),
    rpFilter: attributes.u32(NETCONFA.RP_FILTER),
  };
  attributes.check();
  return state;
}
