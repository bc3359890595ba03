// Room api: starts the embedded API server: keys, store, handler, and the front that TLS clients see.
import { join } from 'node:path';
import { nthAddress } from '../addr/prefix.ts';
import { makeFolder } from '../sys/folder.ts';
import { Admission } from './admit.ts';
import { Authenticator } from './auth.ts';
import { clusterKeys } from './authority.ts';
import { expireEvents } from './event-expiry.ts';
import { directTransport, Handler } from './handler.ts';
import { HttpsFront } from './https.ts';
import { kubeconfigText } from './kubeconfig.ts';
import { KubeletProxy } from './kubelet-proxy.ts';
import { servePort } from './port.ts';
import type { ApiServer, ApiServerOptions, StartApiServer } from './server.ts';
import { Store } from './store.ts';
import { ensureSystemObjects, keepSystemObjects } from './system-objects.ts';
import { ServiceAccountTokens } from './token.ts';

export const startApiServer: StartApiServer = async (options: ApiServerOptions): Promise<ApiServer> => {
  const stateDir = options.stateDir === ':memory:' ? undefined : options.stateDir;
  if (stateDir) makeFolder(stateDir, 0o700);
  const store = new Store({ path: stateDir ? join(stateDir, 'api.db') : ':memory:', ...options.history });
  const keys = clusterKeys(stateDir, options.clusterName);
  const tokens = new ServiceAccountTokens(store, keys.tokenKey, options.clusterDomain);
  const handler = new Handler(store, new Admission(store, options), tokens);
  const transport = directTransport(handler);
  const ensure = () => ensureSystemObjects(transport, options.serviceCIDRs, options.kubernetesEndpoint);
  await ensure();
  const stopKeeping = keepSystemObjects(store, ensure);
  const stopExpiring = expireEvents(store);
  const front = new HttpsFront(handler, new Authenticator(tokens), new KubeletProxy(store, options.kubeletSocket));
  const { port, close } = await front.listen(keys, servingNames(options), options.listen);
  const { clusterName } = options;
  return {
    transport,
    servePort: (messagePort) => servePort(handler, messagePort),
    port,
    authority: keys.authority,
    kubeconfig: kubeconfigText({
      clusterName,
      server: `https://127.0.0.1:${port}`,
      authority: keys.authority,
      client: keys.client('kubernetes-admin', ['system:masters']),
    }),
    async close() {
      stopExpiring();
      stopKeeping();
      handler.close();
      await close();
      await store.close();
    },
  };
};

/** Every name and address under which a client may come. */
function servingNames({ clusterDomain, serviceCIDRs, certificateNames }: ApiServerOptions): string[] {
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const clusterIPs = serviceCIDRs.map((cidr) => nthAddress(cidr, 1));
  const names = ['localhost', '127.0.0.1', '::1', ...service, `kubernetes.default.svc.${clusterDomain}`, ...clusterIPs];
  return [...new Set([...names, ...certificateNames])];
}
