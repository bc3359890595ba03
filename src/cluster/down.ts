// Room cluster: takes a cluster down, also when its daemon is dead: processes, namespaces, interfaces, routes, files.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { Fault } from '../observe/fault.ts';
import { removeNodeRuntime } from '../runtime/remove.ts';
import { removeFabric } from './fabric.ts';
import { netnsName } from './layout.ts';
import { fabricExists } from './namespaces.ts';
import { clusterPaths, knownClusters, nodeDir } from './paths.ts';
import { identityOf, runningFrom } from './pidfile.ts';
import { requireRoot } from './root.ts';

export interface DownOptions {
  /** Leaves the daemon's log for whoever wants to know why it failed. */
  readonly keepLog?: boolean;
}

export async function down(name: string): Promise<void> {
  requireRoot();
  if (!existsSync(clusterPaths(name).dir) && !fabricExists(name)) {
    const others = knownClusters();
    throw new Fault(`there is no cluster ${name}`, {
      mend: others.length > 0 ? `known clusters: ${others.join(', ')}` : 'podwire up starts one',
    });
  }
  await takeDown(name, {});
}

/** Idempotent: what is gone already is passed over, so a `down` that was interrupted is finished by the next. */
export async function takeDown(name: string, options: DownOptions): Promise<void> {
  const paths = clusterPaths(name);
  await killDaemon(paths.pid);
  const nodes = existsSync(paths.nodes) ? readdirSync(paths.nodes) : [];
  await Promise.all(
    nodes.map((node) =>
      removeNodeRuntime({
        stateDir: nodeDir(name, node),
        clusterName: name,
        nodeNetns: `/run/netns/${netnsName(name, node)}`,
      }),
    ),
  );
  removeFabric(name);
  if (options.keepLog && existsSync(paths.dir)) {
    for (const file of readdirSync(paths.dir)) {
      if (!paths.log.endsWith(`/${file}`)) rmSync(`${paths.dir}/${file}`, { recursive: true, force: true });
    }
  } else rmSync(paths.dir, { recursive: true, force: true });
}

async function killDaemon(pidfile: string): Promise<void> {
  const daemon = runningFrom(pidfile);
  if (!daemon) return;
  process.kill(daemon.pid, 'SIGKILL');
  for (let waited = 0; waited < 5000 && identityOf(daemon.pid)?.startTime === daemon.startTime; waited += 2) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
