// Room controllers: all controllers of the cluster, started together over one set of informers.
import { CACHED_KINDS, createInformers, type Informers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import { createRecorder, type Recorder } from '../client/recorder.ts';
import type { Controller, ControllerContext, ControllerOptions, StartController } from './controller.ts';
import { startDeployments } from './deployment/deployments.ts';
import { startEndpoints } from './endpoints/legacy.ts';
import { startEndpointSliceMirroring } from './endpoints/mirror.ts';
import { startEndpointSlices } from './endpoints/slices.ts';
import { startGarbageCollector } from './garbage/collector.ts';
import { startLoadBalancerAddresses } from './lb/addresses.ts';
import { startNamespaces } from './namespaces.ts';
import { startNodeCIDRs } from './node/cidrs.ts';
import { startPodCollection, startTaintEviction } from './node/eviction.ts';
import { startNodeHeartbeats } from './node/heartbeats.ts';
import { startNodeTaints } from './node/taints.ts';
import { startReplicaSets, startReplicationControllers } from './replicas/replicas.ts';
import { startRootCA, startServiceAccounts } from './service-accounts.ts';
import { startServiceCIDRs } from './service-cidrs.ts';

const CONTROLLERS: readonly StartController[] = [
  startNodeCIDRs,
  startNodeTaints,
  startNodeHeartbeats,
  startTaintEviction,
  startPodCollection,
  startServiceAccounts,
  startRootCA,
  startDeployments,
  startReplicaSets,
  startReplicationControllers,
  startEndpointSlices,
  startEndpoints,
  startEndpointSliceMirroring,
  startServiceCIDRs,
  startNamespaces,
  startLoadBalancerAddresses,
  startGarbageCollector,
];

export interface StartControllersOptions {
  readonly client: Client;
  /** Shared with the scheduler, say; without it the controllers have their own. */
  readonly informers?: Informers;
  readonly options?: ControllerOptions;
}

export interface Controllers {
  /** Resolves when every controller has seen the cluster as it is and works. */
  readonly ready: Promise<void>;
  close(): void;
}

export function startControllers({ client, informers, options = {} }: StartControllersOptions): Controllers {
  const shared = informers ?? createInformers(client);
  const recorders = new Map<string, Recorder>();
  const running: Controller[] = [];
  let closed = false;

  function recorder(component: string): Recorder {
    const known = recorders.get(component) ?? createRecorder(client, component);
    recorders.set(component, known);
    return known;
  }

  const context: ControllerContext = { client, informers: shared, options, recorder };
  // A controller that decided from half a list would delete what it cannot see the reason for.
  const ready = Promise.all(CACHED_KINDS.map((kind) => shared.of(kind).synced)).then(() => {
    if (!closed) for (const start of CONTROLLERS) running.push(start(context));
  });

  return {
    ready,
    close() {
      closed = true;
      for (const controller of running) controller.close();
      if (!informers) shared.close();
    },
  };
}
