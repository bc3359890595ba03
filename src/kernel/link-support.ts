// Room kernel: whether this kernel can make a kind of link at all, tried out in a namespace that is gone afterwards.
import { createNetns, netnsPath, removeNamespace } from '../sys/netns.ts';
import type { LinkType } from './items.ts';
import { KernelError } from './kernel.ts';
import { openKernel } from './linux.ts';

/** About a millisecond, and 20 more for the end of the link where there is one. Needs root. */
export function supportsLink(type: LinkType): boolean {
  const netns = netnsPath(`pw-probe-${process.pid}-${type.kind}`);
  createNetns(netns);
  try {
    const kernel = openKernel({ netns });
    try {
      const probe = { kind: 'link', name: 'pw-probe', mtu: 1280, up: false, type } as const;
      kernel.apply({ add: [probe], change: [], remove: [] });
      return true;
    } catch (error) {
      if (error instanceof KernelError && error.code === 'EOPNOTSUPP') return false;
      throw error;
    } finally {
      kernel.close();
    }
  } finally {
    removeNamespace(netns);
  }
}
