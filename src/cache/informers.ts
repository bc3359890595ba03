// Room cache: the informers that the parts of one process share: one per kind, with all indexes that any part needs.
import type { Client } from '../client/client.ts';
import { KINDS } from '../objects/kinds.ts';
import type { Kind, KindTypes, ObjectMeta } from '../objects/types.ts';
import type { View } from '../objects/views.ts';
import { createEcho, type Echo } from './echo.ts';
import { createInformer, type Informer } from './informer.ts';

export interface Informers {
  /** Started when first asked for. */
  of<K extends Kind>(kind: K): Informer<KindTypes[K]>;
  echo(kind: Kind): Echo;
  close(): void;
}

type Indexes<T> = Record<string, (object: T) => readonly string[]>;

/** Under which index values an object of any kind is found. */
const COMMON: Indexes<{ metadata: ObjectMeta }> = {
  namespace: ({ metadata }) => (metadata.namespace ? [metadata.namespace] : []),
  /** uid of the controller; `orphan/<namespace>` for an object that has none. */
  controller: ({ metadata }) => [
    metadata.ownerReferences?.find((ref) => ref.controller)?.uid ?? orphansOf(metadata.namespace ?? ''),
  ],
};

const SPECIAL: { [K in Kind]?: Indexes<KindTypes[K]> } = {
  Pod: {
    node: ({ spec }) => (spec.nodeName ? [spec.nodeName] : []),
    /** Every label of the pod, see labelIndexValue(). */
    label: ({ metadata }) =>
      Object.entries(metadata.labels ?? {}).map(([name, value]) => labelIndexValue(metadata.namespace, name, value)),
  },
  Service: {
    /** One label that a pod must have to be selected: the candidates for a pod are found by its labels. */
    selector: ({ metadata, spec }) =>
      Object.entries(spec.selector ?? {})
        .slice(0, 1)
        .map(([name, value]) => labelIndexValue(metadata.namespace, name, value)),
  },
  EndpointSlice: {
    service: ({ metadata }) => {
      const name = metadata.labels?.['kubernetes.io/service-name'];
      return name ? [`${metadata.namespace}/${name}`] : [];
    },
  },
};

/** Value of the index `controller` for objects that nobody controls. */
export function orphansOf(namespace: string): string {
  return `orphan/${namespace}`;
}

export function labelIndexValue(namespace: string | undefined, name: string, value: string): string {
  return `${namespace}/${name}=${value}`;
}

/** What is kept of each kind's objects; whole ones where nothing is said. */
export type Views = { readonly [K in Kind]?: View<KindTypes[K]> };

export function createInformers(client: Client, views: Views = {}): Informers {
  const started = new Map<Kind, Informer<never>>();
  const echoes = new Map<Kind, Echo>();

  function of<K extends Kind>(kind: K): Informer<KindTypes[K]> {
    let informer = started.get(kind) as Informer<KindTypes[K]> | undefined;
    if (!informer) {
      const indexes: Indexes<KindTypes[K]> = { ...COMMON, ...(SPECIAL[kind] as Indexes<KindTypes[K]> | undefined) };
      const view = views[kind] as View<KindTypes[K]> | undefined;
      informer = createInformer(client, kind, { indexes, ...(view && { view }) });
      started.set(kind, informer as Informer<never>);
    }
    return informer;
  }

  return {
    of,
    echo(kind) {
      const known = echoes.get(kind) ?? createEcho<KindTypes[Kind]>(of(kind) as Informer<KindTypes[Kind]>);
      echoes.set(kind, known);
      return known;
    },
    close() {
      for (const informer of started.values()) informer.close();
    },
  };
}

/** Kinds that come and go too often, and matter too little, to be kept in memory. */
export const CACHED_KINDS: readonly Kind[] = KINDS.map((row) => row.kind).filter((kind) => kind !== 'Event');
