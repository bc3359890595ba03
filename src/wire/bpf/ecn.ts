// Room wire: congestion that is told on the way through a tunnel (ECN, RFC 6040), as programs that wrap and unwrap must carry it.
import type { Assembler } from './assembler.ts';

/** The lower two bits of IPv4's type of service and of IPv6's traffic class. */
export const ECN = 3;
const CONGESTED = 3;
const HELPER = { markCongested: 97 } as const;

/**
 * r6 = the packet, unwrapped; r1 = the type of service of the header that is gone. What was marked there is marked inside, or goes to `drop`
 * where those who speak would not hear of it. As the kernel's own tunnels do.
 */
export function tellCongestion(asm: Assembler, done: string): Assembler {
  asm.alu('and', 1, ECN).jump('ne', 1, CONGESTED, done);
  return asm.mov(1, { r: 6 }).call(HELPER.markCongested).jump('eq', 0, 0, 'drop').label(done);
}
