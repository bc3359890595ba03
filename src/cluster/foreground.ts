// Room cluster: `up --foreground`: the cluster lives as long as this process; Ctrl-C or SIGTERM takes it down whole.
import { serveControl } from './control.ts';
import { takeDown } from './down.ts';
import { launchBox } from './launch.ts';
import { clusterPaths } from './paths.ts';
import { writePidfile } from './pidfile.ts';
import { boxStatus } from './status.ts';
import { prepare, type UpOptions } from './up.ts';

export async function runForeground(options: UpOptions & { onReady: (seconds: number) => void }): Promise<void> {
  const started = performance.now();
  const { config } = await prepare(options.name, options.said);
  const paths = clusterPaths(config.name);
  writePidfile(paths.pid, process.pid);
  const box = await launchBox(config, options);
  const control = await serveControl(paths.control, () => boxStatus(box));
  const asked = new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  options.onReady((performance.now() - started) / 1000);
  await asked;
  control.close();
  await box.close();
  await takeDown(config.name, {});
  process.exit(0);
}
