// Room node: a pod and its surroundings in a few words, for unit tests.
import type { Pod } from '../objects/types.ts';
import type { ContainerStatus } from '../runtime/runtime.ts';
import type { Chore, Container, Health, Memory, PodSpec, PodStatus, PodView } from './pod-view.ts';

export const T0 = Date.parse('2026-01-01T00:00:00Z');
export const POD_UID = '0b0c6a52-2f5e-4a2e-9a39-3d8a3b8f1d2e';
export const SANDBOX_ID = `${POD_UID}-0`;

export function at(second: number): string {
  return new Date(T0 + second * 1000).toISOString();
}

export function pod(spec: Partial<PodSpec> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: POD_UID,
      resourceVersion: '7',
      creationTimestamp: at(0),
      ...metadata,
    },
    spec: { containers: [{ name: 'app', image: 'host' }], nodeName: 'worker-1', ...spec },
  };
}

export function container(name: string, rest: Partial<Container> = {}): Container {
  return { name, image: 'host', ...rest };
}

type RecordRest = Partial<Omit<ContainerStatus, 'startedAt' | 'finishedAt'>> & { started?: number; finished?: number };

/** Running since second `started`, or ended at `finished` with `exitCode` 0. */
export function record(name: string, rest: RecordRest = {}): ContainerStatus {
  const { started = 1, finished, attempt = 0, ...more } = rest;
  return {
    id: `${name}-${attempt}`,
    sandboxId: SANDBOX_ID,
    name,
    attempt,
    state: finished === undefined ? 'running' : 'exited',
    startedAt: at(started),
    ...(finished !== undefined && { finishedAt: at(finished), exitCode: 0 }),
    imageRef: 'host',
    logPath: `/logs/${name}/${attempt}.log`,
    ...more,
  };
}

export function healthy(containerId: string, rest: Partial<Health> = {}): Health {
  return { containerId, postStart: 'done', started: true, ready: true, ...rest };
}

interface Scene {
  pod?: Pod;
  now?: number;
  base?: PodStatus;
  statusWritten?: boolean;
  gone?: boolean;
  /** False: not made yet. */
  sandbox?: boolean;
  chores?: Partial<Record<Chore, 'running' | 'done' | { retryAt: number }>>;
  records?: ContainerStatus[];
  memory?: Record<string, Memory>;
}

/** A pod whose sandbox and volumes are there, at second `now`; running containers are healthy unless `memory` says otherwise. */
export function scene(given: Scene = {}): PodView {
  const made = given.sandbox ?? true;
  const chores = { ...(made && { sandbox: 'done' as const, volumes: 'done' as const }), ...given.chores };
  const records = given.records ?? [];
  const running = records.filter(({ state }) => state === 'running');
  const memory = new Map<string, Memory>(running.map(({ name, id }) => [name, { health: healthy(id) }]));
  for (const [name, more] of Object.entries(given.memory ?? {})) memory.set(name, { ...memory.get(name), ...more });
  return {
    pod: given.pod ?? pod(),
    base: given.base ?? { phase: 'Pending', startTime: at(0).replace('.000', '') },
    statusWritten: given.statusWritten ?? true,
    gone: given.gone ?? false,
    now: T0 + (given.now ?? 2) * 1000,
    hostIPs: ['172.30.0.11'],
    ...(made && { sandbox: { id: SANDBOX_ID, podIPs: ['10.244.0.5'] } }),
    chores: new Map(
      Object.entries(chores).map(([chore, state]) => [
        chore as Chore,
        typeof state === 'object'
          ? { state: 'failed', tries: 1, retryAt: T0 + state.retryAt * 1000 }
          : { state, tries: 0, retryAt: 0 },
      ]),
    ),
    records,
    memory,
  };
}
