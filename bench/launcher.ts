// Programs started as a container runtime starts plugins: by a process that is there already, with posix_spawn, which copies no memory.
import { libc } from '../src/sys/ffi.ts';

export interface Program {
  readonly path: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Files. */
  readonly stdin: string;
  readonly stdout: string;
}

const O_RDONLY = 0;
const O_WRONLY_CREAT_TRUNC = 0o1101;
/** `posix_spawn_file_actions_t` has 80 bytes with glibc and 64-bit processors; it is asked to be larger by nobody. */
const FILE_ACTIONS_BYTES = 256;

const cInit = libc.func('int posix_spawn_file_actions_init(void *actions)');
const cDestroy = libc.func('int posix_spawn_file_actions_destroy(void *actions)');
const cAddOpen = libc.func(
  'int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)',
);
const cSpawn = libc.func(
  'int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)',
);
const cWaitpid = libc.func('int waitpid(int pid, _Out_ int *status, int options)');

/** Returns its process id; in the network namespace of the calling thread. */
export function start({ path, environment, stdin, stdout }: Program): number {
  const actions = Buffer.alloc(FILE_ACTIONS_BYTES);
  cInit(actions);
  try {
    cAddOpen(actions, 0, stdin, O_RDONLY, 0);
    cAddOpen(actions, 1, stdout, O_WRONLY_CREAT_TRUNC, 0o600);
    const pid = [0];
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const failed = cSpawn(pid, path, actions, null, [path, null], [...variables, null]) as number;
    if (failed !== 0) throw new Error(`${path}: posix_spawn failed with errno ${failed}`);
    return pid[0]!;
  } finally {
    cDestroy(actions);
  }
}

/** Waits for the next child to end. Nothing else of this thread goes on meanwhile. */
export function awaitAny(): { readonly pid: number; readonly status: number } {
  const status = [0];
  const pid = cWaitpid(-1, status, 0) as number;
  if (pid <= 0) throw new Error('no child is left to wait for');
  return { pid, status: status[0]! };
}
