// A process of a test's own in some namespace, which is sent commands and answers each of them.
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { once } from 'node:events';
import { inNetns } from '../src/sys/netns.ts';

export class PeerProcess<Command> {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 1;

  /** `program`: where the TypeScript of the process is, `netns`: where it lives. */
  constructor(program: URL, netns: string) {
    const options: ForkOptions = { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] };
    this.#child = inNetns(netns, () => fork(program.pathname, options));
    this.#child.on('message', ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
      const waiting = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#child.on('exit', (code) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`the process ended with ${code}`));
      this.#pending.clear();
    });
  }

  call<T = string>(command: Command): Promise<T> {
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    this.#child.send({ id, command });
    return answer.promise as Promise<T>;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Resolves when it is gone. */
  async close(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.kill();
    await ended;
  }
}
