// Room runtime: a node's runtime: sandboxes of pinned namespaces, containers under an OCI runtime, each held by its own conmon.
import { makeCgroup } from '../kernel/cgroup.ts';
import { Fault } from '../observe/fault.ts';
import { logger } from '../observe/log.ts';
import { makeFolder } from '../sys/folder.ts';
import { attachTo } from './attach.ts';
import { Container, type ContainerHome } from './container.ts';
import { execIn } from './exec.ts';
import { openImageStore, type UnpackedImages } from './images/store.ts';
import { enterNodeMounts } from './mounts.ts';
import { type RuntimePaths, runtimePaths } from './paths.ts';
import { findHolders } from './processes.ts';
import { type ContainerRecord, readRecords } from './record.ts';
import { rootFilesystem } from './root-filesystem.ts';
import type {
  ContainerSpec,
  ContainerStatus,
  ExecOptions,
  ExecProcess,
  Runtime,
  Sandbox,
  SandboxSpec,
} from './runtime.ts';
import { createSandbox, deleteSandbox } from './sandbox.ts';
import { resolveUser } from './user.ts';

const log = logger('runtime');

export interface RuntimeOptions {
  /** The node's; ours is the folder `runtime` in it. */
  readonly stateDir: string;
  readonly imageDir: string;
  readonly clusterName: string;
  readonly nodeName: string;
  /** Network namespace of pods with hostNetwork; absent on a real host: process 1's. */
  readonly nodeNetns?: string;
  readonly ociRuntime: string;
  readonly conmon: string;
  /** The name of the cgroup (version 2) into which processes of pods are put before they run, but for hostNetwork; absent: none. */
  readonly podCgroup?: string;
}

/**
 * Call it in the node's thread, which it moves into the node's mount namespace: from then on async `fs` (libuv's pool) sees
 * other mounts than sync `fs`. Adopts whatever an earlier process left running.
 */
export async function openRuntime(options: RuntimeOptions): Promise<Runtime> {
  const runtime = new NodeRuntime(options);
  await runtime.adopt();
  return runtime;
}

