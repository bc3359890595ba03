// Room cni: interfaces whose DEL is answered and which the kernel has yet to take away: an ADD of the same name waits for that.
import type { Kernel } from '../kernel/kernel.ts';
import type { Environment } from './request.ts';

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

function keyOf({ CNI_CONTAINERID, CNI_IFNAME }: Environment): string {
  return `${CNI_CONTAINERID} ${CNI_IFNAME}`;
}
