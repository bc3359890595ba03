// Room node: the ConfigMaps and Secrets that pods of this node name, each watched alone and only while some pod needs it.
import { createInformer, type Informer } from '../cache/informer.ts';
import type { Client } from '../client/client.ts';
import type { ConfigMap, Secret } from '../objects/types.ts';
import type { ConfigSources } from './env.ts';
import type { PodSpec } from './pod-view.ts';
import { referencedConfig } from './volume-files.ts';

type ConfigKind = 'ConfigMap' | 'Secret';

interface Watched {
  readonly informer: Informer<ConfigMap> | Informer<Secret>;
  readonly users: Set<() => void>;
}

/** What one pod may see. */
export interface ConfigLease extends ConfigSources {
  /** Whatever exists is known. */
  readonly synced: Promise<void>;
  release(): void;
}

export class ConfigWatch {
  readonly #client: Client;
  readonly #watched = new Map<string, Watched>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** `onChange` is called after every change of one of the objects that `spec` names. */
  lease(namespace: string, spec: PodSpec, onChange: () => void): ConfigLease {
    const { configMaps, secrets } = referencedConfig(spec);
    const keys = [
      ...[...configMaps].map((name) => ['ConfigMap', name] as const),
      ...[...secrets].map((name) => ['Secret', name] as const),
    ];
    const watched = keys.map(([kind, name]) => this.#use(kind, namespace, name, onChange));
    const find = (kind: ConfigKind, name: string) =>
      this.#watched.get(`${kind}/${namespace}/${name}`)?.informer.get(`${namespace}/${name}`);
    return {
      synced: Promise.all(watched.map(({ informer }) => informer.synced)).then(() => undefined),
      configMap: (name) => find('ConfigMap', name) as ConfigMap | undefined,
      secret: (name) => find('Secret', name) as Secret | undefined,
      release: () => {
        for (const [kind, name] of keys) this.#leave(`${kind}/${namespace}/${name}`, onChange);
      },
    };
  }

  #use(kind: ConfigKind, namespace: string, name: string, onChange: () => void): Watched {
    const key = `${kind}/${namespace}/${name}`;
    let found = this.#watched.get(key);
    if (!found) {
      const informer = createInformer(this.#client, kind, { namespace, fieldSelector: `metadata.name=${name}` });
      const users = new Set<() => void>();
      informer.onChange(() => {
        for (const user of users) user();
      });
      found = { informer, users };
      this.#watched.set(key, found);
    }
    found.users.add(onChange);
    return found;
  }

  #leave(key: string, onChange: () => void): void {
    const found = this.#watched.get(key);
    found?.users.delete(onChange);
    if (found?.users.size !== 0) return;
    found.informer.close();
    this.#watched.delete(key);
  }

  close(): void {
    for (const { informer } of this.#watched.values()) informer.close();
    this.#watched.clear();
  }
}
