// Room wire: struct tcmsg, the header of every traffic-control message (linux/rtnetlink.h).

export const RTM_NEWQDISC = 36;
/** Bytes. */
export const TCMSG_LENGTH = 20;
export const TCA = { KIND: 1, OPTIONS: 2 } as const;

/** `index` is the link's; `handle`, `parent` and `info` are as linux/pkt_sched.h has them, 0 where there is none. */
export function tcmsg({ index, handle = 0, parent, info = 0 }: TrafficControl): Uint8Array {
  const header = new Uint8Array(TCMSG_LENGTH);
  const view = new DataView(header.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, info, true);
  return header;
}

export interface TrafficControl {
  readonly index: number;
  readonly handle?: number;
  readonly parent: number;
  readonly info?: number;
}
