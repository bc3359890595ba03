// Room cluster: `up --foreground`: the cluster lives as long as this process; Ctrl-C or SIGTERM takes it down whole.
import { once } from 'node:events';
import { Fault } from '../observe/fault.ts';
import { endCluster } from './down.ts';
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
  if (!wasAsked) throw new Fault(`the daemon of cluster ${name} has ended; its pods go on`, lostDaemon(name));
  await endCluster(name);
}

function lostDaemon(name: string): { mend: string } {
  return { mend: `podwire up --name ${name} takes up what runs; the log is ${clusterPaths(name).log}` };
}
