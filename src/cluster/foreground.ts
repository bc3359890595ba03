// Room cluster: `up --foreground`: the cluster lives as long as this process; Ctrl-C or SIGTERM takes it down whole.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Fault } from '../observe/fault.ts';
import { endCluster } from './down.ts';
import { takesUp } from './known.ts';
import { tryLock } from './lock.ts';
import { clusterPaths } from './paths.ts';
import { type UpOptions, type UpResult, up } from './up.ts';

type ForegroundOptions = UpOptions & { readonly signal: AbortSignal; readonly onReady: (result: UpResult) => void };

/** Settles after `signal`, with nothing left. The daemon is the same as in the background: only its end is ours. */
export async function runForeground(options: ForegroundOptions): Promise<void> {
  const { name, signal } = options;
  const result = await up(options).catch(async (error) => {
    if (signal.aborted) await endCluster(name);
    throw error;
  });
  const { daemon } = result;
  // `up` has let go of the daemon: an end between then and now is in the exit code only.
  const ended = daemon.exitCode ?? daemon.signalCode ?? once(daemon, 'exit');
  daemon.ref();
  options.onReady(result);
  const asked = signal.aborted || once(signal, 'abort').then(() => true);
  const wasAsked = await Promise.race([asked, Promise.resolve(ended).then(() => false)]);
  if (wasAsked) await endCluster(name);
  else if (!(await isTakenDown(name))) {
    throw new Fault(`the daemon of cluster ${name} has ended; its pods go on`, lostDaemon(name));
  }
}

/** Whether it was a `podwire down` that ended the daemon; if so, once that is done. */
async function isTakenDown(name: string): Promise<boolean> {
  for (;;) {
    await using lock = await tryLock(name);
    if (lock) return !existsSync(clusterPaths(name).dir);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function lostDaemon(name: string): { mend: string } {
  return { mend: takesUp(name) };
}
