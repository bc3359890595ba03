// Room cni: a thread that makes links for an agent, which meanwhile reads the next call and puts rules of those before.
import { Worker } from 'node:worker_threads';
import { programFile } from '../observe/install.ts';
import { logger } from '../observe/log.ts';
import { closeLeftOpen, createDescriptorTable } from '../sys/descriptors.ts';
import type { Attachment } from './attachment.ts';
import { CniError } from './error.ts';
import type { ErrorObject } from './run.ts';
import type { Took } from './steps.ts';
import { type Connector, type Wires, Wiring, type WiringHost } from './wiring.ts';

const log = logger('cni');

export interface Order {
  readonly attachment: Attachment;
  readonly wires: Wires | undefined;
}

/** What came of an order; they are answered in the order in which they came. */
export interface Done {
  readonly took: Took;
  readonly mtu?: number | undefined;
  readonly refused?: ErrorObject;
}

interface Waiting {
  resolve(done: Done): void;
  reject(error: Error): void;
}

/** What half of an ADD is spent on is the kernel's own work, and a lock of the kernel's lets one link after the other be made. */
export class WiringThread {
  #worker: Worker | undefined;
  #waiting: Waiting[] = [];

  /** Begins with what it takes to be there at the first ADD. */
  start(): void {
    this.#worker ??= this.#launch();
  }

  /** For one call, whose host puts the rules. */
  connector(host: WiringHost): Connector {
    const { steps } = host;
    return {
      connect: async (attachment, wires) => {
        const begun = performance.now();
        const { took, mtu, refused } = await this.#order({ attachment, wires });
        const all = Object.values(took).reduce((sum, ms) => sum + ms, 0);
        steps.add('turn', performance.now() - begun - all);
        for (const [step, ms] of Object.entries(took)) steps.add(step, ms);
        if (refused) throw new CniError(refused.code, refused.msg, refused.details);
        new Wiring(host).connectRules(attachment);
        return mtu;
      },
    };
  }

  #order(order: Order): Promise<Done> {
    this.start();
    const { promise, resolve, reject } = Promise.withResolvers<Done>();
    this.#waiting.push({ resolve, reject });
    this.#worker!.postMessage(order);
    return promise;
  }

  #launch(): Worker {
    const descriptors = createDescriptorTable();
    const worker = new Worker(programFile('cni-wiring'), { workerData: descriptors, trackUnmanagedFds: false });
    worker.on('message', (done: Done) => this.#waiting.shift()?.resolve(done));
    worker.on('error', (err) => log.error({ err }, 'the thread that puts attachments into the kernel died'));
    worker.on('exit', () => {
      closeLeftOpen(descriptors);
      this.#worker = undefined;
      const waiting = this.#waiting;
      this.#waiting = [];
      // The next call starts another.
      for (const each of waiting) each.reject(new Error('the thread that puts attachments into the kernel died'));
    });
    return worker;
  }
}
