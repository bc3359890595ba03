// Room cluster: starts the nodes' threads first and loads the rest of the box meanwhile: on two cores that halves the wait.
import type { Box, BoxOptions } from './box.ts';
import type { ClusterConfig } from './config.ts';
import { nodeLayouts } from './layout.ts';
import { launchNodeWorker } from './node-worker.ts';

export async function launchBox(config: ClusterConfig, options: BoxOptions): Promise<Box> {
  const nodes = nodeLayouts(config).map((layout) => launchNodeWorker(config, layout));
  const { startBox } = await import('./box.ts');
  return startBox(config, nodes, options);
}
