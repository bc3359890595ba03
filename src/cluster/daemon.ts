// Room cluster: the daemon: what runs in the background between `up` and `down`. Started as `node daemon.ts NAME [--demo]`.
import { Fault } from '../observe/fault.ts';
import { logger } from '../observe/log.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import { serveControl } from './control.ts';
import { datapathText } from './datapath.ts';
import { forgetKernel } from './known-kernel.ts';
import { launchBox } from './launch.ts';
import type { Move } from './load-balancer.ts';
import type { MemberVerb } from './members.ts';
import { clusterPaths } from './paths.ts';
import { writePidfile } from './pidfile.ts';
import { storedConfig } from './slot.ts';
import { boxStatus } from './status.ts';

export interface Readiness {
  readonly timings: Readonly<Record<string, number>>;
  /** Which datapath is in force and why, for people. */
  readonly datapath: string;
}

/** What the daemon tells the `up` that started it, over Node's IPC channel. */
export type DaemonMessage =
  | { readonly type: 'step'; readonly step: string }
  | ({ readonly type: 'ready' } & Readiness)
  | { readonly type: 'failed'; readonly message: string; readonly mend?: string | undefined };

const log = logger('daemon');

function tell(message: DaemonMessage): void {
  if (process.connected) process.send?.(message);
}

async function run(name: string, demo: boolean): Promise<void> {
  // Whoever started us may have been killed before it wrote this.
  writePidfile(clusterPaths(name).pid, process.pid);
  const config = storedConfig(name);
  if (!config) throw new Fault(`cluster ${name} has no ${clusterPaths(name).config}`);
  const box = await launchBox(config, { demo, onStep: (step) => tell({ type: 'step', step }) });
  const verbs = {
    overlay: (settings: unknown) => box.live.changeOverlay(settings as OverlaySettings),
    node: (said: unknown) => {
      const { verb, node, stay = false } = said as { verb: MemberVerb; node: string; stay?: boolean };
      return box.live.changeNodes(verb, node, { stay });
    },
    lb: async () => (await import('./load-balancer.ts')).balancedAddresses(box),
    'lb-move': async (said: unknown) => (await import('./load-balancer.ts')).moveAddress(box, said as Move),
  };
  const control = await serveControl(clusterPaths(name).control, () => boxStatus(box), verbs);
  let closing = false;
  const stop = () => {
    if (closing) return;
    closing = true;
    control.close();
    box.close().then(end, () => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  tell({ type: 'ready', timings: box.timings, datapath: datapathText(box.config) });
}

/** exit() waits for threads that hang, and may not survive their end. */
function end(allThreadsEnded: boolean): void {
  if (allThreadsEnded) process.exit(0);
  process.kill(process.pid, 'SIGKILL');
}

process.on('unhandledRejection', (reason) => log.error({ err: reason }, 'a promise was rejected and nobody looked'));
process.on('SIGHUP', () => {});
run(process.argv[2]!, process.argv.includes('--demo')).catch((error: Error) => {
  log.fatal({ err: error }, 'the cluster could not start');
  forgetKernel();
  tell({ type: 'failed', message: error.message, mend: error instanceof Fault ? error.mend : undefined });
  process.exitCode = 1;
  setTimeout(() => process.exit(1), 100);
});
