// A client and a server process that walk from path to path together, and rounds in which every path has its turn.
import { type ChildProcess, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { median } from './measure.ts';
import type { Kind, Order } from './traffic.ts';

/** Both ends on one: with two, figures tell how fast a sleeping CPU wakes rather than what the path costs. */
const CPUS = (process.env['CPUS'] ?? '0,0').split(',');

class End {
  readonly #child: ChildProcess;

  constructor(cpu = '', cgroup?: string) {
    const file = new URL('./traffic.ts', import.meta.url).pathname;
    this.#child = fork(file, { execArgv: [], env: { ...process.env, BENCH_CPU: cpu }, stdio: 'inherit' });
    if (cgroup) writeFileSync(`${cgroup}/cgroup.procs`, String(this.#child.pid));
  }

  ask(order: Order): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#child.once('message', ({ value, problem }: { value?: number; problem?: string }) => {
        if (value === undefined) reject(new Error(`${order.op}: ${problem}`));
        else resolve(value);
      });
      this.#child.send(order);
    });
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

export interface Path {
  readonly name: string;
  readonly client: string;
  readonly server: string;
  /** Where the server listens. */
  readonly ip: string;
  /** Where the client connects; absent: to the server itself. */
  readonly to?: { readonly ip: string; readonly port: number };
  /** The client is in the pair's cgroup. */
  readonly atSocket?: boolean;
  /** Takes away what connections leave behind, so that each round begins with as few as the first. */
  readonly clear?: () => void;
}

const PORT = 7000;

export class Pair implements Disposable {
  readonly #client = new End(CPUS[0]);
  readonly #server = new End(CPUS[1]);
  readonly #atSocket: End | undefined;
  readonly #listeners = new Map<string, number>();

  /** `cgroup`: path of one in which the client is for paths that say so. */
  constructor(cgroup?: string) {
    this.#atSocket = cgroup ? new End(CPUS[0], cgroup) : undefined;
  }

  async once(path: Path, kind: Kind, ms: number): Promise<number> {
    const key = `${path.server} ${path.ip}`;
    let listener = this.#listeners.get(key);
    if (listener === undefined) {
      listener = await this.#server.ask({ op: 'listen', netns: path.server, ip: path.ip, port: PORT });
      this.#listeners.set(key, listener);
    }
    const served = this.#server.ask({ op: 'serve', listener, kind });
    const { ip, port } = path.to ?? { ip: path.ip, port: PORT };
    const client = path.atSocket ? this.#atSocket! : this.#client;
    const value = await client.ask({ op: 'send', netns: path.client, ip, port, kind, ms });
    await served;
    if (kind === 'crr') path.clear?.();
    return value;
  }

  /** Per path the samples, one a round. */
  async rounds(paths: readonly Path[], kind: Kind, rounds: number, ms: number): Promise<Map<string, number[]>> {
    const samples = new Map(paths.map(({ name }) => [name, [] as number[]]));
    for (let round = -1; round < rounds; round++) {
      // Nobody always follows the same one.
      const order = round % 2 ? paths : paths.toReversed();
      for (const path of order) {
        const value = await this.once(path, kind, round < 0 ? ms / 4 : ms);
        if (round >= 0) samples.get(path.name)!.push(value);
      }
    }
    return samples;
  }

  [Symbol.dispose](): void {
    this.#client.close();
    this.#atSocket?.close();
    this.#server.close();
  }
}

/** The median over rounds of what a path did for each that the other did in the same round. */
export function ratio(samples: readonly number[], base: readonly number[]): number {
  return median(samples.map((value, i) => value / base[i]!));
}
