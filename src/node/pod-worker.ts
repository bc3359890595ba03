// Room node: one pod's worker: looks at what is wanted and what is there, takes the next steps, says what is so in status.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IP } from '../addr/ip.ts';
import { isConflict, isNotFound } from '../objects/status.ts';
import type { Pod } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { ContainerStatus, Sandbox } from '../runtime/runtime.ts';
import { backoffDelay } from './backoff.ts';
import type { ConfigLease } from './config-watch.ts';
import { decide } from './decide.ts';
import { ConfigError } from './downward.ts';
import type { EnvSources } from './env.ts';
import { hostsFile, podHostname, resolvConf } from './etc-files.ts';
import { lostRecords } from './lost-records.ts';
import { PodContainers, type PodHost } from './pod-containers.ts';
import { linkedServices, type PodContext } from './pod-context.ts';
import { etcPath, podDataDir, podLogDir, sandboxId } from './pod-paths.ts';
import { podStatus } from './pod-status.ts';
import type { Chore, ChoreState, PodStatus, PodView, Step } from './pod-view.ts';
import { StatusWriter } from './status-writer.ts';
import { PodTokens } from './tokens.ts';
import type { VolumeSources } from './volume-files.ts';
import { makeVolumes, unmountVolumes } from './volumes.ts';

const log = logger('pods');
const LONGEST_TIMER = 2 ** 31 - 1;

export interface Adopted {
  readonly sandbox: Sandbox;
  readonly containers: readonly ContainerStatus[];
}

export class PodWorker implements PodHost {
  readonly containers: PodContainers;
  readonly #context: PodContext;
  readonly #status: StatusWriter;
  readonly #chores = new Map<Chore, ChoreState>();
  readonly #config: ConfigLease;
  readonly #tokens: PodTokens;
  readonly #onFinished: () => void;
  /** By container name, the run whose back-off an event has told of. */
  readonly #backOffs = new Map<string, string>();
  #pod: Pod;
  #gone = false;
  #closed = false;
  #sandbox: { id: string; podIPs: readonly IP[] } | undefined;
  #queued = false;
  #timer: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #refreshing: Promise<void> | undefined;

  /** `adopted` is what runs of this pod already. `onFinished` is called when nothing of the pod is left. */
  constructor(context: PodContext, pod: Pod, adopted: Adopted | undefined, onFinished: () => void) {
    this.#context = context;
    this.#pod = pod;
    this.#onFinished = onFinished;
    this.#status = new StatusWriter(context.client, pod, () => this.changed());
    this.#tokens = new PodTokens(context.client, pod);
    this.#config = context.configs.lease(pod.metadata.namespace!, pod.spec, () => this.#configChanged());
    this.containers = new PodContainers(context, this);
    if (adopted) this.#adopt(adopted);
    const known = adopted?.containers ?? [];
    for (const record of lostRecords(pod, known)) this.containers.adopt(record);
    this.changed();
  }

  get pod(): Pod {
    return this.#pod;
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
      ...(this.#sandbox && { sandbox: this.#sandbox }),
      chores: this.#chores,
      records: this.containers.records,
      memory: this.containers.memory,
    };
  }

