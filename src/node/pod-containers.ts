// Room node: the containers of one pod at work: started, hooked, probed, stopped, and what is remembered of each.
import { rmSync } from 'node:fs';
import type { IP } from '../addr/ip.ts';
import type { Pod } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { ContainerStatus } from '../runtime/runtime.ts';
import { crashes } from './backoff.ts';
import { ContainerProblem, problemAfter } from './container-problem.ts';
import { containerSpec } from './container-spec.ts';
import { containerEnv, type EnvSources } from './env.ts';
import type { PodContext } from './pod-context.ts';
import { sandboxId, terminationPath } from './pod-paths.ts';
import type { Container, ContainerState, Memory, PodSpec } from './pod-view.ts';
import { type Handler, type ProbeTarget, probe } from './probe/probe.ts';
import { needsProbing, Prober } from './probe/prober.ts';
import { withLastWords } from './termination.ts';

const log = logger('pods');

/** What containers need of their pod. */
export interface PodHost {
  readonly pod: Pod;
  readonly podIPs: readonly IP[];
  readonly dataDir: string;
  envSources(): EnvSources;
  /** Something is different: decide anew. */
  changed(): void;
}

export class PodContainers {
  readonly #context: PodContext;
  readonly #host: PodHost;
  readonly #records = new Map<string, ContainerStatus>();
  readonly #memory = new Map<string, Memory>();
  readonly #probers = new Map<string, Prober>();
  readonly #ends = new Map<string, AbortController>();

  constructor(context: PodContext, host: PodHost) {
    this.#context = context;
    this.#host = host;
  }

  get records(): readonly ContainerStatus[] {
    return [...this.#records.values()];
  }

  get memory(): ReadonlyMap<string, Memory> {
    return this.#memory;
  }

  /** A container that was there before this agent; `status` is what the API says of it. */
  adopt(record: ContainerStatus, status?: ContainerState): void {
    this.#put(record);
    if (record.state !== 'running') return;
    const container = this.#container(record.name);
    const known = status?.containerID?.endsWith(record.id) === true;
    if (known) this.#remember(record.name, { image: status.image });
    const before = known ? { started: status.started ?? false, ready: status.ready } : undefined;
    if (container) this.#observe(container, record, before);
  }

  async start(container: Container, attempt: number): Promise<void> {
    this.#remember(container.name, { starting: true });
    const last = this.#latest(container.name);
    try {
      const start = () => this.#context.runtime.startContainer(this.#prepare(container, attempt));
      const record = await this.#context.starts.run(start);
      const count = last ? crashes(this.#memory.get(container.name)?.crashes, last) + 1 : 0;
      this.#remember(container.name, { crashes: count, problem: undefined, image: container.image });
      this.#put(record);
      this.#begun(container, this.#records.get(record.id)!);
    } catch (error) {
      this.#failed(container, error);
    } finally {
      this.#remember(container.name, { starting: undefined });
      this.#host.changed();
    }
  }

  #prepare(container: Container, attempt: number) {
    const { runtime, options } = this.#context;
    const { pod, dataDir } = this.#host;
    const image = runtime.images.resolve(container.image ?? '');
    if (!image) throw ContainerProblem.noImage(container);
    const env = containerEnv(container, this.#host.envSources());
    const message = `Container image "${container.image}" already present on machine`;
    this.#event('Normal', 'Pulled', message, container);
    const places = { sandboxId: sandboxId(pod.metadata.uid), stateDir: options.stateDir, dataDir };
    return containerSpec({ pod, container, attempt, image, env, ...places });
  }

  #begun(container: Container, record: ContainerStatus): void {
    if (record.reason === 'StartError') {
      this.#event('Warning', 'Failed', `Error: ${record.message ?? 'the process could not be started'}`, container);
      return;
    }
    this.#event('Normal', 'Created', `Created container: ${container.name}`, container);
    this.#event('Normal', 'Started', `Started container ${container.name}`, container);
    if (record.state !== 'running') return;
    const hook = container.lifecycle?.postStart;
    if (!hook) {
      this.#observe(container, record);
      return;
    }
    const health = { containerId: record.id, postStart: 'running', started: false, ready: false } as const;
    this.#remember(container.name, { health });
    void this.#postStart(hook as Handler, container, record);
  }

  async #postStart(hook: Handler, container: Container, record: ContainerStatus): Promise<void> {
    const result = await probe(hook, this.#target(container, record.id), NO_LIMIT);
    if (this.#records.get(record.id)?.state !== 'running') return;
    if (result.ok) this.#observe(container, record);
    else {
      this.#event('Warning', 'FailedPostStartHook', `PostStartHook failed: ${result.output}`, container);
      const health = { containerId: record.id, postStart: 'done', started: false, ready: false } as const;
      this.#remember(container.name, { health: { ...health, failed: 'failed its postStart hook' } });
    }
    this.#host.changed();
  }

  #observe(container: Container, record: ContainerStatus, before?: { started: boolean; ready: boolean }): void {
    const prober = new Prober({
      target: this.#target(container, record.id),
      startedAt: Date.parse(record.startedAt),
      ...(before && { before }),
      onVerdict: (verdicts) => {
        this.#remember(container.name, { health: { containerId: record.id, postStart: 'done', ...verdicts } });
        this.#host.changed();
      },
      onFailure: (kind, output) => {
        const what = `${kind[0]!.toUpperCase()}${kind.slice(1)} probe failed: ${output}`;
        this.#event('Warning', 'Unhealthy', what, container);
      },
    });
    this.#remember(container.name, { health: { containerId: record.id, postStart: 'done', ...prober.verdicts } });
    if (!needsProbing(container)) return;
    this.#probers.set(record.id, prober);
    prober.start();
  }

  #target(container: Container, id: string): ProbeTarget {
    const exec = (command: readonly string[]) => this.#context.runtime.exec(id, { command, tty: false, stdin: false });
    return { container, podIP: this.#host.podIPs[0] ?? '127.0.0.1', exec };
  }

  #failed(container: Container, error: unknown): void {
    const problem = problemAfter(error, container, this.#memory.get(container.name)?.problem, Date.now());
    this.#remember(container.name, { problem });
    if (problem.reason === 'ImagePullBackOff') {
      this.#event('Normal', 'BackOff', `Back-off pulling image "${container.image}"`, container);
    }
    this.#event(
      'Warning',
      'Failed',
      problem.reason.startsWith('Err') ? problem.message : `Error: ${problem.message}`,
      container,
    );
  }

