// Room objects: whether an object may be stored, and why not.
import type { KindRow } from '../kinds.ts';
import { failure, type StatusCause, type StatusError } from '../status.ts';
import type { DraftObject, Kind, KindTypes, KubeObject } from '../types.ts';
import { validateCalicoNetworkPolicy, validateCalicoTier, validateGlobalNetworkPolicy } from './calico-policy.ts';
import type { Causes } from './causes.ts';
import { validateEvent, validateLease, validateNode, validateNodeUpdate } from './cluster.ts';
import { validateClusterNetworkPolicy } from './cluster-network-policy.ts';
import { validateConfigMap, validateConfigMapUpdate, validateSecret, validateSecretUpdate } from './config.ts';
import { validateEndpointSlice, validateEndpointSliceUpdate, validateEndpoints } from './endpoints.ts';
import { validateIngress, validateIngressClass, validateIngressClassUpdate } from './ingress.ts';
import { validateLBPool } from './lb-pool.ts';
import { validateMetadata, validateMetadataUpdate } from './metadata.ts';
import { validateNetworkPolicy } from './network-policy.ts';
import { validatePod, validatePodUpdate } from './pod.ts';
import { validateService, validateServiceUpdate } from './service.ts';
import {
  validateIPAddress,
  validateIPAddressUpdate,
  validateServiceCIDR,
  validateServiceCIDRUpdate,
} from './service-cidr.ts';
import {
  validateDeployment,
  validateReplicaSet,
  validateReplicationController,
  validateSelectorUpdate,
} from './workloads.ts';

export interface ValidateOptions {
  /** `status`, `binding`, `scale` …: then only the metadata is looked at, for the rest was not the writer's to change. */
  readonly subresource?: string | undefined;
}

interface Rules<T> {
  readonly always?: (causes: Causes, object: T) => void;
  readonly onUpdate?: (causes: Causes, object: T, old: T) => void;
}

const RULES: { readonly [K in Kind]?: Rules<KindTypes[K]> } = {
  Node: { always: validateNode, onUpdate: validateNodeUpdate },
  Pod: { always: validatePod, onUpdate: validatePodUpdate },
  Service: { always: validateService, onUpdate: validateServiceUpdate },
  Endpoints: { always: validateEndpoints },
  ConfigMap: { always: validateConfigMap, onUpdate: validateConfigMapUpdate },
  Secret: { always: validateSecret, onUpdate: validateSecretUpdate },
  Event: { always: validateEvent },
  ReplicationController: { always: validateReplicationController },
  Deployment: { always: validateDeployment, onUpdate: validateSelectorUpdate },
  ReplicaSet: { always: validateReplicaSet, onUpdate: validateSelectorUpdate },
  EndpointSlice: { always: validateEndpointSlice, onUpdate: validateEndpointSliceUpdate },
  NetworkPolicy: { always: validateNetworkPolicy },
  Ingress: { always: validateIngress },
  IngressClass: { always: validateIngressClass, onUpdate: validateIngressClassUpdate },
  ServiceCIDR: { always: validateServiceCIDR, onUpdate: validateServiceCIDRUpdate },
  IPAddress: { always: validateIPAddress, onUpdate: validateIPAddressUpdate },
  Lease: { always: validateLease },
  LBPool: { always: validateLBPool },
  ClusterNetworkPolicy: { always: validateClusterNetworkPolicy },
  CalicoNetworkPolicy: { always: validateCalicoNetworkPolicy },
  GlobalNetworkPolicy: { always: validateGlobalNetworkPolicy },
  CalicoTier: { always: validateCalicoTier },
};

/**
 * Every reason why the (defaulted) object may not be stored; empty when it may. With `old` also the rules of an update:
 * immutable fields, name, namespace, uid. metadata.name must be set by then (generateName is the API server's).
 */
export function validate(
  kind: KindRow,
  object: DraftObject,
  old?: KubeObject,
  options: ValidateOptions = {},
): StatusCause[] {
  const causes: Causes = [];
  validateMetadata(causes, kind, object);
  if (old) validateMetadataUpdate(causes, object, old);
  if (options.subresource) return causes;
  const rules = RULES[kind.kind] as Rules<DraftObject> | undefined;
  rules?.always?.(causes, object);
  if (old) rules?.onUpdate?.(causes, object, old);
  return causes;
}

/** 422: `Deployment.apps "web" is invalid: spec.selector: Required value`. */
export function invalid(kind: KindRow, name: string, causes: readonly StatusCause[]): StatusError {
  const texts = new Set(causes.map(({ field, message }) => (field ? `${field}: ${message}` : message)));
  const list = [...texts].join(', ');
  const qualified = kind.group ? `${kind.apiKind}.${kind.group}` : kind.apiKind;
  return failure(
    422,
    'Invalid',
    `${qualified} ${JSON.stringify(name)} is invalid: ${texts.size > 1 ? `[${list}]` : list}`,
    { name, group: kind.group, kind: kind.apiKind, causes: [...causes] },
  );
}