  update(pod: Pod): void {
    const { labels, annotations } = this.#pod.metadata;
    this.#pod = pod;
    this.#status.heard(pod);
    const same =
      JSON.stringify([labels, annotations]) === JSON.stringify([pod.metadata.labels, pod.metadata.annotations]);
    if (!same) this.#refreshVolumes();
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
    clearTimeout(this.#renewal);
    this.containers.stopProbing();
    this.#config.release();
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
    const statusWritten = this.#status.write(status);
    this.#tellOfBackOff(status);
    const { steps, wakeAt } = decide({ ...view, statusWritten });
    for (const step of steps) this.#take(step);
    clearTimeout(this.#timer);
    if (wakeAt !== undefined) {
      const inMs = Math.min(Math.max(wakeAt - Date.now(), 0), LONGEST_TIMER);
      this.#timer = setTimeout(() => this.changed(), inMs);
    }
    if (this.#gone && this.#chores.get('teardown')?.state === 'done') this.#finish();
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
      const { metadata, spec } = this.#pod;
      const sandbox = await this.#context.runtime.runSandbox({
        id: sandboxId(metadata.uid),
        podUid: metadata.uid,
        podNamespace: metadata.namespace!,
        podName: metadata.name,
        hostname: podHostname(this.#pod, this.#context.options.nodeName),
        hostNetwork: spec.hostNetwork ?? false,
      });
      this.#connect(sandbox);
    },
    volumes: async () => {
      await this.#config.synced;
      await makeVolumes(this.#pod, this.dataDir, this.#sources());
      this.#renewTokens();
    },
    teardown: async () => {
      const id = sandboxId(this.#pod.metadata.uid);
      this.containers.stopProbing();
      await this.#context.runtime.removeSandbox(id);
      if (!this.#pod.spec.hostNetwork) this.#context.network.detach(id);
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
      this.#connect(sandbox);
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

  /** Puts the sandbox on the network and writes the files under /etc; both are the same when done again. */
  #connect(sandbox: Sandbox): void {
    const { options, network } = this.#context;
    const { metadata, spec } = this.#pod;
    const { id, netns } = sandbox;
    const names = { podUid: metadata.uid, podNamespace: metadata.namespace!, podName: metadata.name };
    const podIPs = spec.hostNetwork ? options.nodeIPs : network.attach({ sandboxId: id, netns, ...names });
    this.#sandbox = { id, podIPs };
    const hostname = podHostname(this.#pod, options.nodeName);
    const files = {
      hosts: hostsFile(this.#pod, hostname, podIPs, options.clusterDomain),
      hostname: `${hostname}\n`,
      'resolv.conf': resolvConf(this.#pod, options),
    } as const;
    for (const [file, text] of Object.entries(files)) {
      const path = etcPath(this.dataDir, file as keyof typeof files);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }

  #sources(): VolumeSources {
    const { options, allocatable } = this.#context;
    const { nodeName, nodeIPs: hostIPs } = options;
    return {
      facts: { pod: this.#pod, nodeName, hostIPs, podIPs: this.podIPs, allocatable },
      configMap: (name) => this.#config.configMap(name),
      secret: (name) => this.#config.secret(name),
      token: (audience, seconds) => this.#tokens.get(audience, seconds),
    };
  }

  envSources(): EnvSources {
    const links = this.#pod.spec.enableServiceLinks ?? true;
    const services = linkedServices(this.#context.services, this.#pod.metadata.namespace!, links);
    return { ...this.#sources(), services };
  }

  #configChanged(): void {
    this.containers.retryConfig();
    const volumes = this.#chores.get('volumes');
    if (volumes?.state === 'failed') this.#chores.set('volumes', { ...volumes, retryAt: 0 });
    this.#refreshVolumes();
    this.changed();
  }

  /** Brings the files of volumes up to date in a pod that runs; one after the other. */
  #refreshVolumes(): void {
    if (this.#chores.get('volumes')?.state !== 'done' || this.#chores.has('teardown')) return;
    const before = this.#refreshing ?? Promise.resolve();
    const refresh = async () => {
      await before;
      if (this.#closed || this.#chores.has('teardown')) return;
      try {
        await makeVolumes(this.#pod, this.dataDir, this.#sources());
        this.#renewTokens();
      } catch (error) {
        this.#complain('volumes', error);
      }
    };
    this.#refreshing = refresh();
  }

  #renewTokens(): void {
    const at = this.#tokens.renewAt;
    clearTimeout(this.#renewal);
    if (at === undefined) return;
    this.#renewal = setTimeout(() => this.#refreshVolumes(), Math.min(Math.max(at - Date.now(), 1000), LONGEST_TIMER));
  }

  #finish(): void {
    this.close();
    rmSync(podLogDir(this.#context.options.stateDir, this.#pod), { recursive: true, force: true });
    this.#onFinished();
  }
}
