// Room objects: columns of Deployments, ReplicaSets and ReplicationControllers.
import type { Deployment, ReplicaSet, ReplicationController } from '../types.ts';
import { AGE, type Column, column, INTEGER, labelsText, NAME, selectorCell, templateColumns } from './column.ts';

export const deploymentColumns: readonly Column<Deployment>[] = [
  NAME,
  column('Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`),
  column('Up-to-date', ({ status }) => status?.updatedReplicas ?? 0, INTEGER),
  column('Available', ({ status }) => status?.availableReplicas ?? 0, INTEGER),
  AGE,
  ...templateColumns<Deployment>(
    ({ spec }) => spec?.template?.spec,
    ({ spec }) => selectorCell(spec?.selector),
  ),
];

type Replicated = Pick<ReplicaSet, 'metadata'> & {
  spec?: { replicas?: number };
  status?: { replicas?: number; readyReplicas?: number };
};

const COUNTS: readonly Column<Replicated>[] = [
  NAME,
  column('Desired', ({ spec }) => spec?.replicas ?? 0, INTEGER),
  column('Current', ({ status }) => status?.replicas ?? 0, INTEGER),
  column('Ready', ({ status }) => status?.readyReplicas ?? 0, INTEGER),
  AGE,
];

export const replicaSetColumns: readonly Column<ReplicaSet>[] = [
  ...COUNTS,
  ...templateColumns<ReplicaSet>(
    ({ spec }) => spec?.template?.spec,
    ({ spec }) => selectorCell(spec?.selector),
  ),
];

export const controllerColumns: readonly Column<ReplicationController>[] = [
  ...COUNTS,
  ...templateColumns<ReplicationController>(
    ({ spec }) => spec?.template?.spec,
    ({ spec }) => labelsText(spec?.selector),
  ),
];
