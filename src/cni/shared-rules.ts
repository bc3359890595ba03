// Room cni: the rules that all attachments share, sent once by whoever lives on: again when others have changed nftables.
import { type Family, familyOf } from '../addr/ip.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { NftItem } from '../kernel/nft-items.ts';
import type { Attachment } from './attachment.ts';
import { sharedRules } from './rules.ts';

/** Of one kernel, which nobody else asks whether it was disturbed. */
export class SharedRules {
  readonly #there = new Set<Family>();

  /**
   * What must be sent along with an attachment's own rules. To be asked when the attachment is written down: from then on
   * nobody takes the tables away, and who did so before has disturbed.
   */
  missing(attachment: Attachment, kernel: Kernel): NftItem[] {
    // Also before the first are sent: what comes in between must be noticed.
    if (kernel.nftDisturbed()) this.#there.clear();
    const ips = attachment.ips.filter((ip) => !this.#there.has(familyOf(ip)));
    return sharedRules({ ...attachment, ips });
  }

  sent({ ips }: Attachment): void {
    for (const ip of ips) this.#there.add(familyOf(ip));
  }

  forget(): void {
    this.#there.clear();
  }
}
