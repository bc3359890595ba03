// Room objects: the columns that `kubectl get` prints, as meta.k8s.io/v1 Tables.
import type { KindRow } from '../kinds.ts';
import type { Kind, KindTypes, KubeObject } from '../types.ts';
import { since } from './age.ts';
import { type Column, column } from './column.ts';
import { configMapColumns, eventColumns, leaseColumns, secretColumns, serviceAccountColumns } from './config.ts';
import {
  calicoPolicyColumns,
  calicoTierColumns,
  clusterNetworkPolicyColumns,
  endpointSliceColumns,
  endpointsColumns,
  ingressClassColumns,
  ingressColumns,
  ipAddressColumns,
  lbPoolColumns,
  networkPolicyColumns,
  serviceCIDRColumns,
  serviceColumns,
} from './network.ts';
import { namespaceColumns, nodeColumns } from './node.ts';
import { podColumns } from './pod.ts';
import { controllerColumns, deploymentColumns, replicaSetColumns } from './workloads.ts';

export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format: string;
  readonly description: string;
  /** 0 always, 1 with -o wide. */
  readonly priority: number;
}

export interface TableRow {
  readonly cells: readonly unknown[];
  readonly object?: unknown;
}

/** meta.k8s.io/v1 Table. `metadata` is the list's own: resourceVersion, continue, remainingItemCount. */
export interface Table {
  kind: 'Table';
  apiVersion: 'meta.k8s.io/v1';
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  columnDefinitions: readonly TableColumn[];
  rows: readonly TableRow[];
}

export interface TableOptions {
  /** `?includeObject=`; Metadata (a PartialObjectMetadata per row) when not given. */
  readonly includeObject?: 'Metadata' | 'Object' | 'None' | undefined;
  /** False for every watch event after the first, which alone carries the columns. */
  readonly headers?: boolean | undefined;
  /** Milliseconds since the epoch, for ages. */
  readonly now?: number | undefined;
}

/** Columns between NAME and what follows; a kind that is not here has NAME and AGE. */
const COLUMNS: { readonly [K in Kind]?: readonly Column<KindTypes[K]>[] } = {
  Namespace: namespaceColumns,
  Node: nodeColumns,
  Pod: podColumns,
  Service: serviceColumns,
  Endpoints: endpointsColumns,
  ConfigMap: configMapColumns,
  Secret: secretColumns,
  ServiceAccount: serviceAccountColumns,
  Event: eventColumns,
  ReplicationController: controllerColumns,
  Deployment: deploymentColumns,
  ReplicaSet: replicaSetColumns,
  EndpointSlice: endpointSliceColumns,
  NetworkPolicy: networkPolicyColumns,
  Ingress: ingressColumns,
  IngressClass: ingressClassColumns,
  ServiceCIDR: serviceCIDRColumns,
  IPAddress: ipAddressColumns,
  Lease: leaseColumns,
  LBPool: lbPoolColumns,
  ClusterNetworkPolicy: clusterNetworkPolicyColumns,
  CalicoNetworkPolicy: calicoPolicyColumns,
  GlobalNetworkPolicy: calicoPolicyColumns,
  CalicoTier: calicoTierColumns,
};

const PLAIN: readonly Column<KubeObject>[] = [
  column('Name', ({ metadata }) => metadata.name, { format: 'name' }),
  column('Created At', ({ metadata }, now) => since(metadata.creationTimestamp, now)),
];

export function tableFor(kind: KindRow, objects: readonly KubeObject[], options: TableOptions = {}): Table {
  const { includeObject = 'Metadata', headers = true, now = Date.now() } = options;
  const columns = (COLUMNS[kind.kind] as readonly Column<KubeObject>[] | undefined) ?? PLAIN;
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {},
    columnDefinitions: headers ? columns.map((each) => each.definition) : [],
    rows: objects.map((object) => ({
      cells: columns.map((each) => each.cell(object, now)),
      ...(includeObject !== 'None' && { object: includeObject === 'Object' ? object : partial(object) }),
    })),
  };
}

function partial({ metadata }: KubeObject): unknown {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}
