// Room api: starts the embedded API server: the store, the handler, and what they are reached through.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Admission } from './admit.ts';
import { directTransport, Handler } from './handler.ts';
import { servePort } from './port.ts';
import type { ApiServer, ApiServerOptions, StartApiServer } from './server.ts';
import { SpecialPathTable } from './special.ts';
import { Store } from './store.ts';
import { ensureSystemObjects } from './system-objects.ts';

export const startApiServer: StartApiServer = async (options: ApiServerOptions): Promise<ApiServer> => {
  const inMemory = options.stateDir === ':memory:';
  if (!inMemory) mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const store = new Store({ path: inMemory ? ':memory:' : join(options.stateDir, 'api.db'), ...options.history });
  const handler = new Handler(store, new Admission(store, options), new SpecialPathTable());
  const transport = directTransport(handler);
  await ensureSystemObjects(transport, options.serviceCIDRs, options.kubernetesEndpoint);
  return {
    transport,
    servePort: (port) => servePort(handler, port),
    port: 0,
    kubeconfig: '',
    async close() {
      handler.close();
      await store.close();
    },
  };
};
