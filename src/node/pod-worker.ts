// Room node: one pod's worker: looks at what is wanted and what is there, takes the next steps, says what is so in status.
import { rmSync } from 'node:fs';
import type { IP } from '../addr/ip.ts';
import { isConflict, isNotFound } from '../objects/status.ts';
import type { Pod } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { ContainerStatus, Sandbox } from '../runtime/runtime.ts';
import { isOver, type Refusal } from './admission.ts';
import { backoffDelay } from './backoff.ts';
import { decide } from './decide.ts';
import { ConfigError, type PodFacts } from './downward.ts';
import type { EnvSources } from './env.ts';
import { lostRecords } from './lost-records.ts';
import { PodContainers, type PodHost } from './pod-containers.ts';
import { linkedServices, type PodContext } from './pod-context.ts';
import { podDataDir, podLogDir } from './pod-paths.ts';
import { type ConnectedSandbox, connectSandbox, removeSandbox, runSandbox } from './pod-sandbox.ts';
import { podStatus } from './pod-status.ts';
import type { Chore, ChoreState, PodStatus, PodView, Step } from './pod-view.ts';
import { PodVolumes } from './pod-volumes.ts';
import { StatusWriter } from './status-writer.ts';
import { unmountVolumes } from './volumes.ts';

const log = logger('pods');
const LONGEST_TIMER = 2 ** 31 - 1;

export interface Adopted {
  readonly sandbox: Sandbox;
  readonly containers: readonly ContainerStatus[];
}

/** What of a pod is settled when it comes: that it runs already, or that the node does not take it. */
export interface Beginning {
  readonly adopted?: Adopted | undefined;
  readonly refusal?: Refusal | undefined;
}

export class PodWorker implements PodHost {
  readonly containers: PodContainers;
  readonly #context: PodContext;
  readonly #status: StatusWriter;
  readonly #chores = new Map<Chore, ChoreState>();
  readonly #volumes: PodVolumes;
  readonly #onFinished: () => void;
  /** By container name, the run whose back-off an event has told of. */
  readonly #backOffs = new Map<string, string>();
  #deadlineTold = false;
  readonly #refusal: Refusal | undefined;
  #pod: Pod;
  #gone = false;
  #closed = false;
  #sandbox: ConnectedSandbox | undefined;
  #queued = false;
  #timer: NodeJS.Timeout | undefined;

