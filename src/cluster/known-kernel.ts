// Room cluster: what the running kernel can, kept for the next start: beside the code that Node compiled, which outlives clusters too.
import { readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { geteuid } from 'node:process';
import { type FastPathAnswer, fastPathDigest, probeFastPath } from '../kernel/fast-path.ts';
import { supportsSwitch, switchDigest } from '../kernel/frame-switch.ts';

/** A digest is that of programs which this kernel took; those of another version of podwire are tried again. */
interface KnownKernel {
  /** For whom it holds. */
  readonly whose: string;
  readonly fastPath?: { readonly answer: FastPathAnswer; readonly digest?: string };
  readonly switchDigest?: string;
}

/** Undefined where Node keeps no compiled code either. */
export function knownKernelFile(): string | undefined {
  const folder = process.env['NODE_COMPILE_CACHE'];
  return folder ? join(folder, 'kernel.json') : undefined;
}

/** As probeFastPath, which takes some 25 ms of CPU: once a boot is enough, but for what may be otherwise the next time. */
export function askFastPath(file = knownKernelFile()): FastPathAnswer {
  const known = readFastPath(file);
  if (known) return known;
  const answer = probeFastPath();
  if ('numbers' in answer) write(file, { fastPath: { answer, digest: fastPathDigest(answer.numbers) } });
  else if (answer.lasting) write(file, { fastPath: { answer } });
  return answer;
}

function readFastPath(file: string | undefined): FastPathAnswer | undefined {
  const { fastPath } = read(file);
  try {
    return fastPath && isStillTrue(fastPath) ? fastPath.answer : undefined;
  } catch {
    return undefined;
  }
}

/** Numbers that are not what they were make other programs. */
function isStillTrue({ answer, digest }: NonNullable<KnownKernel['fastPath']>): boolean {
  return 'numbers' in answer ? fastPathDigest(answer.numbers) === digest : answer.lasting;
}

/** As supportsSwitch. */
export function askSwitch(file = knownKernelFile()): boolean {
  const digest = switchDigest();
  if (read(file).switchDigest === digest) return true;
  const isTaken = supportsSwitch();
  if (isTaken) write(file, { switchDigest: digest });
  return isTaken;
}

/** Whoever could not start is to ask the kernel itself the next time. */
export function forgetKernel(file = knownKernelFile()): void {
  if (file) rmSync(file, { force: true });
}

/** Nothing where there is none, it is damaged, not ours, or holds for others. */
function read(file: string | undefined): Partial<KnownKernel> {
  if (!file) return {};
  try {
    if (statSync(file).uid !== geteuid?.()) return {};
    const known = JSON.parse(readFileSync(file, 'utf8')) as KnownKernel | null;
    return known?.whose === whose() ? known : {};
  } catch {
    return {};
  }
}

/** It can be done without. */
function write(file: string | undefined, more: Partial<KnownKernel>): void {
  if (!file) return;
  const whole = `${file}.${process.pid}`;
  try {
    writeFileSync(whole, JSON.stringify({ ...read(file), ...more, whose: whose() }), { mode: 0o600 });
    renameSync(whole, file);
  } catch {
    rmSync(whole, { force: true });
  }
}

/** The kernel's boot, and those of its processes that may do the same there as this one. */
function whose(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const capabilities = /^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return `${boot} ${readlinkSync('/proc/self/ns/user')} ${capabilities}`;
}
