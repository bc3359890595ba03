// Room node: all that the next step of one pod depends on, as plain values: what is wanted, what runs, what was tried.
import type { IP } from '../addr/ip.ts';
import type { Pod } from '../objects/types.ts';
import type { ContainerStatus } from '../runtime/runtime.ts';
import type { Refusal } from './admission.ts';

export type PodSpec = Pod['spec'];
export type Container = PodSpec['containers'][number];
export type PodStatus = NonNullable<Pod['status']>;
export type PodCondition = NonNullable<PodStatus['conditions']>[number];
export type ContainerState = NonNullable<PodStatus['containerStatuses']>[number];

/** `sidecar`: an init container with restartPolicy Always (KEP-753). */
export type Role = 'init' | 'sidecar' | 'app';

/** What is done once for a pod, besides its containers. */
export type Chore = 'sandbox' | 'volumes' | 'teardown' | 'delete';

export interface ChoreState {
  readonly state: 'running' | 'done' | 'failed';
  /** Failures so far; the next try is at `retryAt` (ms since the epoch). */
  readonly tries: number;
  readonly retryAt: number;
}

/** Why a container could not be made; it is tried again at `retryAt`. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
  readonly tries: number;
  readonly retryAt: number;
}

/** A container on its way out. Times in ms since the epoch. */
export interface Stopping {
  readonly since: number;
  readonly graceMs: number;
  readonly hook: 'running' | 'done';
  readonly termAt?: number;
  readonly killAt?: number;
}

/** What hooks and probes say of the running container `containerId`. */
export interface Health {
  readonly containerId: string;
  readonly postStart: 'running' | 'done';
  readonly started: boolean;
  readonly ready: boolean;
  /** A liveness or startup probe or the postStart hook wants it dead: `failed liveness probe: …`. */
  readonly failed?: string;
  /** The probe's own terminationGracePeriodSeconds. */
  readonly graceSeconds?: number;
}

/** What the agent remembers of one container name; all of it may be lost. */
export interface Memory {
  /** Restarts in a row, each within ten minutes of the one before. */
  readonly crashes?: number;
  /** What the newest run was started from, as the manifest had it then. */
  readonly image?: string;
  readonly starting?: boolean;
  readonly problem?: Problem;
  readonly health?: Health;
  readonly stopping?: Stopping;
}

export interface PodView {
  readonly pod: Pod;
  /** The newest status known to be in the API. */
  readonly base: PodStatus;
  /** `base` is what podStatus() of the view before this one said. */
  readonly statusWritten: boolean;
  /** The object is gone from the API (deleted by force): only the remains are to be removed. */
  readonly gone: boolean;
  readonly now: number;
  readonly hostIPs: readonly IP[];
  /** The node does not take it. */
  readonly refusal?: Refusal;
  /** Made and on the network. */
  readonly sandbox?: { readonly id: string; readonly podIPs: readonly IP[] };
  readonly chores: ReadonlyMap<Chore, ChoreState>;
  /** Of this pod, of any sandbox. */
  readonly records: readonly ContainerStatus[];
  readonly memory: ReadonlyMap<string, Memory>;
}

export type Step =
  | { readonly do: Chore }
  | { readonly do: 'start'; readonly container: Container; readonly role: Role; readonly attempt: number }
  /** Runs the preStop hook, if any; the signals are steps of their own. */
  | {
      readonly do: 'stop';
      readonly container: Container;
      readonly id: string;
      readonly graceMs: number;
      readonly why: string;
    }
  | { readonly do: 'signal'; readonly name: string; readonly id: string; readonly signal: NodeJS.Signals }
  | { readonly do: 'prune'; readonly id: string };
