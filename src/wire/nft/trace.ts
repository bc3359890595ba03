// Room wire: what nf_tables tells of a packet that is traced (NFT_MSG_TRACE): each rule that it met, and what became of it there.
import { readPacket } from '../nflog/packet.ts';
import { Attributes, NFGENMSG_LENGTH } from '../nfnetlink/reader.ts';
import { SUBSYSTEM } from './message.ts';

export const TRACE_MESSAGE = (SUBSYSTEM << 8) | 17;
/** NFNLGRP_NFTRACE */
export const TRACE_GROUP = 9;
const TRACE = {
  TABLE: 1,
  CHAIN: 2,
  TYPE: 4,
  VERDICT: 5,
  ID: 6,
  NETWORK_HEADER: 8,
  TRANSPORT_HEADER: 9,
  IIF: 10,
  OIF: 12,
  POLICY: 16,
} as const;
const TYPES = ['none', 'policy', 'return', 'rule'] as const;
const VERDICT_CODE = 1;
const DROP = 0;

export interface TracedPacket {
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
}

export interface TraceEvent {
  /** The same for all that is told of one packet on one way through one namespace. */
  readonly id: number;
  readonly table: string;
  readonly chain: string;
  readonly type: (typeof TYPES)[number];
  readonly drops: boolean;
  /** Indexes of links; only at the first rule of each base chain, as are the addresses. */
  readonly iif?: number;
  readonly oif?: number;
  readonly packet?: TracedPacket;
}

export function decodeTrace(body: Uint8Array): TraceEvent {
  const found = new Attributes(body.subarray(NFGENMSG_LENGTH));
  const code = found.has(TRACE.VERDICT) ? found.nested(TRACE.VERDICT).u32(VERDICT_CODE) : found.u32(TRACE.POLICY);
  const [iif, oif] = [found.u32(TRACE.IIF), found.u32(TRACE.OIF)];
  const packet = packetOf(found);
  return {
    id: found.u32(TRACE.ID)!,
    table: found.string(TRACE.TABLE),
    chain: found.string(TRACE.CHAIN),
    type: TYPES[found.u32(TRACE.TYPE) ?? 0] ?? 'none',
    drops: code === DROP,
    ...(iif !== undefined && { iif }),
    ...(oif !== undefined && { oif }),
    ...(packet && { packet }),
  };
}

function packetOf(found: Attributes): TracedPacket | undefined {
  const [network, transport] = [found.raw(TRACE.NETWORK_HEADER), found.raw(TRACE.TRANSPORT_HEADER)];
  if (!network || !transport) return undefined;
  const { src, dst, srcPort, dstPort } = readPacket(Buffer.concat([network, transport])) ?? {};
  if (src === undefined || dst === undefined || srcPort === undefined || dstPort === undefined) return undefined;
  return { src, dst, srcPort, dstPort };
}
