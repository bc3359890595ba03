// Room objects: the TypeScript shapes of Kubernetes objects as they stand in JSON (dates are RFC 3339 strings).
import type * as k8s from '@kubernetes/client-node';
import type { CalicoNetworkPolicy, CalicoTier, ClusterNetworkPolicy, GlobalNetworkPolicy } from './policy-types.ts';

/** A model of @kubernetes/client-node as it stands on the wire: dates become strings, `_from` is `from`, all else stays. */
export type Json<T> = T extends Date
  ? string
  : T extends (infer E)[]
    ? Json<E>[]
    : T extends object
      ? { [K in keyof T as K extends `_${infer Name}` ? Name : K]: Json<T[K]> }
      : T;

export type ObjectMeta = Json<k8s.V1ObjectMeta>;
export type OwnerReference = Json<k8s.V1OwnerReference>;

/** What the API server has filled in on every stored object. */
export type StoredMeta = ObjectMeta & { name: string; uid: string; resourceVersion: string; creationTimestamp: string };

/** An object as the API server returns it. */
export type Stored<T> = Omit<Json<T>, 'apiVersion' | 'kind' | 'metadata'> & {
  apiVersion: string;
  kind: string;
  metadata: StoredMeta;
};

/** An object as a client sends it to be created. */
export type Draft<T> = Omit<T, 'apiVersion' | 'kind' | 'metadata'> & {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
};

/** Any stored object, when the kind does not matter. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: StoredMeta;
  [field: string]: unknown;
}

/** An object before it is stored, or one of which only the metadata matters. A KubeObject is one too. */
export interface DraftObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

export type Namespace = Stored<k8s.V1Namespace>;
export type Node = Stored<k8s.V1Node>;
export type Pod = Stored<k8s.V1Pod> & { spec: Json<k8s.V1PodSpec> };
export type Service = Stored<k8s.V1Service> & { spec: Json<k8s.V1ServiceSpec> };
export type Endpoints = Stored<k8s.V1Endpoints>;
export type ConfigMap = Stored<k8s.V1ConfigMap>;
export type Secret = Stored<k8s.V1Secret>;
export type ServiceAccount = Stored<k8s.V1ServiceAccount>;
export type Event = Stored<k8s.CoreV1Event>;
export type ReplicationController = Stored<k8s.V1ReplicationController> & {
  spec: Json<k8s.V1ReplicationControllerSpec>;
};
export type Deployment = Stored<k8s.V1Deployment> & { spec: Json<k8s.V1DeploymentSpec> };
export type ReplicaSet = Stored<k8s.V1ReplicaSet> & { spec: Json<k8s.V1ReplicaSetSpec> };
export type EndpointSlice = Stored<k8s.V1EndpointSlice>;
export type NetworkPolicy = Stored<k8s.V1NetworkPolicy>;
export type Ingress = Stored<k8s.V1Ingress>;
export type IngressClass = Stored<k8s.V1IngressClass>;
export type ServiceCIDR = Stored<k8s.V1ServiceCIDR>;
export type IPAddress = Stored<k8s.V1IPAddress>;
export type Lease = Stored<k8s.V1Lease>;

/** Our own kind, podwire.io/v1alpha1: addresses for Services of type LoadBalancer. */
export type LBPool = Pick<Lease, 'apiVersion' | 'kind' | 'metadata'> & {
  spec: {
    /** Each a CIDR, a range `172.30.0.200-172.30.0.250` (both ends included) or one address. */
    addresses: string[];
    /** False: only for Services that ask for the pool or for an address of it. */
    autoAssign?: boolean;
    /** The highest is tried first; equal ones in order of name. */
    priority?: number;
    /** Names of namespaces whose Services may have addresses of it; with namespaceSelector, either suffices. */
    namespaces?: string[];
    namespaceSelector?: Json<k8s.V1LabelSelector>;
    serviceSelector?: Json<k8s.V1LabelSelector>;
  };
  status?: { assigned?: number; free?: number; conditions?: Json<k8s.V1Condition>[] };
};

export type {
  CalicoNetworkPolicy,
  CalicoTier,
  ClusterNetworkPolicy,
  GlobalNetworkPolicy,
} from './policy-types.ts';

/** Kind name to type: what `client.list('Pod')` returns. A kind that is not here is a KubeObject. */
export interface KindTypes {
  Namespace: Namespace;
  Node: Node;
  Pod: Pod;
  Service: Service;
  Endpoints: Endpoints;
  ConfigMap: ConfigMap;
  Secret: Secret;
  ServiceAccount: ServiceAccount;
  Event: Event;
  ReplicationController: ReplicationController;
  Deployment: Deployment;
  ReplicaSet: ReplicaSet;
  EndpointSlice: EndpointSlice;
  NetworkPolicy: NetworkPolicy;
  Ingress: Ingress;
  IngressClass: IngressClass;
  ServiceCIDR: ServiceCIDR;
  IPAddress: IPAddress;
  Lease: Lease;
  LBPool: LBPool;
  ClusterNetworkPolicy: ClusterNetworkPolicy;
  /** Kind NetworkPolicy of projectcalico.org. */
  CalicoNetworkPolicy: CalicoNetworkPolicy;
  GlobalNetworkPolicy: GlobalNetworkPolicy;
  /** Kind Tier of projectcalico.org. */
  CalicoTier: CalicoTier;
}
export type Kind = keyof KindTypes;

/** What caused a rule, a route or an error: shown to the user as Kind/namespace/name. */
export interface ObjectRef {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

export function refText(ref: ObjectRef): string {
  return ref.namespace ? `${ref.kind}/${ref.namespace}/${ref.name}` : `${ref.kind}/${ref.name}`;
}

/** `namespace/name`, or `name` for a cluster-scoped object: the key of informers and plans. */
export function objectKey(object: { metadata: ObjectMeta }): string {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name}` : name!;
}
