// Start time of a container, and of agnhost answering in it, one at a time and many at once; memory of each.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findRuntime } from '../src/cluster/programs.ts';
import type { ContainerStatus } from '../src/runtime/runtime.ts';
import { openRuntime } from '../src/runtime/start.ts';
import { printMachine, printSamples } from './measure.ts';

const ALONE = 20;
const TOGETHER = 20;

const dir = mkdtempSync('/var/tmp/podwire-bench-');
const runtime = await openRuntime({
  stateDir: join(dir, 'node'),
  imageDir: join(dir, 'images'),
  clusterName: 'bench',
  nodeName: 'bench',
  ...findRuntime(),
});

/** A pod with one container; resolves when its process runs, or when its log says that it serves. */
async function start(id: string, image: string, args: readonly string[], serving: boolean): Promise<ContainerStatus> {
  await runtime.runSandbox({ id, podUid: id, podNamespace: 'bench', podName: id, hostname: id, hostNetwork: false });
  const status = await runtime.startContainer({
    id: `${id}-c`,
    sandboxId: id,
    name: 'c',
    attempt: 0,
    image: runtime.images.resolve(image)!,
    ...(image === 'host' ? { command: args } : { args }),
    env: [],
    mounts: [],
    tty: false,
    stdin: false,
    logPath: join(dir, `${id}.log`),
  });
  while (serving && !readFileSync(status.logPath, 'utf8').includes('HTTP server')) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return status;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function memoryOf(pid: number): { pss: number; private: number } {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1]);
  return { pss: kib('Pss') / 1024, private: (kib('Private_Clean') + kib('Private_Dirty')) / 1024 };
}

const NETEXEC = ['netexec', '--http-port=8080', '--udp-port=8081'];
printMachine();
for (const [label, image, args, serving] of [
  ['container running (sleep)', 'host', ['sleep', '1000'], false],
  ['agnhost serving', 'podwire.io/agnhost', NETEXEC, true],
] as const) {
  const samples: number[] = [];
  for (let i = 0; i < ALONE; i++) {
    samples.push(await timed(() => start('alone', image, args, serving)));
    await runtime.removeSandbox('alone');
  }
  printSamples(`${label}, alone`, samples);
  const ids = Array.from({ length: TOGETHER }, (_, i) => `many-${i}`);
  const statuses: ContainerStatus[] = [];
  const all = await timed(async () => {
    statuses.push(...(await Promise.all(ids.map((id) => start(id, image, args, serving)))));
  });
  console.log(`${label}, ${TOGETHER} at once: ${all.toFixed(0)} ms, ${(all / TOGETHER).toFixed(2)} ms each`);
  const pids = statuses.flatMap(({ pid }) => pid ?? []);
  const memory = pids.map(memoryOf);
  printSamples(
    '  private memory',
    memory.map((each) => each.private),
    'MiB',
  );
  printSamples(
    '  share of all memory (PSS)',
    memory.map((each) => each.pss),
    'MiB',
  );
  const conmons = spawnSync('pgrep', ['-f', `conmon.*${dir}`], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .map(Number);
  printSamples(
    '  private memory of its conmon',
    conmons.map((pid) => memoryOf(pid).private),
    'MiB',
  );
  const removal = await timed(() => Promise.all(ids.map((id) => runtime.removeSandbox(id))));
  console.log(`  removed: ${removal.toFixed(0)} ms, ${(removal / TOGETHER).toFixed(2)} ms each`);
}
runtime.close();
rmSync(dir, { recursive: true });
