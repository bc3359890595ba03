// Room cni: the MTU of the node's way to everywhere else, which is what its containers' packets must fit.
import type { Family, IP } from '../addr/ip.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** Of Ethernet, where there is no way out. */
const USUAL = 1500;
/** Addresses for documentation (RFC 5737, RFC 9637): only a default route leads there. */
const ELSEWHERE: Record<Family, IP> = { 4: '203.0.113.1', 6: '3fff::1' };

/** The smallest of the families' default routes. */
export function pathMtu(kernel: Kernel, families: readonly Family[]): number {
  const found = [...new Set(families)].flatMap((family) => kernel.mtuTo(ELSEWHERE[family]) ?? []);
  return Math.min(...(found.length > 0 ? found : [USUAL]));
}
