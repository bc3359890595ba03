// Room wire: a short way between the ports of a bridge as a tc program: a frame for the MAC of a known port goes straight to that port's far end.
import { type MAC, macBytes } from '../../addr/mac.ts';
import { Assembler } from './assembler.ts';

/** `struct __sk_buff` */
const SKB = { data: 76, dataEnd: 80 } as const;
const ETHERNET = 14;
const HELPER = { mapLookup: 1, changeType: 32, redirectPeer: 155 } as const;
const PACKET_HOST = 0;
const TC_UNSPEC = -1;
/** Place on the stack. */
const KEY = -8;

/** MAC to the index of the port behind which it is. */
export const PORT_MAP = { keySize: 8, valueSize: 4 } as const;

export function portKey(mac: MAC): Uint8Array {
  const key = new Uint8Array(PORT_MAP.keySize);
  key.set(macBytes(mac));
  return key;
}

export function portValue(index: number): Uint8Array {
  const value = new Uint8Array(PORT_MAP.valueSize);
  new DataView(value.buffer).setUint32(0, index, true);
  return value;
}

/**
 * For what comes in over a port whose far end is in another namespace. Groups and MACs that are not in the map are left to the
 * bridge.
 */
export function switchFrames(map: number): Uint8Array {
  const asm = new Assembler().mov(6, { r: 1 }).load('u32', 7, 1, SKB.data).load('u32', 2, 1, SKB.dataEnd);
  asm.mov(1, { r: 7 }).alu('add', 1, ETHERNET).jump('gt', 1, { r: 2 }, 'pass');
  asm.load('u32', 1, 7, 0).store('u32', 10, KEY, { r: 1 });
  asm.load('u16', 1, 7, 4).store('u32', 10, KEY + 4, { r: 1 });
  asm.loadMap(1, map).stackAddress(2, KEY).call(HELPER.mapLookup).jump('eq', 0, 0, 'pass').load('u32', 7, 0, 0);
  // Until now it was for somebody else than the port.
  asm.mov(1, { r: 6 }).mov(2, PACKET_HOST).call(HELPER.changeType);
  asm.mov(1, { r: 7 }).mov(2, 0).call(HELPER.redirectPeer).leave();
  return asm.label('pass').exit(TC_UNSPEC).assemble();
}
