// Room cluster: what a node's kernel must not go on with when its agent does not come back.
import type { KernelItem } from '../kernel/items.ts';
import { openKernel } from '../kernel/linux.ts';

/**
 * The kernel of a node without an agent answers for load balancer addresses for ever, and nobody follows their Services there. Takes them
 * from it; another node claims them as soon as nobody answers. Returns which. `netns`: path of the node's namespace. Throws a KernelError.
 */
export function releaseAddresses(netns: string): string[] {
  const kernel = openKernel({ netns });
  try {
    const remove = kernel.read('links').filter(answersForAddress);
    kernel.apply({ add: [], change: [], remove });
    return remove.flatMap((item) => (item.kind === 'route' ? [item.dst] : []));
  } finally {
    kernel.close();
  }
}

/** As plan/lb.ts has them. */
function answersForAddress(item: KernelItem): boolean {
  return item.kind === 'proxy' || (item.kind === 'route' && item.type === 'local');
}
