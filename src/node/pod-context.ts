// Room node: what every pod's worker is given of its node.
import type { Informer } from '../cache/informer.ts';
import type { Client } from '../client/client.ts';
import type { Recorder } from '../client/recorder.ts';
import type { Service } from '../objects/types.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { NodeOptions } from './agent.ts';
import type { ConfigWatch } from './config-watch.ts';
import type { PodFacts } from './downward.ts';
import type { PodNetwork } from './pod-network.ts';
import type { PodPolicies } from './policies.ts';
import type { StartQueue } from './start-queue.ts';

export interface PodContext {
  readonly options: NodeOptions;
  readonly client: Client;
  readonly runtime: Runtime;
  readonly network: PodNetwork;
  /** Absent: nothing holds pods to NetworkPolicies. */
  readonly policies?: PodPolicies;
  /** Of containers, all pods of the node together. */
  readonly starts: StartQueue;
  readonly recorder: Recorder;
  /** With the index NAMESPACE_INDEX. */
  readonly services: Informer<Service>;
  readonly configs: ConfigWatch;
  readonly allocatable: PodFacts['allocatable'];
}

export const NAMESPACE_INDEX = 'namespace';

/** The Services that a pod's environment names (enableServiceLinks): those of its namespace, and the API server's. */
export function linkedServices(informer: Informer<Service>, namespace: string, links: boolean): Service[] {
  const api = informer.get('default/kubernetes');
  const around = links ? [...informer.byIndex(NAMESPACE_INDEX, namespace)] : [];
  return api && !around.includes(api) ? [api, ...around] : around;
}
