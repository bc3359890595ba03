// Room api: admission: what the server itself decides about an object before it is checked and stored.
import type { KindRow } from '../objects/kinds.ts';
import type { KubeObject, Namespace, Pod, Service } from '../objects/types.ts';
import { AccountAdmission } from './admit-account.ts';
import { admitPod } from './admit-pod.ts';
import { type ServiceAllocation, ServiceAllocator } from './admit-service.ts';
import { objectIn, textIn } from './body.ts';
import type { ResourceRoute } from './path.ts';
import type { Store } from './store.ts';

export interface AdmissionOptions extends ServiceAllocation {
  /** A pod's ServiceAccount must be there: where controllers make accounts. */
  readonly requireAccounts?: boolean;
}

export class Admission {
  readonly #services: ServiceAllocator;
  readonly #accounts: AccountAdmission;

  constructor(store: Store, options: AdmissionOptions) {
    this.#services = new ServiceAllocator(store, options);
    this.#accounts = new AccountAdmission(store, options.requireAccounts ?? false);
  }

  /** What a creation has to wait for; undefined when that is nothing. */
  before({ row, namespace }: ResourceRoute, body: unknown): Promise<void> | undefined {
    if (row.kind !== 'Pod' || namespace === undefined) return undefined;
    return this.#accounts.coming(
      namespace,
      textIn(objectIn(objectIn(body)['spec'])['serviceAccountName']) ?? 'default',
    );
  }

  /** Changes the object in place. */
  create(row: KindRow, object: KubeObject): void {
    if (hasNoSpec(row, object)) return;
    if (row.kind === 'Pod') this.#createPod(object as unknown as Pod);
    else if (row.kind === 'Service') this.#services.allocate(object as unknown as Service);
    else if (row.kind === 'Namespace') admitNamespace(object as unknown as Namespace);
  }

  #createPod(pod: Pod): void {
    admitPod(pod);
    this.#accounts.admit(pod);
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
