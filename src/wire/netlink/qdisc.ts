// Room wire: rtnetlink queueing disciplines: the token bucket filter alone (linux/pkt_sched.h, struct tc_tbf_qopt).
import { Attributes, AttributeWriter } from './attributes.ts';
import { type NetlinkMessage, type NetlinkRequest, NLM_F } from './message.ts';
import { structOf } from './rtnetlink.ts';
import { RTM_NEWQDISC, TCA, TCMSG_LENGTH, tcmsg } from './tcmsg.ts';

const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const TCA_TBF = { PARMS: 1, RATE64: 4, BURST: 6 };
/** tc_ratespec: 12 bytes; two of them, then limit, buffer, mtu. */
const PARMS_LENGTH = 36;
const LINKLAYER_ETHERNET = 1;
const TC_H_ROOT = 0xffff_ffff;

export interface TokenBucket {
  /** Bytes a second. */
  readonly rate: number;
  /** Bytes that may pass at once. */
  readonly burst: number;
  /** Bytes that may wait. */
  readonly limit: number;
}

/** Puts a token bucket at the root of what the link sends, in the place of whatever was there. */
export function replaceTokenBucket(index: number, { rate, burst, limit }: TokenBucket): NetlinkRequest {
  const parms = new Uint8Array(PARMS_LENGTH);
  const view = new DataView(parms.buffer);
  // Without a link layer the kernel wants a table of 256 transmission times.
  view.setUint8(1, LINKLAYER_ETHERNET);
  view.setUint32(8, Math.min(rate, 0xffff_ffff), true);
  view.setUint32(24, limit, true);
  const writer = new AttributeWriter().struct(tcmsg({ index, parent: TC_H_ROOT })).string(TCA.KIND, 'tbf');
  writer.nested(TCA.OPTIONS, (options) => {
    options.bytes(TCA_TBF.PARMS, parms).u32(TCA_TBF.BURST, burst);
    const rate64 = new Uint8Array(8);
    new DataView(rate64.buffer).setBigUint64(0, BigInt(rate), true);
    if (rate > 0xffff_ffff) options.bytes(TCA_TBF.RATE64, rate64);
  });
  return { type: RTM_NEWQDISC, flags: NLM_F.CREATE | NLM_F.REPLACE, body: writer.finish() };
}

/** ENOENT or EINVAL when the link has the kernel's own. */
export function deleteRootQdisc(index: number): NetlinkRequest {
  return { type: RTM_DELQDISC, flags: 0, body: tcmsg({ index, parent: TC_H_ROOT }) };
}

/** A dump of all links' disciplines. */
export function getQdiscs(): NetlinkRequest {
  return { type: RTM_GETQDISC, flags: 0, body: new Uint8Array(TCMSG_LENGTH) };
}

export interface QdiscState {
  readonly index: number;
  readonly root: boolean;
  readonly kind: string;
  /** Bytes a second, of a token bucket. */
  readonly rate: number | undefined;
}

/** Throws a NetlinkFormatError when the message is malformed. */
export function decodeQdisc(message: NetlinkMessage): QdiscState {
  const header = structOf(message, TCMSG_LENGTH);
  const attributes = new Attributes(message.body, TCMSG_LENGTH);
  const kind = attributes.string(TCA.KIND) ?? '';
  const state = {
    index: header.getInt32(4, true),
    root: header.getUint32(12, true) === TC_H_ROOT,
    kind,
    rate: kind === 'tbf' ? tokenRate(attributes.nested(TCA.OPTIONS)) : undefined,
  };
  attributes.check();
  return state;
}

function tokenRate(options: Attributes | undefined): number | undefined {
  const wide = options?.bytes(TCA_TBF.RATE64);
  if (wide?.length === 8) return Number(new DataView(wide.buffer, wide.byteOffset, 8).getBigUint64(0, true));
  const parms = options?.bytes(TCA_TBF.PARMS);
  if (parms === undefined || parms.length < PARMS_LENGTH) return undefined;
  return new DataView(parms.buffer, parms.byteOffset, parms.length).getUint32(8, true);
}
