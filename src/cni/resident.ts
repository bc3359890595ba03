// Room cni: the stand-alone plugin as an agent: the same verbs on the same files, without the start of a program for each.
import { statSync } from 'node:fs';
import type { Holder } from '../ipam/file-leases.ts';
import { RecordFiles } from '../ipam/record-file.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/linux.ts';
import { logger } from '../observe/log.ts';
import type { Attachments } from './attachment.ts';
import { nodeDirIn } from './call.ts';
import type { Host } from './host.ts';
import { OUR_IPAM } from './ipam-config.ts';
import { Leaving, UnderWay } from './leaving.ts';
import { type Outcome, run } from './run.ts';
import { type Answerer, type Call, type NamespaceId, serveCalls } from './serve.ts';
import { SharedRules } from './shared-rules.ts';
import type { Steps, Took } from './steps.ts';
import { WiringThread } from './wiring-thread.ts';

const log = logger('cni');
/** What ADDs spent their time on is put down when those that came together have been answered. */
const NOTE_MS = 200;

/** Answers calls from its own network and mount namespace. Throws a SysError when the socket cannot be had. */
export function startResident(socket: string): { close(): Promise<void> } {
  const shared = new Shared();
  // Goes on with removals that an agent before us had begun.
  shared.kernel().read('links');
  const server = serveCalls(socket, new Resident(shared));
  return {
    /** When calls that it is at are answered. */
    async close() {
      await server.finish();
      shared.close();
    },
  };
}

class Resident implements Answerer {
  readonly #shared: Shared;
  readonly #net = namespaceOf('net');
  readonly #mounts = namespaceOf('mnt');
  readonly #leaving = new Leaving();
  readonly #underWay = new UnderWay();
  /** Plugins to which we delegate are given the rest of it. Each look at `process.env` itself asks libc for every variable. */
  readonly #env = { ...process.env };

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  /**
   * Paths and routes mean something else in other namespaces; a node's network is its agent's; and all would wait for an IPAM plugin of
   * others, which takes its time.
   */
  takes({ net, mounts, stdin }: Call): boolean {
    return same(net, this.#net) && same(mounts, this.#mounts) && nodeDirIn(stdin) === undefined && !delegates(stdin);
  }

  answer(call: Call): Promise<Outcome> {
    return this.#underWay.after(call.env, () => this.#run(call));
  }

  async #run({ role, env, stdin, steps }: Call): Promise<Outcome> {
    const begun = performance.now();
    await this.#leaving.wait(env);
    steps.add('the interface before', performance.now() - begun);
    const outcome = await run(role, { ...this.#env, ...env }, () => stdin, this.#shared.hostOf(steps));
    this.#leaving.note(env, this.#shared.kernel());
    return outcome;
  }
}

function delegates(stdin: string): boolean {
  try {
    const type = (JSON.parse(stdin) as { ipam?: { type?: unknown } } | null)?.ipam?.type;
    return typeof type === 'string' && type !== '' && type !== OUR_IPAM;
  } catch {
    return false;
  }
}

function same(a: NamespaceId, b: NamespaceId): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function namespaceOf(kind: 'net' | 'mnt'): NamespaceId {
  const { dev, ino } = statSync(`/proc/thread-self/ns/${kind}`);
  return { dev, ino };
}

/**
 * Keeps its sockets. Nobody waits for the disk: a lease counts in the boot in which it was given and in no other, so what a
 * power cut takes away is what nobody would read; and what kills us leaves all in the kernel's cache.
 */
class Shared {
  readonly #files = new RecordFiles();
  readonly #sharedRules = new SharedRules();
  readonly #thread = new WiringThread();
  #kernel: Kernel | undefined;
  /** By file, as Attachments are one for each call. */
  readonly #notes = new Map<string, { readonly attachments: Attachments; readonly took: [Holder, Took][] }>();

  constructor() {
    this.#thread.start();
  }

  readonly kernel = (): Kernel => {
    this.#kernel ??= openKernel();
    return this.#kernel;
  };

  /** Of one call. */
  hostOf(steps: Steps): Host {
    const wiring = { kernel: this.kernel, sharedRules: this.#sharedRules, steps };
    return {
      ...wiring,
      files: this.#files,
      connector: this.#thread.connector(wiring),
      // The kernel writes it in its own time: whoever appends to a file that is on its way to the disk waits for the disk.
      sync: () => {},
      note: (attachments, holder) => this.#note(attachments, holder, steps),
    };
  }

  /** Those of calls that come together are one line. */
  #note(attachments: Attachments, holder: Holder, { took }: Steps): void {
    if (this.#notes.size === 0) setTimeout(() => this.#writeNotes(), NOTE_MS).unref();
    const notes = this.#notes.get(attachments.path) ?? { attachments, took: [] };
    notes.took.push([holder, took]);
    this.#notes.set(attachments.path, notes);
  }

  #writeNotes(): void {
    for (const { attachments, took } of this.#notes.values()) {
      try {
        attachments.note(took);
      } catch (error) {
        log.warn({ err: error, path: attachments.path }, 'what ADDs spent their time on could not be written');
      }
    }
    this.#notes.clear();
  }

  close(): void {
    this.#writeNotes();
    this.#kernel?.close();
  }
}
