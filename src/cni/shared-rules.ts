// Room cni: the rules that attachments share, sent once by whoever lives on: again when others have changed nftables.
import type { Kernel } from '../kernel/kernel.ts';
import type { SharedPart } from './rules.ts';

/** Of one kernel, which nobody else asks whether it was disturbed. */
export class SharedRules {
  readonly #there = new Set<string>();

  /**
   * What of an attachment's parts must be sent along with its own rules. To be asked when the attachment is written down: from then
   * on nobody takes them away, and who did so before has disturbed.
   */
  missing(parts: readonly SharedPart[], kernel: Kernel): SharedPart[] {
    // Also before the first are sent: what comes in between must be noticed.
    if (kernel.nftDisturbed()) this.#there.clear();
    return parts.filter(({ name }) => !this.#there.has(name));
  }

  sent(parts: readonly SharedPart[]): void {
    for (const { name } of parts) this.#there.add(name);
  }

  /** Absent: all. */
  forget(parts?: readonly SharedPart[]): void {
    if (!parts) this.#there.clear();
    for (const { name } of parts ?? []) this.#there.delete(name);
  }
}
