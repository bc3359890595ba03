// Room cluster: brings up the whole box in one process: fabric, API server, controllers, scheduler, one worker per node.
import { chownSync, writeFileSync } from 'node:fs';
import type { ApiServer } from '../api/server.ts';
import { startApiServer } from '../api/start.ts';
import { createInformers } from '../cache/informers.ts';
import { Client } from '../client/client.ts';
import { startControllers } from '../controllers/start.ts';
import { logger } from '../observe/log.ts';
import { startScheduler } from '../scheduler/start.ts';
import { makeFolder } from '../sys/folder.ts';
import type { ClusterConfig } from './config.ts';
import { ensureDnsService, untilDnsAnswers } from './dns-service.ts';
import { ensureFabric, listenInFabric } from './fabric.ts';
import { fabricOptions } from './fabric-options.ts';
import { apiServerIPs, loadBalancerAddresses, reservedAddresses } from './layout.ts';
import { LiveChanges } from './live-changes.ts';
import type { NodeWorker } from './node-worker.ts';
import { clusterPaths, nodeDir } from './paths.ts';
import { sudoUser } from './root.ts';

const log = logger('cluster');

/** Milliseconds from the daemon's first line to the end of each step. */
export type Timings = Record<string, number>;

export interface Box {
  readonly config: ClusterConfig;
  readonly client: Client;
  readonly api: ApiServer;
  readonly nodes: readonly NodeWorker[];
  readonly timings: Timings;
  readonly live: LiveChanges;
  /** Stops our own parts and leaves pods, namespaces and rules as they are. Says whether all threads have ended. */
  close(): Promise<boolean>;
}

export interface BoxOptions {
  readonly demo: boolean;
  readonly onStep: (step: string) => void;
}

/** The API server's port on the fabric, behind the `kubernetes` Service. */
const FABRIC_API_PORT = 6443;

/** `nodes` were launched before, so that they load while we do. */
export async function startBox(config: ClusterConfig, nodes: NodeWorker[], options: BoxOptions): Promise<Box> {
  const timings: Timings = {};
  const step = (name: string) => {
    timings[name] = Math.round(performance.now() * 10) / 10;
    options.onStep(name);
  };
  step('daemon loaded');
  // Logs and Secret volumes of pods are nobody else's business.
  for (const { layout } of nodes) makeFolder(nodeDir(config.name, layout.name), 0o700);
  const layouts = nodes.map((node) => node.layout);
  ensureFabric(fabricOptions(config, layouts));
  step('fabric');
  for (const node of nodes) node.start();
  const api = await openApi(config);
  const client = new Client(api.transport);
  step('API server');
  for (const node of nodes) node.connect(api);
  const informers = createInformers(client);
  const { podCIDRs, nodePrefixLengths } = config.network;
  const controllers = startControllers({
    client,
    informers,
    options: {
      podCIDRs,
      nodePrefixLengths,
      rootCA: api.authority,
      loadBalancer: { addresses: loadBalancerAddresses(config), reserved: reservedAddresses(config) },
    },
  });
  const scheduler = startScheduler({ client, informers });
  step('controllers');
  await Promise.all([ensureDnsService(client, config), ...nodes.map((node) => node.ready)]);
  step('nodes');
  const answering = Promise.all(nodes.map((node) => untilDnsAnswers(config, node.layout))).then(() => step('DNS'));
  if (options.demo) {
    await (await import('./demo.ts')).applyDemo(client);
    step('demo');
  }
  await answering;
  log.info({ timings }, 'cluster is up');
  const live = new LiveChanges(config, { client, api, nodes, informers });
  return {
    get config() {
      return live.config;
    },
    live,
    client,
    api,
    nodes,
    timings,
    close: async () => {
      live.close();
      scheduler.close();
      controllers.close();
      informers.close();
      const ends = await Promise.all(nodes.map((node) => node.stop()));
      await api.close();
      return ends.every((ended) => ended);
    },
  };
}

async function openApi(config: ClusterConfig): Promise<ApiServer> {
  const paths = clusterPaths(config.name);
  const addresses = apiServerIPs(config);
  const fabricListeners = addresses.map((ip) => ({ fd: listenInFabric(config.name, ip, FABRIC_API_PORT) }));
  const api = await startApiServer({
    stateDir: paths.api,
    clusterName: config.name,
    clusterDomain: config.domain,
    serviceCIDRs: config.network.serviceCIDRs,
    nodePortRange: config.network.nodePortRange,
    listen: [{ host: '127.0.0.1', port: config.api.port }, ...fabricListeners],
    certificateNames: addresses,
    // The Service `kubernetes` is of the first family alone, as everywhere.
    kubernetesEndpoint: { addresses: addresses.slice(0, 1), port: FABRIC_API_PORT },
    requireAccounts: true,
    kubeletSocket: (node) => `${nodeDir(config.name, node)}/kubelet.sock`,
  });
  writeFileSync(paths.kubeconfig, api.kubeconfig, { mode: 0o600 });
  const user = sudoUser();
  if (user) chownSync(paths.kubeconfig, user.uid, user.gid);
  return api;
}
