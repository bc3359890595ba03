// Room node: where each container of a pod stands and whether its turn has come; pure.
import type { ContainerStatus } from '../runtime/runtime.ts';
import { restartAt } from './backoff.ts';
import type { Container, Memory, PodView, Role } from './pod-view.ts';

export type Stand =
  /** Its turn has not come. */
  | { readonly is: 'waiting' }
  /** May start now. */
  | { readonly is: 'due' }
  /** May start at `at` (ms since the epoch): back-off after a crash or a failed try. */
  | { readonly is: 'held'; readonly at: number }
  | { readonly is: 'running' }
  /** Over and not started again. */
  | { readonly is: 'over'; readonly ok: boolean };

export interface Facts {
  readonly container: Container;
  readonly role: Role;
  readonly memory: Memory;
  readonly last?: ContainerStatus;
  readonly previous?: ContainerStatus;
  readonly stand: Stand;
}

export interface Assessment {
  readonly inits: readonly Facts[];
  readonly apps: readonly Facts[];
  /** Every init container is over and every sidecar has started. */
  readonly initialized: boolean;
  /** Why the pod must end, if it must. */
  readonly ending?: Ending;
  /** Nothing of it runs, and nothing will. */
  readonly over: boolean;
}

export type Ending =
  | { readonly why: 'gone' }
  | { readonly why: 'deleted'; readonly graceMs: number }
  /** The API already says Succeeded or Failed: never to be run again. */
  | { readonly why: 'terminal' }
  /** The node does not take it: nothing of it has run. */
  | { readonly why: 'refused' }
  | { readonly why: 'deadline'; readonly graceMs: number }
  /** By its restartPolicy the work of the pod is over. */
  | { readonly why: 'finished'; readonly graceMs: number };

const NOTHING: Memory = {};

export function assess(view: PodView): Assessment {
  const ending = endingOf(view);
  const { spec } = view.pod;
  const begun = hasBegun(view);
  const inits: Facts[] = [];
  let open = view.sandbox !== undefined && view.chores.get('volumes')?.state === 'done';
  for (const container of spec.initContainers ?? []) {
    const facts = stand(view, container, container.restartPolicy === 'Always' ? 'sidecar' : 'init', open, begun);
    inits.push(facts);
    if (!begun && !passed(facts)) open = false;
  }
  const apps = spec.containers.map((container) => stand(view, container, 'app', open, begun));
  const initialized = begun || inits.every(passed);
  const finished = ending ?? finishedByPolicy(view, inits, apps);
  const over = finished !== undefined && ![...inits, ...apps].some((facts) => facts.stand.is === 'running');
  return { inits, apps, initialized, over, ...(finished && { ending: finished }) };
}

function endingOf({ pod, base, gone, now, refusal }: PodView): Ending | undefined {
  if (gone) return { why: 'gone' };
  if (base.phase === 'Succeeded' || base.phase === 'Failed') return { why: 'terminal' };
  const normal = pod.spec.terminationGracePeriodSeconds ?? 30;
  if (pod.metadata.deletionTimestamp) {
    return { why: 'deleted', graceMs: 1000 * (pod.metadata.deletionGracePeriodSeconds ?? normal) };
  }
  if (refusal) return { why: 'refused' };
  const deadline = deadlineOf(pod.spec.activeDeadlineSeconds, base.startTime);
  return deadline !== undefined && now >= deadline ? { why: 'deadline', graceMs: 1000 * normal } : undefined;
}

/** When activeDeadlineSeconds run out, in ms since the epoch. */
export function deadlineOf(seconds: number | undefined, startTime: string | undefined): number | undefined {
  return seconds === undefined || !startTime ? undefined : Date.parse(startTime) + 1000 * seconds;
}

/** An app container has been started in this sandbox: init containers are past, whatever is left of their records. */
function hasBegun(view: PodView): boolean {
  const names = new Set(view.pod.spec.containers.map(({ name }) => name));
  return view.records.some((record) => record.sandboxId === view.sandbox?.id && names.has(record.name));
}

/** Lets the container after it go on. */
function passed({ role, stand: { is }, memory, stand: s }: Facts): boolean {
  if (role === 'sidecar') return is === 'running' && (memory.health?.started ?? false);
  return s.is === 'over' && s.ok;
}

function stand(view: PodView, container: Container, role: Role, open: boolean, begun: boolean): Facts {
  const [last, previous] = view.records
    .filter((record) => record.name === container.name)
    .toSorted((a, b) => b.attempt - a.attempt);
  const memory = view.memory.get(container.name) ?? NOTHING;
  const facts = { container, role, memory, ...(last && { last }), ...(previous && { previous }) };
  const here = last?.sandboxId === view.sandbox?.id;
  return { ...facts, stand: standOf(view, facts, here, open, begun) };
}

function standOf(
  view: PodView,
  { container, role, memory, last }: Omit<Facts, 'stand'>,
  here: boolean,
  open: boolean,
  begun: boolean,
): Stand {
  if (last?.state === 'running') return { is: 'running' };
  if (role === 'init' && begun) return { is: 'over', ok: true };
  // A past sandbox took its init containers and sidecars with it: they run again in the new one.
  if (last && (here || role === 'app') && !wantsRestart(view.pod.spec.restartPolicy, container, role, last)) {
    return { is: 'over', ok: last.exitCode === 0 };
  }
  if (!open) return { is: 'waiting' };
  const at = Math.max(last ? restartAt(memory.crashes, last) : 0, memory.problem?.retryAt ?? 0);
  return at > view.now ? { is: 'held', at } : { is: 'due' };
}

function wantsRestart(policy: string | undefined, container: Container, role: Role, last: ContainerStatus): boolean {
  const rule = container.restartPolicy ?? policy ?? 'Always';
  if (role === 'sidecar') return true;
  if (role === 'init') return last.exitCode !== 0 && rule !== 'Never';
  return rule === 'Always' || (rule === 'OnFailure' && last.exitCode !== 0);
}

function finishedByPolicy(view: PodView, inits: readonly Facts[], apps: readonly Facts[]): Ending | undefined {
  const failed = inits.some(({ role, stand: s }) => role === 'init' && s.is === 'over' && !s.ok);
  if (!failed && !apps.every((facts) => facts.stand.is === 'over')) return undefined;
  return { why: 'finished', graceMs: 1000 * (view.pod.spec.terminationGracePeriodSeconds ?? 30) };
}
