// Room node: containers start a few at a time and in turn: those that began first are ready first, instead of all at the end.

type Waiting = () => void;

export class StartQueue {
  readonly #most: number;
  readonly #waiting: Waiting[] = [];
  #busy = 0;

  /** `most`: how many at once. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Runs it in its turn; its result, or its error. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy < this.#most) this.#busy++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#busy--;
    }
  }
}
