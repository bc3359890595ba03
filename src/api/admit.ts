// Room api: admission: what the server itself decides about an object before it is checked and stored.
import type { KindRow } from '../objects/kinds.ts';
import type { KubeObject, Namespace, Pod, Service } from '../objects/types.ts';
import { admitPod } from './admit-pod.ts';
import { type ServiceAllocation, ServiceAllocator } from './admit-service.ts';
import type { Store } from './store.ts';

export class Admission {
  readonly #services: ServiceAllocator;

  constructor(store: Store, allocation: ServiceAllocation) {
    this.#services = new ServiceAllocator(store, allocation);
  }

  /** Changes the object in place. */
  create(row: KindRow, object: KubeObject): void {
    if (hasNoSpec(row, object)) return;
    if (row.kind === 'Pod') admitPod(object as unknown as Pod);
    else if (row.kind === 'Service') this.#services.allocate(object as unknown as Service);
    else if (row.kind === 'Namespace') admitNamespace(object as unknown as Namespace);
  }

  update(row: KindRow, object: KubeObject, old: KubeObject): void {
    if (hasNoSpec(row, object)) return;
    if (row.kind === 'Service') this.#services.allocate(object as unknown as Service, old as unknown as Service);
    else if (row.kind === 'Namespace') labelWithName(object as unknown as Namespace);
  }
}

/** Validation will refuse it. */
function hasNoSpec(row: KindRow, object: KubeObject): boolean {
  return (row.kind === 'Pod' || row.kind === 'Service') && !object['spec'];
}

/** The finalizer `kubernetes` holds a namespace back until the controller has emptied it. */
function admitNamespace(namespace: Namespace): void {
  namespace.spec = { ...namespace.spec, finalizers: ['kubernetes'] };
  labelWithName(namespace);
}

function labelWithName({ metadata }: Namespace): void {
  metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
}
