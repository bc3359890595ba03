// Room sys: what a thread or process may be asked about itself and its children beyond Node: prctl, pidfd, gettid.

import { closeOwned, own } from './descriptors.ts';
import { check, libc } from './ffi.ts';
import { pollReadable } from './poll.ts';

const PR_SET_PDEATHSIG = 1;
const PR_SET_NAME = 15;
const PR_SET_CHILD_SUBREAPER = 36;
/** The same number on every architecture (system calls from 424 on are shared). */
const SYS_pidfd_open = 434;

const cPrctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
const cPrctlName = libc.func('prctl', 'int', [
  'int',
  'const char *',
  'unsigned long',
  'unsigned long',
  'unsigned long',
]);
const cSyscall3 = libc.func('syscall', 'long', ['long', 'long', 'long']);
const cGettid = libc.func('int gettid()');
const cWaitpid = libc.func('int waitpid(int pid, _Out_ int *status, int options)');

/** Orphaned descendants become children of this process instead of init's. */
export function becomeSubreaper(on = true): void {
  check(cPrctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0), 'prctl PR_SET_CHILD_SUBREAPER');
}

/** The signal that this process gets when the *thread* that started it ends; 0 for none. */
export function setParentDeathSignal(signal: number): void {
  check(cPrctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), 'prctl PR_SET_PDEATHSIG');
}

/** The calling thread's name as `ps -L` and /proc/<pid>/task/<tid>/comm show it, cut at 15 bytes. */
export function setThreadName(name: string): void {
  check(cPrctlName(PR_SET_NAME, name, 0, 0, 0), 'prctl PR_SET_NAME');
}

export function threadId(): number {
  return cGettid();
}

/**
 * Calls back once when process `pid` has ended, also when it is not our child; no polling. Throws a SysError with ESRCH when
 * there is no such process. Returns how to stop watching.
 */
export function onProcessExit(pid: number, callback: () => void): () => void {
  const fd = own(check(Number(cSyscall3(SYS_pidfd_open, pid, 0)), 'pidfd_open', `process ${pid}`));
  let open = true;
  const stop = () => {
    if (!open) return;
    open = false;
    watched.delete(handle);
    handle.close();
    closeOwned(fd);
  };
  const handle = pollReadable(fd, () => {
    if (!open) return;
    stop();
    callback();
  });
  watched.add(handle);
  return stop;
}

/** koffi closes a poll handle silently when it is collected. */
const watched = new Set<object>();

/** Collects an ended child that Node did not start itself (an adopted orphan); undefined while it runs. Exit code, 128 + signal. */
export function reap(pid: number): number | undefined {
  const WNOHANG = 1;
  const status = [0];
  if (check(cWaitpid(pid, status, WNOHANG), 'waitpid', `process ${pid}`) === 0) return undefined;
  const word = status[0]!;
  return (word & 0x7f) === 0 ? (word >> 8) & 0xff : 128 + (word & 0x7f);
}
