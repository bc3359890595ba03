// Room api: admission of pods: the ServiceAccount that they run as, and its token where programs look for it.
import { kindRow } from '../objects/kinds.ts';
import { objectKey, type Pod, type ServiceAccount } from '../objects/types.ts';
import { forbidden } from './errors.ts';
import { nameSuffix } from './name-suffix.ts';
import type { Store } from './store.ts';

/** Where client libraries look for `token`, `ca.crt` and `namespace`. */
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUME = 'kube-api-access-';
const CA_MAP = 'kube-root-ca.crt';
/** Kubernetes' own: an hour, and seven seconds to know it by. */
const TOKEN_SECONDS = 3607;
/** A namespace has its account `default` from a controller, a moment after it was made. */
const PATIENCE_MS = 1000;

type Volume = NonNullable<Pod['spec']['volumes']>[number];

export class AccountAdmission {
  readonly #store: Store;
  readonly #required: boolean;
  readonly #awaited = new Map<string, Set<() => void>>();

  /** `required`: there are controllers, so that an account which is not there never was meant to be. */
  constructor(store: Store, required: boolean) {
    this.#store = store;
    this.#required = required;
    store.onApply('serviceaccounts', (next) => {
      if (!next || this.#awaited.size === 0) return;
      for (const proceed of this.#awaited.get(objectKey(next)) ?? []) proceed();
    });
  }

  /** Undefined when the account is there; else resolves when it has come, or as soon as it is no use to wait. */
  coming(namespace: string, name: string): Promise<void> | undefined {
    if (!this.#required || this.#account(namespace, name)) return undefined;
    const home = this.#store.get('namespaces', '', namespace)?.object;
    if (!home || home.metadata.deletionTimestamp) return undefined;
    return this.#wait(`${namespace}/${name}`);
  }

  #wait(key: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#awaited.get(key) ?? new Set();
      this.#awaited.set(key, waiting);
      const proceed = () => {
        clearTimeout(timer);
        waiting.delete(proceed);
        if (waiting.size === 0) this.#awaited.delete(key);
        resolve();
      };
      const timer = setTimeout(proceed, PATIENCE_MS);
      waiting.add(proceed);
    });
  }

  /** After admitPod(). Throws 403 when the account is required and not there. */
  admit({ metadata, spec }: Pod): void {
    const name = spec.serviceAccountName!;
    const account = this.#account(metadata.namespace!, name);
    if (!account && this.#required) {
      const why = `error looking up service account ${metadata.namespace}/${name}: serviceaccount "${name}" not found`;
      throw forbidden(kindRow('Pod'), metadata.name, why);
    }
    if (!spec.imagePullSecrets?.length && account?.imagePullSecrets)
      spec.imagePullSecrets = [...account.imagePullSecrets];
    if (spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true) mountToken(spec);
  }

  #account(namespace: string, name: string): ServiceAccount | undefined {
    return this.#store.get('serviceaccounts', namespace, name)?.object as ServiceAccount | undefined;
  }
}

function mountToken(spec: Pod['spec']): void {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  const without = containers.filter(({ volumeMounts }) => !volumeMounts?.some((each) => each.mountPath === MOUNT_PATH));
  if (without.length === 0) return;
  // A pod made from another's manifest brings the volume along.
  const brought = spec.volumes?.find((volume) => volume.name.startsWith(VOLUME));
  const { name } = brought ?? { name: VOLUME + nameSuffix() };
  if (!brought) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
  const mount = { name, mountPath: MOUNT_PATH, readOnly: true };
  for (const container of without) container.volumeMounts = [...(container.volumeMounts ?? []), { ...mount }];
}

/** With its defaults, which have been filled in before admission. */
function tokenVolume(name: string): Volume {
  const namespace = { path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } };
  const sources = [
    { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
    { configMap: { name: CA_MAP, items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI: { items: [namespace] } },
  ];
  return { name, projected: { defaultMode: 0o644, sources } };
}
