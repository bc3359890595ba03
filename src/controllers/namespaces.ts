// Room controllers: a namespace that is deleted takes all that it holds along, and is gone when nothing is left.

import { KINDS, type KindRow } from '../objects/kinds.ts';
import { isNotFound } from '../objects/status.ts';
import { timestamp } from '../objects/time.ts';
import type { Kind, Namespace, ObjectMeta } from '../objects/types.ts';
import type { Controller, ControllerContext } from './controller.ts';
import { createQueue } from './queue.ts';

const NAMESPACED = KINDS.filter((row) => row.namespaced);
const FINALIZER = 'kubernetes';
type Condition = NonNullable<NonNullable<Namespace['status']>['conditions']>[number];

/** What is still in a namespace after everything was told to go. */
export interface Remains {
  /** Plural of the kind to how many there are. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Finalizer to how many objects wait for it. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export function startNamespaces({ client, informers }: ControllerContext): Controller {
  const namespaces = informers.of('Namespace');
  const queue = createQueue('Namespace', sync);
  namespaces.onChange(({ object }) => {
    if (object.metadata.deletionTimestamp) queue.add(object.metadata.name);
  });
  for (const { kind } of NAMESPACED) {
    if (kind === 'Event') continue;
    informers.of(kind).onChange(({ type, object }) => {
      const namespace = object.metadata.namespace!;
      if (type === 'delete' && namespaces.get(namespace)?.metadata.deletionTimestamp) queue.add(namespace);
    });
  }

  async function sync(name: string): Promise<void> {
    const namespace = namespaces.get(name);
    if (!namespace?.metadata.deletionTimestamp || !namespace.spec?.finalizers?.includes(FINALIZER)) return;
    const left = (await Promise.all(NAMESPACED.map((row) => empty(row, name)))).flat();
    const remains = remainsOf(left);
    try {
      await writeConditions(namespace, remains);
      if (left.length === 0) await finalize(namespace);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Asks the server and not the cache, which can be behind. Returns what is left when all that can go at once has gone. */
  async function empty(row: KindRow, namespace: string): Promise<Remnant[]> {
    const { kind } = row;
    const { items } = await client.list(kind, { namespace });
    const going = items.filter(({ metadata }) => !metadata.deletionTimestamp);
    await Promise.all(going.map(({ metadata }) => remove(kind, metadata.name, namespace)));
    return going.length === 0 ? items.map(({ metadata }) => ({ row, metadata })) : empty(row, namespace);
  }

  async function remove(kind: Kind, name: string, namespace: string): Promise<void> {
    try {
      await client.delete(kind, name, namespace, { propagationPolicy: 'Background' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function writeConditions(namespace: Namespace, remains: Remains): Promise<void> {
    const before = namespace.status?.conditions;
    // Most namespaces go at once: nobody will read why they had to wait.
    if (!before && remains.kinds.size === 0) return;
    const conditions = conditionsOf(remains, before ?? [], Date.now());
    if (conditions.every((condition) => before?.includes(condition))) return;
    await client.patch(
      'Namespace',
      { name: namespace.metadata.name, subresource: 'status' },
      { status: { conditions } },
    );
  }

  async function finalize({ metadata }: Namespace): Promise<void> {
    const now = await client.get('Namespace', metadata.name);
    if (now.metadata.uid !== metadata.uid) return;
    const finalizers = (now.spec?.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
    await client.update('Namespace', { ...now, spec: { ...now.spec, finalizers } }, 'finalize');
  }

  return { close: queue.close };
}

interface Remnant {
  readonly row: KindRow;
  readonly metadata: ObjectMeta;
}

export function remainsOf(objects: readonly Remnant[]): Remains {
  const kinds = new Map<string, number>();
  const finalizers = new Map<string, number>();
  const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const { row, metadata } of objects) {
    count(kinds, row.group ? `${row.plural}.${row.group}` : row.plural);
    for (const finalizer of metadata.finalizers ?? []) count(finalizers, finalizer);
  }
  return { kinds, finalizers };
}

/** The five conditions that Kubernetes gives a namespace that waits; those that did not change are the same objects as before. */
export function conditionsOf({ kinds, finalizers }: Remains, before: readonly Condition[], now: number): Condition[] {
  const remaining = listed(kinds, (name, n) => `${name} has ${n} resource instances`);
  const waiting = listed(finalizers, (name, n) => `${name} in ${n} resource instances`);
  const rows: [type: string, bad: string | false, badReason: string, goodReason: string, good: string][] = [
    ['NamespaceDeletionDiscoveryFailure', false, '', 'ResourcesDiscovered', 'All resources successfully discovered'],
    [
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      '',
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ],
    [
      'NamespaceDeletionContentFailure',
      false,
      '',
      'ContentDeleted',
      'All content successfully deleted, may be waiting on finalization',
    ],
    [
      'NamespaceContentRemaining',
      remaining && `Some resources are remaining: ${remaining}`,
      'SomeResourcesRemain',
      'ContentRemoved',
      'All content successfully removed',
    ],
    [
      'NamespaceFinalizersRemaining',
      waiting && `Some content in the namespace has finalizers remaining: ${waiting}`,
      'SomeFinalizersRemain',
      'ContentHasNoFinalizers',
      'All content-preserving finalizers finished',
    ],
  ];
  return rows.map(([type, bad, badReason, goodReason, good]) => {
    const status = bad ? 'True' : 'False';
    const [reason, message] = bad ? [badReason, bad] : [goodReason, good];
    const old = before.find((condition) => condition.type === type);
    if (old?.status === status && old.reason === reason && old.message === message) return old;
    const time = timestamp(now);
    const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? time) : time;
    return { type, status, reason, message, lastTransitionTime };
  });
}

function listed(counts: ReadonlyMap<string, number>, text: (name: string, count: number) => string): string | false {
  return (
    counts.size > 0 &&
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => text(name, count))
      .join(', ')
  );
}
