// Room cni: the program in which a verb runs: one that ends with its call, or an agent that lives on.
import type { Holder } from '../ipam/file-leases.ts';
import { RecordFiles } from '../ipam/record-file.ts';
import { syncAll } from '../ipam/state-file.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/linux.ts';
import type { Attachments } from './attachment.ts';
import type { SharedRules } from './shared-rules.ts';
import { Steps } from './steps.ts';
import type { Connector } from './wiring.ts';

export interface Host {
  /** Of the node's network namespace. */
  kernel(): Kernel;
  /** What is at these paths is on the disk before the call is answered. */
  sync(paths: readonly string[]): void;
  /** What it has read of files of state. */
  readonly files: RecordFiles;
  /** Of the call that it is at. */
  readonly steps: Steps;
  /** What the call's ADD has spent its time on is put down: nobody waits for that. */
  note(attachments: Attachments, holder: Holder): void;
  /** Who puts attachments into the kernel; absent: whoever is asked for them. */
  readonly connector?: Connector;
  /** What it knows to be in its kernel; absent: nothing. */
  readonly sharedRules?: SharedRules;
}

/** Opens what is asked for, and waits for the disk at once. */
export class OneCall implements Host, Disposable {
  readonly files = new RecordFiles();
  readonly steps = new Steps();
  #kernel: Kernel | undefined;

  kernel(): Kernel {
    this.#kernel ??= openKernel();
    return this.#kernel;
  }

  sync(paths: readonly string[]): void {
    syncAll(paths);
  }

  note(attachments: Attachments, holder: Holder): void {
    attachments.note([[holder, this.steps.took]]);
  }

  /** Links that were removed are gone afterwards. */
  [Symbol.dispose](): void {
    this.#kernel?.close();
  }
}