  /** `onFinished` is called when nothing of the pod is left. */
  constructor(context: PodContext, pod: Pod, { adopted, refusal }: Beginning, onFinished: () => void) {
    this.#context = context;
    this.#pod = pod;
    this.#refusal = refusal;
    if (refusal) context.recorder.event(pod, 'Warning', refusal.reason, refusal.message);
    this.#onFinished = onFinished;
    this.#status = new StatusWriter(context.client, pod, () => this.changed());
    this.#volumes = new PodVolumes(context, this, {
      onChange: () => this.#configChanged(),
      onFailure: (error) => this.#complain('volumes', error),
    });
    this.containers = new PodContainers(context, this);
    if (adopted) this.#adopt(adopted);
    const known = adopted?.containers ?? [];
    for (const record of lostRecords(pod, known)) this.containers.adopt(record);
    this.changed();
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Whether it has ports of the node, or is going to. */
  get holdsPorts(): boolean {
    // Of one that is gone from the API others have heard that its ports are free; the rules wait for each other.
    return !this.#refusal && !this.#gone && !isOver({ ...this.#pod, status: this.#status.base });
  }

  get podIPs(): readonly IP[] {
    return this.#sandbox?.podIPs ?? [];
  }

  get dataDir(): string {
    return podDataDir(this.#context.options.stateDir, this.#pod.metadata.uid);
  }

  /** Where the pod stands, for tests and for those who ask about its containers. */
  view(): PodView {
    return {
      pod: this.#pod,
      base: this.#status.base,
      statusWritten: true,
      gone: this.#gone,
      now: Date.now(),
      hostIPs: this.#context.options.nodeIPs,
      ...(this.#refusal && { refusal: this.#refusal }),
      ...(this.#sandbox && { sandbox: this.#sandbox }),
      chores: this.#chores,
      records: this.containers.records,
      memory: this.containers.memory,
    };
  }

  update(pod: Pod): void {
    const { labels, annotations } = this.#pod.metadata;
    this.containers.forgetProblems(pod.spec);
    this.#pod = pod;
    this.#status.heard(pod);
    const same =
      JSON.stringify([labels, annotations]) === JSON.stringify([pod.metadata.labels, pod.metadata.annotations]);
    if (!same) this.#volumes.refresh();
    this.changed();
  }

  /** The object is gone from the API: whatever is left of the pod goes too. */
  remove(): void {
    this.#gone = true;
    this.changed();
  }

  /** Stops working and leaves all as it is. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.containers.stopProbing();
    this.#volumes.close();
  }

  /** Many changes at once are looked at once. */
  changed(): void {
    if (this.#queued || this.#closed) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (!this.#closed) this.#evaluate();
    });
  }

  #evaluate(): void {
    const view = this.view();
    const status = podStatus(view);
    const statusWritten = !this.#hasJustCome(view) && this.#status.write(status);
    this.#tellOfBackOff(status);
    this.#tellOfDeadline(status);
    const { steps, wakeAt } = decide({ ...view, statusWritten });
    for (const step of steps) this.#take(step);
    clearTimeout(this.#timer);
    if (wakeAt !== undefined) {
      const inMs = Math.min(Math.max(wakeAt - Date.now(), 0), LONGEST_TIMER);
      this.#timer = setTimeout(() => this.changed(), inMs);
    }
    if (this.#gone && this.#chores.get('teardown')?.state === 'done') this.#finish();
  }

  /** Its sandbox is there in a millisecond or two: what is to be said before that is said together with its address. */
  #hasJustCome({ base, pod, gone }: PodView): boolean {
    const sandbox = this.#chores.get('sandbox');
    const first = sandbox === undefined || (sandbox.state === 'running' && sandbox.tries === 0);
    const ending = gone || pod.metadata.deletionTimestamp !== undefined || base.phase === 'Failed' || this.#refusal;
    return first && !ending && base.startTime === undefined;
  }

  #tellOfDeadline({ reason, message = '' }: PodStatus): void {
    if (reason !== 'DeadlineExceeded' || this.#deadlineTold || this.#pod.status?.reason === reason) return;
    this.#deadlineTold = true;
    this.#context.recorder.event(this.#pod, 'Normal', reason, message);
  }

  /** Once for each end of a container after which the next start must wait. */
  #tellOfBackOff({ initContainerStatuses = [], containerStatuses = [] }: PodStatus): void {
    const { name, namespace, uid } = this.#pod.metadata;
    for (const { state, containerID = '', name: container } of [...initContainerStatuses, ...containerStatuses]) {
      if (state?.waiting?.reason !== 'CrashLoopBackOff' || this.#backOffs.get(container) === containerID) continue;
      this.#backOffs.set(container, containerID);
      const message = `Back-off restarting failed container ${container} in pod ${name}_${namespace}(${uid})`;
      this.#context.recorder.event(this.#pod, 'Warning', 'BackOff', message);
    }
  }

  #take(step: Step): void {
    switch (step.do) {
      case 'start':
        void this.containers.start(step.container, step.attempt);
        break;
      case 'stop':
        this.containers.stop(step.container, step.id, step.graceMs, step.why);
        break;
      case 'signal':
        this.containers.signal(step.name, step.id, step.signal);
        break;
      case 'prune':
        this.containers.prune(step.id);
        break;
      default:
        void this.#perform(step.do);
    }
  }

  async #perform(chore: Chore): Promise<void> {
    const tries = this.#chores.get(chore)?.tries ?? 0;
    this.#chores.set(chore, { state: 'running', tries, retryAt: 0 });
    try {
      await this.#work[chore]();
      this.#chores.set(chore, { state: 'done', tries: 0, retryAt: 0 });
    } catch (error) {
      const retryAt = Date.now() + Math.min(1000 * 2 ** tries, backoffDelay(tries + 1));
      this.#chores.set(chore, { state: 'failed', tries: tries + 1, retryAt });
      this.#complain(chore, error);
    }
    this.changed();
  }

  #complain(chore: Chore, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const { namespace, name } = this.#pod.metadata;
    log.warn(
      { pod: `${namespace}/${name}`, chore, err: error instanceof ConfigError ? message : error },
      'to be tried again',
    );
    const { recorder } = this.#context;
    if (chore === 'sandbox') {
      recorder.event(this.#pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`);
    }
    if (chore === 'volumes') recorder.event(this.#pod, 'Warning', 'FailedMount', message);
    if (chore === 'teardown') recorder.event(this.#pod, 'Warning', 'FailedKillPod', `error killing pod: ${message}`);
  }

  readonly #work: Record<Chore, () => Promise<void>> = {
    sandbox: async () => {
      this.#sandbox = connectSandbox(this.#context, this.#pod, await runSandbox(this.#context, this.#pod));
    },
    volumes: () => this.#volumes.make(),
    teardown: async () => {
      this.containers.stopProbing();
      this.#volumes.close();
      await removeSandbox(this.#context, this.#pod);
      await this.#volumes.settled();
      unmountVolumes(this.#pod, this.dataDir);
      rmSync(this.dataDir, { recursive: true, force: true });
    },
    delete: async () => {
      const { name, namespace, uid } = this.#pod.metadata;
      try {
        const options = { gracePeriodSeconds: 0, preconditions: { uid } };
        await this.#context.client.delete('Pod', name, namespace, options);
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    },
  };

  #adopt({ sandbox, containers }: Adopted): void {
    try {
      this.#sandbox = connectSandbox(this.#context, this.#pod, sandbox, true);
      this.#chores.set('sandbox', { state: 'done', tries: 0, retryAt: 0 });
    } catch (error) {
      // Its namespace did not survive (a restart of the machine): the chore makes it anew.
      this.#complain('sandbox', error);
    }
    const states = [...(this.#pod.status?.initContainerStatuses ?? []), ...(this.#pod.status?.containerStatuses ?? [])];
    for (const record of containers) {
      this.containers.adopt(
        record,
        states.find(({ name }) => name === record.name),
      );
    }
  }

  get facts(): PodFacts {
    const { options, allocatable } = this.#context;
    const { nodeName, nodeIPs: hostIPs } = options;
    return { pod: this.#pod, nodeName, hostIPs, podIPs: this.podIPs, allocatable };
  }

  envSources(): EnvSources {
    const links = this.#pod.spec.enableServiceLinks ?? true;
    const services = linkedServices(this.#context.services, this.#pod.metadata.namespace!, links);
    return { ...this.#volumes.config, facts: this.facts, services };
  }

  #configChanged(): void {
    this.containers.retryConfig();
    const volumes = this.#chores.get('volumes');
    if (volumes?.state === 'failed') this.#chores.set('volumes', { ...volumes, retryAt: 0 });
    this.#volumes.refresh();
    this.changed();
  }

  #finish(): void {
    this.close();
    rmSync(podLogDir(this.#context.options.stateDir, this.#pod), { recursive: true, force: true });
    this.#onFinished();
  }
}
