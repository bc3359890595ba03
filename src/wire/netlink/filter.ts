// Room wire: rtnetlink: eBPF programs on a link by way of clsact and cls_bpf (linux/pkt_sched.h, linux/pkt_cls.h).
import { AttributeWriter } from './attributes.ts';
import { type NetlinkRequest, NLM_F } from './message.ts';
import { RTM_NEWQDISC, TCA, tcmsg } from './tcmsg.ts';

const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const TCA_BPF = { FD: 6, NAME: 7, FLAGS: 8 };
/** What the program returns is what happens. */
const DIRECT_ACTION = 1;
const CLSACT_HANDLE = 0xffff_0000;
const CLSACT_PARENT = 0xffff_fff1;
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;

export type Direction = keyof typeof PARENT;

/** `priority`: the place in the order of a link's filters, and by it a filter is found again. */
export interface BpfFilter {
  readonly index: number;
  readonly direction: Direction;
  readonly priority: number;
}

/** A filter's handle is 1: there is one for each priority. */
function filterHeader({ index, direction, priority }: BpfFilter): Uint8Array {
  const info = ((priority << 16) | ALL_PROTOCOLS) >>> 0;
  return tcmsg({ index, handle: 1, parent: PARENT[direction], info });
}

/** EEXIST when the link has it already. */
export function newClsact(index: number): NetlinkRequest {
  const writer = new AttributeWriter()
    .struct(tcmsg({ index, handle: CLSACT_HANDLE, parent: CLSACT_PARENT }))
    .string(TCA.KIND, 'clsact');
  return { type: RTM_NEWQDISC, flags: NLM_F.CREATE | NLM_F.EXCL, body: writer.finish() };
}

/** Takes the place of the filter with the same priority, between one packet and the next. */
export function replaceFilter(filter: BpfFilter, fd: number, name: string): NetlinkRequest {
  const writer = new AttributeWriter().struct(filterHeader(filter)).string(TCA.KIND, 'bpf');
  writer.nested(TCA.OPTIONS, (options) => {
    options.u32(TCA_BPF.FD, fd).string(TCA_BPF.NAME, name).u32(TCA_BPF.FLAGS, DIRECT_ACTION);
  });
  return { type: RTM_NEWTFILTER, flags: NLM_F.CREATE | NLM_F.REPLACE, body: writer.finish() };
}

/** ENOENT or EINVAL when it is not there. */
export function deleteFilter(filter: BpfFilter): NetlinkRequest {
  const body = new AttributeWriter().struct(filterHeader(filter)).string(TCA.KIND, 'bpf').finish();
  return { type: RTM_DELTFILTER, flags: 0, body };
}
