// Room objects: the values that Kubernetes fills in where a client left a field out, kind by kind.

import type { KindRow } from '../kinds.ts';
import type { DraftObject, Kind, KindTypes } from '../types.ts';
import {
  defaultCalicoPolicy,
  defaultCalicoTier,
  defaultEndpointSlice,
  defaultEndpoints,
  defaultIngressClass,
  defaultLBPool,
  defaultNetworkPolicy,
} from './network.ts';
import { defaultPod } from './pod.ts';
import { defaultSecret } from './secret.ts';
import { defaultService } from './service.ts';
import { defaultDeployment, defaultReplicaSet, defaultReplicationController } from './workloads.ts';

const DEFAULTERS: { readonly [K in Kind]?: (object: KindTypes[K]) => void } = {
  Namespace: (namespace) => {
    // The label by which policies select a namespace by its name.
    if (namespace.metadata.name) {
      namespace.metadata.labels = {
        ...namespace.metadata.labels,
        'kubernetes.io/metadata.name': namespace.metadata.name,
      };
    }
  },
  Node: (node) => {
    if (node.status?.capacity && !node.status.allocatable) node.status.allocatable = { ...node.status.capacity };
  },
  Pod: defaultPod,
  Service: defaultService,
  Endpoints: defaultEndpoints,
  Secret: defaultSecret,
  ReplicationController: defaultReplicationController,
  Deployment: defaultDeployment,
  ReplicaSet: defaultReplicaSet,
  EndpointSlice: defaultEndpointSlice,
  NetworkPolicy: defaultNetworkPolicy,
  IngressClass: defaultIngressClass,
  LBPool: defaultLBPool,
  CalicoNetworkPolicy: defaultCalicoPolicy,
  GlobalNetworkPolicy: defaultCalicoPolicy,
  CalicoTier: defaultCalicoTier,
};

/** Fills the object in place. Doing it twice changes nothing. Call it after decode() and after every patch, before validate(). */
export function applyDefaults(kind: KindRow, object: DraftObject): void {
  const defaulter = DEFAULTERS[kind.kind] as ((object: DraftObject) => void) | undefined;
  defaulter?.(object);
}
