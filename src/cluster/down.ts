// Room cluster: takes a cluster down, also when its daemon is dead: processes, namespaces, interfaces, routes, files.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { Fault } from '../observe/fault.ts';
import { removeNodeRuntime } from '../runtime/remove.ts';
import { removeFabric } from './fabric.ts';
import { netnsName } from './layout.ts';
import { tryLock } from './lock.ts';
import { fabricExists } from './namespaces.ts';
import { clusterPaths, knownClusters, nodeDir } from './paths.ts';
import { gone, runningDaemon } from './pidfile.ts';
import { requireRoot } from './root.ts';
import { endProcesses, removePods } from './strays.ts';

export interface DownOptions {
  /** Leaves the daemon's log for whoever wants to know why it failed. */
  readonly keepLog?: boolean;
}

/** A start that is under way fails when its daemon is killed, and clears up after itself. */
const OTHERS_LIMIT_MS = 60_000;

export async function down(name: string): Promise<void> {
  requireRoot();
  if (!existsSync(clusterPaths(name).dir) && !fabricExists(name)) throw nothingToEnd(name);
  await endCluster(name);
}

function nothingToEnd(name: string): Fault {
  const others = knownClusters();
  const mend =
    others.length > 0 ? `podwire down --name ${others[0]}, of ${others.join(', ')}; or podwire down --all` : undefined;
  return new Fault(`there is no cluster ${name}`, mend === undefined ? {} : { mend });
}

/** Takes down whatever there is of the cluster, once everybody else has let go of it. */
export async function endCluster(name: string): Promise<void> {
  await using _ = await lockAgainst(name);
  await takeDown(name, {});
}

/** What an `up` makes in the meantime is killed again and again until there is none. */
async function lockAgainst(name: string): Promise<AsyncDisposable> {
  const end = Date.now() + OTHERS_LIMIT_MS;
  for (;;) {
    const lock = await tryLock(name);
    if (lock) return lock;
    if (Date.now() > end) throw new Fault(`another podwire works on cluster ${name} and does not end`);
    await killDaemon(name);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Idempotent: what is gone already is passed over, so a `down` that was interrupted is finished by the next. Goes as far as
 * it can and tells of what failed at the end. The caller has the lock.
 */
export async function takeDown(name: string, options: DownOptions): Promise<void> {
  const paths = clusterPaths(name);
  await killDaemon(name);
  await endProcesses(name);
  const nodes = existsSync(paths.nodes) ? readdirSync(paths.nodes) : [];
  const removals = nodes.map((node) =>
    removeNodeRuntime({
      stateDir: nodeDir(name, node),
      clusterName: name,
      nodeNetns: `/run/netns/${netnsName(name, node)}`,
    }),
  );
  const failed = (await Promise.allSettled(removals)).find((each) => each.status === 'rejected');
  removePods(name);
  removeFabric(name);
  if (failed) throw failed.reason;
  if (options.keepLog && existsSync(paths.dir)) {
    for (const file of readdirSync(paths.dir)) {
      if (!paths.log.endsWith(`/${file}`)) rmSync(`${paths.dir}/${file}`, { recursive: true, force: true });
    }
  } else rmSync(paths.dir, { recursive: true, force: true });
}

async function killDaemon(name: string): Promise<void> {
  const daemon = runningDaemon(name);
  if (!daemon) return;
  try {
    process.kill(daemon.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  await gone(daemon);
}
