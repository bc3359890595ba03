// Room kernel: the short way between the ports of a bridge, by one program and one map for all of them.
import { hash } from 'node:crypto';
import { closeSync } from 'node:fs';
import type { MAC } from '../addr/mac.ts';
import { createMap, loadProgram, SCHED_CLS, updateElement } from '../sys/bpf.ts';
import { SysError } from '../sys/ffi.ts';
import { NetlinkError, type NetlinkSocket } from '../sys/netlink-socket.ts';
import { PORT_MAP, portKey, portValue, switchFrames } from '../wire/bpf/frame-switch.ts';
import { deleteFilter, newClsact, replaceFilter } from '../wire/netlink/filter.ts';
import type { FrameSwitch } from './items.ts';
import { KernelError } from './kernel.ts';
import { linkIndex, requestOr, tryOnLink } from './tc-links.ts';

/** Of our filter among others of the port. */
const PRIORITY = 0x7079;
const GONE = new Set(['ENOENT', 'EINVAL', 'ENODEV', 'EOPNOTSUPP']);

const filterOn = (index: number) => ({ index, direction: 'ingress', priority: PRIORITY }) as const;

/**
 * A new map takes the place of the old one port by port: a frame finds its way by the one or the other. Nobody holds it but the
 * ports: with them it goes.
 */
export function putSwitch(socket: NetlinkSocket, item: FrameSwitch): void {
  const ports = item.ports.map((port) => {
    const index = linkIndex(socket, port.link);
    if (index === undefined) throw new KernelError('add switch', 'ENODEV', `no port ${port.link}`, item);
    return { ...port, index };
  });
  const program = loadSwitch(ports.filter(({ open }) => open));
  try {
    for (const { index } of ports) attach(socket, index, program);
  } finally {
    closeSync(program);
  }
}

/** The program, with a map that it alone holds; the fd is the caller's. Throws a SysError where the kernel does not take it. */
export function loadSwitch(ports: readonly { readonly mac: MAC; readonly index: number }[]): number {
  const map = createMap('hash', { ...PORT_MAP, maxEntries: Math.max(1, ports.length) });
  try {
    for (const { mac, index } of ports) updateElement(map, portKey(mac), portValue(index));
    return loadProgram(SCHED_CLS, switchFrames(map));
  } finally {
    closeSync(map);
  }
}

/** Loads it and attaches it to some link. Throws a SysError or a NetlinkError where the kernel cannot. */
export function trySwitch(): void {
  const program = loadSwitch([]);
  try {
    tryOnLink(program);
  } finally {
    closeSync(program);
  }
}

/** Whether this kernel takes it: that asks less than the fast path of nodes, no BTF and nothing of conntrack. Needs root. */
export function supportsSwitch(): boolean {
  try {
    trySwitch();
    return true;
  } catch (error) {
    if (error instanceof SysError || error instanceof NetlinkError) return false;
    throw error;
  }
}

/** A program of other instructions has another. */
export function switchDigest(): string {
  return hash('sha256', switchFrames(1));
}

function attach(socket: NetlinkSocket, index: number, program: number): void {
  requestOr(socket, newClsact(index), 'EEXIST');
  socket.request(replaceFilter(filterOn(index), program, 'podwire-switch'));
}

/** From now on the bridge has all frames. No socket: the namespace is gone. */
export function removeSwitch(socket: NetlinkSocket | undefined, { ports }: FrameSwitch): void {
  if (!socket) return;
  for (const { link } of ports) {
    const index = linkIndex(socket, link);
    if (index !== undefined) requestOr(socket, deleteFilter(filterOn(index)), ...GONE);
  }
}