class NodeRuntime implements Runtime {
  readonly images: UnpackedImages;
  readonly #options: RuntimeOptions;
  readonly #paths: RuntimePaths;
  #home: ContainerHome;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, Container>();
  readonly #handlers = new Set<(status: ContainerStatus) => void>();
  /** Ends that nobody was there to hear of. */
  #unheard: ContainerStatus[] = [];

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#paths = runtimePaths(options.stateDir);
    this.images = openImageStore(options.imageDir);
    const { sandboxes, containers, exits, oci } = this.#paths;
    for (const dir of [sandboxes, containers, exits, oci]) makeFolder(dir, 0o700);
    this.#home = {
      programs: options,
      paths: this.#paths,
      podCgroup: undefined,
      ended: (status) => this.#ended(status),
    };
  }

  async adopt(): Promise<void> {
    const { records, incomplete } = readRecords<ContainerRecord>(this.#paths.containers);
    const known = records.flatMap((record) => record.conmon ?? []);
    const stray =
      incomplete.length > 0 || records.some((record) => record.state === 'creating')
        ? findHolders(this.#paths.containers)
        : new Map();
    enterNodeMounts([...known, ...[...stray.values()].flat()], this.#options.ociRuntime);
    const { podCgroup } = this.#options;
    // As these mounts show it.
    if (podCgroup) this.#home = { ...this.#home, podCgroup: makeCgroup(podCgroup) };
    for (const id of incomplete) await new Container(this.#home, unrecorded(id)).clear();
    const sandboxes = readRecords<Sandbox>(this.#paths.sandboxes);
    for (const sandbox of sandboxes.records) this.#sandboxes.set(sandbox.id, sandbox);
    for (const record of records) {
      const container = new Container(this.#home, record);
      if ((await container.adopt()) === 'forgotten') continue;
      // One whose sandbox nobody knows would run on in namespaces that no pod can be given.
      if (this.#sandboxes.has(record.spec.sandboxId)) this.#containers.set(container.id, container);
      else await container.remove();
    }
    for (const id of sandboxes.incomplete) deleteSandbox(this.#options, this.#paths, id);
  }

  sandboxes(): Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  containers(): ContainerStatus[] {
    return [...this.#containers.values()].map((container) => container.status);
  }

  async runSandbox(spec: SandboxSpec): Promise<Sandbox> {
    const sandbox = createSandbox(this.#options, this.#paths, spec, this.#sandboxes.get(spec.id));
    this.#sandboxes.set(spec.id, sandbox);
    return sandbox;
  }

  async removeSandbox(id: string): Promise<void> {
    const own = [...this.#containers.values()].filter((container) => container.spec.sandboxId === id);
    await Promise.all(own.map((container) => this.removeContainer(container.id)));
    deleteSandbox(this.#options, this.#paths, id);
    this.#sandboxes.delete(id);
  }

  async startContainer(spec: ContainerSpec): Promise<ContainerStatus> {
    const sandbox = this.#sandboxes.get(spec.sandboxId);
    if (!sandbox) throw new Fault(`container ${spec.id}: there is no sandbox ${spec.sandboxId}`);
    const existing = this.#containers.get(spec.id);
    if (existing && existing.status.startedAt !== '') return existing.status;
    const container = existing ?? new Container(this.#home, { spec, state: 'creating', startedAt: '' });
    this.#containers.set(spec.id, container);
    const { ref } = spec.image;
    const layers = ref.startsWith('sha256:') ? this.images.layers(ref) : [];
    return container.start(sandbox, rootFilesystem(spec.image, layers, this.#options.imageDir));
  }

  async signalContainer(id: string, signal: NodeJS.Signals): Promise<void> {
    this.#containers.get(id)?.signal(signal);
  }

  async removeContainer(id: string): Promise<void> {
    await this.#containers.get(id)?.remove();
    this.#containers.delete(id);
  }

  async exec(containerId: string, options: ExecOptions): Promise<ExecProcess> {
    const container = this.#containers.get(containerId);
    if (container?.status.state !== 'running') throw new Fault(`container ${containerId} is not running`);
    const { spec, paths } = container;
    const sandbox = this.#sandboxes.get(spec.sandboxId);
    return execIn(
      {
        programs: this.#options,
        paths: this.#paths,
        dir: paths.dir,
        spec,
        user: resolveUser(spec, paths.rootfs),
        hostname: sandbox?.hostname ?? '',
        cgroup: sandbox?.hostNetwork ? undefined : this.#home.podCgroup,
      },
      options,
    );
  }

  async attach(containerId: string): Promise<ExecProcess> {
    const container = this.#containers.get(containerId);
    if (container?.status.state !== 'running') throw new Fault(`container ${containerId} is not running`);
    const exit = new Promise<number>((resolve) => {
      const heard = (status: ContainerStatus) => {
        if (status.id !== containerId) return;
        this.#handlers.delete(heard);
        resolve(status.exitCode ?? 0);
      };
      this.#handlers.add(heard);
    });
    return attachTo(container.paths, container.spec, exit);
  }

  onExit(handler: (status: ContainerStatus) => void): void {
    this.#handlers.add(handler);
    const waiting = this.#unheard;
    this.#unheard = [];
    queueMicrotask(() => {
      for (const status of waiting) handler(status);
    });
  }

  #ended(status: ContainerStatus): void {
    log.debug({ container: status.id, exitCode: status.exitCode }, 'container ended');
    if (this.#handlers.size === 0) this.#unheard.push(status);
    for (const handler of this.#handlers) handler(status);
  }

  close(): void {
    for (const container of this.#containers.values()) container.close();
  }
}

/** Stands for a folder whose record was not yet written, already deleted, or damaged. */
function unrecorded(id: string): ContainerRecord {
  const image = { name: '', ref: 'host', entrypoint: [], cmd: [], env: [], workingDir: '', user: '' };
  const spec = {
    id,
    sandboxId: '',
    name: '',
    attempt: 0,
    image,
    env: [],
    mounts: [],
    tty: false,
    stdin: false,
    logPath: '',
  };
  return { spec, state: 'exited', startedAt: '' };
}
