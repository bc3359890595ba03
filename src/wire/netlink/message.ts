// Room wire: netlink message framing (linux/netlink.h): headers, acknowledgements, errors in the kernel's own words.

/** The header's flags. A dump is ROOT|MATCH. */
export const NLM_F = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  /** Whoever asks is told of the change too, as those are who listen. */
  ECHO: 0x8,
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
const HEADER_LENGTH = 16;
const NLMSGERR_ATTR_MSG = 1;

/** Integers on netlink have the host's byte order; every platform of Node has it little. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly pid: number;
  /** What follows the header: for rtnetlink a fixed struct, then attributes. A view, valid as long as the bytes it was read from. */
  readonly body: Uint8Array;
}

/** A message to be sent: the socket gives it its sequence number and NLM_F_REQUEST. */
export interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

/** A message that the kernel did not send whole, or that is no netlink message at all. */
export class NetlinkFormatError extends Error {
  override name = 'NetlinkFormatError';
}

export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** One buffer with all requests in order; the first has sequence number `seq`, each next one more. */
export function encodeRequests(requests: readonly NetlinkRequest[], seq: number): Uint8Array {
  let total = 0;
  for (const request of requests) total += align4(HEADER_LENGTH + request.body.length);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const [i, request] of requests.entries()) {
    const length = HEADER_LENGTH + request.body.length;
    view.setUint32(offset, length, true);
    view.setUint16(offset + 4, request.type, true);
    view.setUint16(offset + 6, request.flags | NLM_F.REQUEST, true);
    view.setUint32(offset + 8, seq + i, true);
    bytes.set(request.body, offset + HEADER_LENGTH);
    offset += align4(length);
  }
  return bytes;
}

/** The messages of one datagram. Throws a NetlinkFormatError when it is cut off. */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    if (bytes.length - offset < HEADER_LENGTH) throw new NetlinkFormatError(`netlink header cut off at ${offset}`);
    const length = view.getUint32(offset, true);
    if (length < HEADER_LENGTH || offset + length > bytes.length) {
      throw new NetlinkFormatError(`netlink message of length ${length} at ${offset} of ${bytes.length} bytes`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      seq: view.getUint32(offset + 8, true),
      pid: view.getUint32(offset + 12, true),
      body: bytes.subarray(offset + HEADER_LENGTH, offset + length),
    });
    offset += align4(length);
  }
  return messages;
}

/** What an NLMSG_ERROR, or the NLMSG_DONE of a dump, says: errno 0 is success. `text` comes with NETLINK_EXT_ACK. */
export function decodeStatus(message: NetlinkMessage): { errno: number; text?: string } {
  const { body } = message;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < 4) {
    if (message.type === NLMSG_DONE) return { errno: 0 };
    throw new NetlinkFormatError('netlink error without an error number');
  }
  const errno = -view.getInt32(0, true);
  if (!(message.flags & NLM_F.ACK_TLVS)) return { errno };
  const text = extendedText(body, view, message);
  return text === undefined ? { errno } : { errno, text };
}

function extendedText(body: Uint8Array, view: DataView, message: NetlinkMessage): string | undefined {
  let offset = 4;
  if (message.type === NLMSG_ERROR) {
    if (body.length < 20) return undefined;
    // The request's header always follows; its payload too unless NETLINK_CAP_ACK cut it.
    offset += message.flags & NLM_F.CAPPED ? HEADER_LENGTH : align4(view.getUint32(4, true));
  }
  while (offset >= 0 && offset + 4 <= body.length) {
    const length = view.getUint16(offset, true);
    if (length < 4 || offset + length > body.length) return undefined;
    if ((view.getUint16(offset + 2, true) & 0x3fff) === NLMSGERR_ATTR_MSG) {
      return new TextDecoder().decode(body.subarray(offset + 4, offset + length)).replace(/\0+$/, '');
    }
    offset += align4(length);
  }
  return undefined;
}
