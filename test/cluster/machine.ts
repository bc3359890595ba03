// A machine of the test's own: a network namespace that plays the host, and a state directory. `podwire` and kubectl run
// in it as they would on a bare machine, and what they change of routes and links is gone with it.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../src/cluster/programs.ts';
import { orUndoAsync } from '../set-up.ts';

export const PODWIRE = join(import.meta.dirname, '..', '..', 'bin', 'podwire');
const COMMAND_LIMIT_MS = 240_000;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why cluster tests cannot run here, or undefined. */
export function clusterSkip(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const program of ['ip', 'nsenter', 'conmon']) if (!findProgram(program)) return `${program} is not installed`;
  if (!findProgram('crun') && !findProgram('runc')) return 'neither crun nor runc is installed';
  return undefined;
}

export function kubectlSkip(): string | undefined {
  return clusterSkip() ?? (findProgram('kubectl') ? undefined : 'kubectl is not installed');
}

export class Machine {
  readonly netns: string;
  readonly state: string;
  /** Names of clusters are the whole machine's: ours is not the one of whoever works beside us. */
  readonly cluster: string;

  static async create(label: string): Promise<Machine> {
    const state = mkdtempSync(join(tmpdir(), `pwt-${label}-`));
    const machine = new Machine(`pwt-${label}-${process.pid}`, state, `${label}${process.pid}`);
    const undo = () => machine[Symbol.asyncDispose]();
    return orUndoAsync(undo, async () => {
      await must('ip', ['netns', 'add', machine.netns]);
      await machine.must('ip', ['link', 'set', 'lo', 'up']);
      return machine;
    });
  }

  constructor(netns: string, state: string, cluster: string) {
    this.netns = netns;
    this.state = state;
    this.cluster = cluster;
  }

  get env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      PODWIRE_STATE: this.state,
      // For what programs leave behind, `kubectl edit` among them.
      TMPDIR: this.state,
      PODWIRE_CLUSTER: this.cluster,
      KUBECONFIG: join(this.state, 'clusters', this.cluster, 'kubeconfig'),
    };
  }

  #inside(words: readonly string[]): string[] {
    return [`--net=/run/netns/${this.netns}`, '--', ...words];
  }

  run(command: string, args: readonly string[] = [], input?: string): Promise<Outcome> {
    return run('nsenter', this.#inside([command, ...args]), this.env, input);
  }

  /** Like run, but a failure is an error with the output in it. */
  async must(command: string, args: readonly string[] = [], input?: string): Promise<string> {
    return succeed(`${command} ${args.join(' ')}`, await this.run(command, args, input));
  }

  podwire(...args: string[]): Promise<Outcome> {
    return this.run(PODWIRE, args);
  }

  mustPodwire(...args: string[]): Promise<string> {
    return this.must(PODWIRE, args);
  }

  kubectl(...args: string[]): Promise<string> {
    return this.must('kubectl', args);
  }

  apply(manifest: string): Promise<string> {
    return this.must('kubectl', ['apply', '-f', '-'], manifest);
  }

  spawn(command: string, args: readonly string[] = []): ChildProcess {
    return spawn('nsenter', this.#inside([command, ...args]), { env: this.env, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** The end of the daemon's log: what a failed test leaves for whoever reads of it. */
  logEnd(): string {
    try {
      const text = readFileSync(join(this.state, 'clusters', this.cluster, 'daemon.log'), 'utf8');
      return lines(text).slice(-60).join('\n');
    } catch (error) {
      return `no daemon.log: ${(error as Error).message}`;
    }
  }

  /** Takes down whatever is up and removes the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.podwire('down', '--all');
    await run('ip', ['netns', 'del', this.netns], process.env);
    rmSync(this.state, { recursive: true, force: true });
  }
}

async function must(command: string, args: readonly string[]): Promise<string> {
  return succeed(`${command} ${args.join(' ')}`, await run(command, args, process.env));
}

function succeed(what: string, outcome: Outcome): string {
  if (outcome.code === 0) return outcome.stdout;
  throw new Error(`${what}: exit code ${outcome.code}\n${outcome.stdout}${outcome.stderr}`);
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, input?: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env, timeout: COMMAND_LIMIT_MS, maxBuffer: 64 << 20 };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 255) : 0;
      resolve({ code, stdout, stderr: error?.killed ? `${stderr}\n(killed after ${COMMAND_LIMIT_MS} ms)` : stderr });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

/** Polls until `probe` gives a value; a generous end, then an error with the last thing seen. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  const end = Date.now() + limitMs;
  let last: unknown;
  while (Date.now() < end) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within ${limitMs} ms`, { cause: last });
}

/** What `down` must leave as it was: namespaces, links and routes of the machine, mounts, our processes and files. */
export async function inventory(machine: Machine): Promise<Record<string, string[]>> {
  const [links, routes, rules] = await Promise.all([
    machine.must('ip', ['-o', 'link']),
    machine.must('ip', ['route', 'show', 'table', 'all']),
    machine.must('ip', ['rule']),
  ]);
  return {
    links: lines(links).map((line) => line.replace(/^\d+: /, '')),
    routes: lines(routes),
    rules: lines(rules),
    namespaces: readdirSync('/run/netns').filter((name) => name.startsWith(`pw-${machine.cluster}`)),
    mounts: lines(readFileSync('/proc/self/mountinfo', 'utf8')).filter(
      (line) => line.includes(`pw-${machine.cluster}`) || line.includes(machine.state),
    ),
    processes: processesOf(machine).map(({ pid, command }) => `${pid} ${command}`),
    files: readdirSync(machine.state, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.startsWith('clusters/'),
    ),
  };
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

/** Processes that name the machine's state directory on their command line or in their environment, or live in it, but ourselves. */
export function processesOf(machine: Machine): { pid: string; command: string }[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
      // A container knows nothing of us, but its root file system lies in the state directory.
      const root = / \/ \/ .*/.exec(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'))?.[0] ?? '';
      return [command, environment, root].some((text) => text.includes(machine.state)) ? [{ pid, command }] : [];
    } catch {
      return [];
    }
  });
}
