// Test api: API servers for tests: in memory and without TLS unless asked for more.
import type { TestContext } from 'node:test';
import type { ApiServer, ApiServerOptions } from '../../src/api/server.ts';
import { startApiServer } from '../../src/api/start.ts';

export const TEST_API_OPTIONS: ApiServerOptions = {
  stateDir: ':memory:',
  clusterName: 'test',
  clusterDomain: 'cluster.local',
  serviceCIDRs: ['10.96.0.0/16'],
  nodePortRange: [30000, 32767],
  listen: [],
  certificateNames: [],
  kubeletSocket: () => undefined,
};

/** Closed when the test ends: `new Client((await startTestApi(t)).transport)`. */
export async function startTestApi(t: TestContext, options: Partial<ApiServerOptions> = {}): Promise<ApiServer> {
  const server = await startApiServer({ ...TEST_API_OPTIONS, ...options });
  t.after(() => server.close());
  return server;
}
