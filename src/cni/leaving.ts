// Room cni: what of earlier calls a call waits for: its interface's own verbs, and what the kernel has yet to take away.
import type { Kernel } from '../kernel/kernel.ts';
import type { Environment } from './request.ts';

/** Interfaces whose DEL is answered and which the kernel has yet to take away: an ADD of the same name waits for that. */
export class Leaving {
  readonly #gone = new Map<string, Promise<void>>();

  /** Before the verb. */
  async wait(env: Environment): Promise<void> {
    if (env['CNI_COMMAND'] === 'ADD') await (this.#gone.get(keyOf(env)) ?? this.#gone.get('GC'));
  }

  /** After it. */
  note(env: Environment, kernel: Kernel): void {
    const command = env['CNI_COMMAND'];
    if (command !== 'DEL' && command !== 'GC') return;
    const key = command === 'GC' ? command : keyOf(env);
    const gone = kernel.removed();
    this.#gone.set(key, gone);
    void gone.then(() => {
      if (this.#gone.get(key) === gone) this.#gone.delete(key);
    });
  }
}

/** Calls that are not answered yet. Those for one interface are carried out one after the other; GC, after all. */
export class UnderWay {
  readonly #last = new Map<string, Promise<unknown>>();

  after<T>(env: Environment, work: () => Promise<T>): Promise<T> {
    const key = keyOf(env);
    const before = env['CNI_COMMAND'] === 'GC' ? Promise.allSettled(this.#last.values()) : this.#last.get(key);
    const done = before ? before.then(work, work) : work();
    this.#last.set(key, done);
    const forget = () => {
      if (this.#last.get(key) === done) this.#last.delete(key);
    };
    done.then(forget, forget);
    return done;
  }
}

function keyOf({ CNI_CONTAINERID, CNI_IFNAME }: Environment): string {
  return `${CNI_CONTAINERID} ${CNI_IFNAME}`;
}
