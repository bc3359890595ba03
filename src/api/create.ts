// Room api: create: names, identity and first status of a new object.
import { randomUUID } from 'node:crypto';
import { applyDefaults } from '../objects/defaults/defaults.ts';
import type { KindRow } from '../objects/kinds.ts';
import { failure } from '../objects/status.ts';
import { timestamp } from '../objects/time.ts';
import type { DraftObject, KubeObject, Namespace } from '../objects/types.ts';
import { invalid, validate } from '../objects/validate/validate.ts';
import type { Call } from './answer.ts';
import { alreadyExists, badRequest, forbidden, resourceOf } from './errors.ts';
import { nameSuffix } from './name-suffix.ts';
import type { ResourceRoute } from './path.ts';
import type { Store } from './store.ts';
import { decodeBody, store, type WriteContext, type Written, writeOptions } from './write.ts';

export function create(context: WriteContext, route: ResourceRoute, call: Call): Written {
  const options = writeOptions(call);
  const { row } = route;
  const { object: draft, warnings } = decodeBody(route, call.body, options);
  if (draft.metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  const name = nameFor(context.store, row, draft);
  if (row.namespaced) checkNamespace(context.store, row, draft.metadata.namespace!, name);
  const object = withIdentity(draft, name);
  setFirstStatus(row, object);
  applyDefaults(row, object);
  context.admission.create(row, object);
  const causes = validate(row, object);
  if (causes.length > 0) throw invalid(row, name, causes);
  if (context.store.get(resourceOf(row), object.metadata.namespace ?? '', name)) throw alreadyExists(row, name);
  return { entry: store(context, row, object, options.dryRun), removed: false, warnings };
}

const LONGEST_BASE = 58;

function nameFor(store: Store, row: KindRow, draft: DraftObject): string {
  const { name, generateName, namespace = '' } = draft.metadata;
  if (name) return name;
  if (!generateName) {
    const message = 'name or generateName is required';
    throw invalid(row, '', [
      { reason: 'FieldValueRequired', message: `Required value: ${message}`, field: 'metadata.name' },
    ]);
  }
  for (let attempt = 0; attempt < 8; attempt++) {
    const generated = generateName.slice(0, LONGEST_BASE) + nameSuffix();
    if (!store.get(resourceOf(row), namespace, generated)) return generated;
  }
  throw failure(
    409,
    'AlreadyExists',
    `${resourceOf(row)} "${generateName}" already exists, the server was not able to generate a unique name for the object`,
  );
}

function checkNamespace(store: Store, row: KindRow, namespace: string, name: string): void {
  const found = store.get('namespaces', '', namespace)?.object as Namespace | undefined;
  if (!found) {
    const details = { name: namespace, kind: 'namespaces' };
    throw failure(404, 'NotFound', `namespaces "${namespace}" not found`, details);
  }
  if (!found.metadata.deletionTimestamp) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const error = forbidden(row, name, why);
  const message = `namespace ${namespace} is being terminated`;
  error.status.details!.causes = [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }];
  throw error;
}

/** Kinds whose objects count the changes of their spec. */
const WITH_GENERATION = new Set([
  'Pod',
  'ReplicationController',
  'Deployment',
  'ReplicaSet',
  'EndpointSlice',
  'NetworkPolicy',
  'Ingress',
  'IngressClass',
  'LBPool',
  'ClusterNetworkPolicy',
  'GlobalNetworkPolicy',
  'Tier',
]);

function withIdentity(draft: DraftObject, name: string): KubeObject {
  const { apiVersion, kind, metadata, ...rest } = draft;
  const { deletionTimestamp: _, deletionGracePeriodSeconds: __, generation: ___, ...kept } = metadata;
  const identity = {
    ...kept,
    name,
    uid: randomUUID(),
    resourceVersion: '',
    creationTimestamp: timestamp(Date.now()),
    ...(WITH_GENERATION.has(kind) && { generation: 1 }),
  };
  return { apiVersion, kind, metadata: identity, ...rest };
}

const FIRST_STATUS: Readonly<Record<string, () => object>> = {
  Namespace: () => ({ phase: 'Active' }),
  Pod: () => ({ phase: 'Pending' }),
  Service: () => ({ loadBalancer: {} }),
  Ingress: () => ({ loadBalancer: {} }),
  Deployment: () => ({}),
  ReplicaSet: () => ({ replicas: 0 }),
  ReplicationController: () => ({ replicas: 0 }),
  LBPool: () => ({}),
};

/** The status is the controllers' to write, whatever the manifest says; only a node's agent brings its own. */
function setFirstStatus(row: KindRow, object: KubeObject): void {
  const first = FIRST_STATUS[row.kind];
  if (first) object['status'] = first();
}