  /** Lets what failed for want of a ConfigMap or Secret be tried again now. */
  retryConfig(): void {
    for (const [name, { problem }] of this.#memory) {
      if (problem?.reason === 'CreateContainerConfigError')
        this.#remember(name, { problem: { ...problem, retryAt: 0 } });
    }
  }

  /** A new image in the manifest is not held up by what was wrong with the old one. */
  forgetProblems({ containers, initContainers = [] }: PodSpec): void {
    for (const { name, image } of [...containers, ...initContainers]) {
      if (this.#container(name)?.image !== image) this.#remember(name, { problem: undefined });
    }
  }

  stop(container: Container, id: string, graceMs: number, why: string): void {
    const hook = graceMs > 0 ? container.lifecycle?.preStop : undefined;
    this.#remember(container.name, { stopping: { since: Date.now(), graceMs, hook: hook ? 'running' : 'done' } });
    const cause = why && `Container ${container.name} ${why.split(':')[0]}, will be restarted`;
    this.#event('Normal', 'Killing', cause || `Stopping container ${container.name}`, container);
    this.#probers.get(id)?.stopAllButReadiness();
    if (hook) void this.#preStop(hook as Handler, container, id, graceMs);
    this.#host.changed();
  }

  async #preStop(hook: Handler, container: Container, id: string, graceMs: number): Promise<void> {
    const result = await probe(hook, this.#target(container, id), graceMs);
    if (!result.ok) this.#event('Warning', 'FailedPreStopHook', `PreStopHook failed: ${result.output}`, container);
    const stopping = this.#memory.get(container.name)?.stopping;
    if (!stopping || this.#records.get(id)?.state !== 'running') return;
    this.#remember(container.name, { stopping: { ...stopping, hook: 'done' } });
    this.#host.changed();
  }

  signal(name: string, id: string, signal: NodeJS.Signals): void {
    const stopping = this.#memory.get(name)?.stopping;
    const now = Date.now();
    if (stopping) {
      const at = signal === 'SIGKILL' ? { killAt: now } : { termAt: now };
      this.#remember(name, { stopping: { ...stopping, ...at } });
    }
    this.#context.runtime.signalContainer(id, signal).catch((error: unknown) => {
      log.warn({ err: error, container: name, signal }, 'a signal could not be sent');
    });
    this.#host.changed();
  }

  prune(id: string): void {
    const record = this.#records.get(id);
    if (!record) return;
    this.#records.delete(id);
    rmSync(record.logPath, { force: true });
    rmSync(terminationPath(this.#host.dataDir, record.name, record.attempt), { force: true });
    this.#context.runtime.removeContainer(id).catch((error: unknown) => {
      log.warn({ err: error, id }, 'an old container could not be removed');
    });
  }

  exited(record: ContainerStatus): void {
    this.#put(record);
    this.#host.changed();
  }

  /** Aborted when the container has ended. */
  end(id: string): AbortSignal {
    if (this.#records.get(id)?.state !== 'running') return AbortSignal.abort();
    const end = this.#ends.get(id) ?? new AbortController();
    this.#ends.set(id, end);
    return end.signal;
  }

  stopProbing(): void {
    for (const prober of this.#probers.values()) prober.stop();
    this.#probers.clear();
  }

  /** The end of a container is never unsaid by a late word of its start. */
  #put(record: ContainerStatus): void {
    if (this.#records.get(record.id)?.state === 'exited') return;
    this.#records.set(record.id, withLastWords(record, this.#container(record.name), this.#host.dataDir));
    if (record.state !== 'exited') return;
    this.#probers.get(record.id)?.stop();
    this.#probers.delete(record.id);
    this.#ends.get(record.id)?.abort();
    this.#ends.delete(record.id);
    const { health } = this.#memory.get(record.name) ?? {};
    if (health?.containerId === record.id) this.#remember(record.name, { health: undefined, stopping: undefined });
  }

  #latest(name: string): ContainerStatus | undefined {
    return this.records.filter((record) => record.name === name).toSorted((a, b) => b.attempt - a.attempt)[0];
  }

  #container(name: string): Container | undefined {
    const { spec } = this.#host.pod;
    return [...spec.containers, ...(spec.initContainers ?? [])].find((container) => container.name === name);
  }

  #remember(name: string, change: { [K in keyof Memory]?: Memory[K] | undefined }): void {
    const merged = { ...this.#memory.get(name), ...change };
    const kept = Object.entries(merged).filter(([, value]) => value !== undefined);
    this.#memory.set(name, Object.fromEntries(kept) as Memory);
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string, container: Container): void {
    const { pod } = this.#host;
    const field = pod.spec.containers.some(({ name }) => name === container.name) ? 'containers' : 'initContainers';
    this.#context.recorder.event(pod, type, reason, message, { fieldPath: `spec.${field}{${container.name}}` });
  }
}

/** A postStart hook may take its time: setTimeout's longest. */
const NO_LIMIT = 2 ** 31 - 1;
