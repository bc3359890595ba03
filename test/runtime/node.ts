// Tests of room runtime: a node without a cluster, in a directory of its own, and what the machine shows of it from outside.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import type { ContainerSpec, ContainerStatus, Runtime, Sandbox } from '../../src/runtime/runtime.ts';
import { openRuntime, type RuntimeOptions } from '../../src/runtime/start.ts';

function find(program: string): string | undefined {
  return ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin'].map((dir) => join(dir, program)).find(existsSync);
}

const ociRuntime = find('crun') ?? find('runc');
const conmon = find('conmon');

/** Why these tests cannot run here; false when they can. */
export const skip: string | false =
  process.getuid?.() !== 0
    ? 'needs root'
    : ociRuntime === undefined
      ? 'needs crun or runc'
      : conmon === undefined
        ? 'needs conmon'
        : false;

export interface Node {
  readonly dir: string;
  readonly options: RuntimeOptions;
}

/** Not under /tmp: pods of the image `host` see a /tmp of their own, and tmpfs may stand there. */
export function makeNode(dir: string = mkdtempSync('/var/tmp/pwt-runtime-')): Node {
  const options = {
    stateDir: join(dir, 'node'),
    imageDir: join(dir, 'images'),
    // Makes its pinned namespaces known from those of other tests.
    clusterName: `pwt-${dir.slice(-6).toLowerCase()}`,
    nodeName: 'n1',
    ociRuntime: ociRuntime!,
    conmon: conmon!,
  };
  return { dir, options };
}

export async function open(node: Node): Promise<Runtime> {
  return openRuntime(node.options);
}

export interface Scene {
  readonly node: Node;
  readonly runtime: Runtime;
  /** The one that all tests of a suite share: `pod`. */
  readonly sandbox: Sandbox;
}

/** For a suite: a node with a sandbox before its tests, gone after them. */
export function useNode(): Scene {
  const node = makeNode();
  let runtime: Runtime;
  let sandbox: Sandbox;
  before(async () => {
    runtime = await open(node);
    sandbox = await runSandbox(runtime, 'pod');
  });
  after(async () => {
    await runtime.removeSandbox('pod');
    runtime.close();
    removeDir(node);
  });
  return {
    node,
    get runtime() {
      return runtime;
    },
    get sandbox() {
      return sandbox;
    },
  };
}

export async function runSandbox(runtime: Runtime, id: string): Promise<Sandbox> {
  const sandbox = await runtime.runSandbox({
    id,
    podUid: `uid-${id}`,
    podNamespace: 'default',
    podName: id,
    hostname: `host-of-${id}`,
    hostNetwork: false,
  });
  execFileSync('nsenter', [`--net=${sandbox.netns}`, 'ip', 'link', 'set', 'lo', 'up']);
  return sandbox;
}

/** Of the image `host`, running `command` in `sandbox`. */
export function container(
  runtime: Runtime,
  node: Node,
  sandboxId: string,
  name: string,
  command: readonly string[],
  more: Partial<ContainerSpec> = {},
): ContainerSpec {
  return {
    id: `${sandboxId}-${name}-0`,
    sandboxId,
    name,
    attempt: 0,
    image: runtime.images.resolve('host')!,
    command,
    env: [],
    mounts: [],
    tty: false,
    stdin: false,
    logPath: join(node.dir, 'logs', `${sandboxId}-${name}.log`),
    ...more,
  };
}

/** Resolves with the final status of the next container of that id to end. */
export function ending(runtime: Runtime, id: string): Promise<ContainerStatus> {
  return new Promise((resolve) => {
    runtime.onExit((status) => {
      if (status.id === id) resolve(status);
    });
  });
}

export async function run(
  runtime: Runtime,
  spec: ContainerSpec,
): Promise<{ status: ContainerStatus; lines: LogLine[] }> {
  const ended = ending(runtime, spec.id);
  const started = await runtime.startContainer(spec);
  const status = started.state === 'exited' ? started : await ended;
  return { status, lines: readLog(spec.logPath) };
}

export interface LogLine {
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

/** The log as kubelet's format has it: time, stream, F(ull) or P(artial), text. */
export function readLog(path: string): LogLine[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP]) ([\s\S]*)$/.exec(
      line,
    );
    if (!match) throw new Error(`not a line of a CRI log: ${JSON.stringify(line)}`);
    return { stream: match[1]!, tag: match[2]!, text: match[3]! };
  });
}

export const stdout = (lines: readonly LogLine[]): string[] =>
  lines.filter(({ stream }) => stream === 'stdout').map(({ text }) => text);

/** What of a node can be seen on the machine: mounts, pinned namespaces, processes. Empty when nothing is left. */
export function traces(node: Node): string[] {
  const mounts = readFileSync('/proc/1/mountinfo', 'utf8').split('\n');
  const pins = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const processes = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid);
  return [
    ...mounts.filter((line) => line.includes(node.dir)).map((line) => `mount ${line}`),
    ...pins.filter((name) => name.startsWith(`pw-${node.options.clusterName}-`)).map((name) => `netns ${name}`),
    ...processes.flatMap((pid) => {
      const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
      const ours = command.includes(node.dir) || read(`/proc/${pid}/mountinfo`).includes(node.dir);
      return ours ? [`process ${pid}: ${command}`] : [];
    }),
  ];
}

/** Empty when the process has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function removeDir(node: Node): void {
  rmSync(node.dir, { recursive: true, force: true });
}

/** Polls until `condition` holds; fails after 30 s. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 30_000) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
