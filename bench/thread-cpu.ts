// What a cluster's daemon spends, by thread: a node's agent is one that bears the node's name.
import { readdirSync, readFileSync } from 'node:fs';

export interface Spent {
  /** Milliseconds of CPU of all agents together that were there when it began, the chosen one apart. */
  readonly others: number;
  /** Of the chosen node's agent, and of threads that came meanwhile. */
  readonly own: number;
  /** API server, controllers, compilers, collectors. */
  readonly rest: number;
}

interface Thread {
  readonly name: string;
  readonly ms: number;
}

/** The scheduler's own account, in nanoseconds: whoever else is at work on the machine is not in it. */
function threadsOf(pid: number): Map<string, Thread> {
  const threads = new Map<string, Thread>();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      const name = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim();
      const [ns] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ');
      threads.set(tid, { name, ms: Number(ns) / 1e6 });
    } catch {
      // It has ended meanwhile.
    }
  }
  return threads;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export class DaemonCpu {
  readonly #pid: number;
  /** Milliseconds of CPU a millisecond of time, while nobody asks for anything. */
  #idle: Spent = { others: 0, own: 0, rest: 0 };

  constructor(pid: number) {
    this.#pid = pid;
  }

  async learnIdle(ms: number): Promise<number> {
    const [before, began] = [threadsOf(this.#pid), performance.now()];
    await sleep(ms);
    const wall = performance.now() - began;
    const { others, own, rest } = spentBetween(before, threadsOf(this.#pid));
    this.#idle = { others: others / wall, own: own / wall, rest: rest / wall };
    return (others + own + rest) / wall;
  }

  /** What `work` costs until `afterMs` after it, without what the cluster spends anyway. `node`: whose own affair it is. */
  async of<T>(
    work: () => Promise<T>,
    node = '',
    afterMs = 300,
  ): Promise<{ readonly result: T; readonly spent: Spent }> {
    const [before, began] = [threadsOf(this.#pid), performance.now()];
    const result = await work();
    await sleep(afterMs);
    const wall = performance.now() - began;
    const { others, own, rest } = spentBetween(before, threadsOf(this.#pid), node);
    const idle = this.#idle;
    return { result, spent: { others: others - idle.others * wall, own, rest: rest - idle.rest * wall } };
  }
}

function spentBetween(before: Map<string, Thread>, after: Map<string, Thread>, node = ''): Spent {
  const spent = { others: 0, own: 0, rest: 0 };
  for (const [tid, { name, ms }] of after) {
    const known = before.get(tid);
    const kind = !name.startsWith('node-') ? 'rest' : !known || name === node ? 'own' : 'others';
    spent[kind] += ms - (known?.ms ?? 0);
  }
  return spent;
}
