// Room runtime: what a node agent asks of whatever runs sandboxes and containers (the shape of CRI, less the gRPC).
import type { Readable, Writable } from 'node:stream';
import type { NetnsPath } from '../kernel/items.ts';

/** A pod's sandbox: the pinned network, IPC and UTS namespaces that its containers join. It outlives our process. */
export interface SandboxSpec {
  /** Unique, also over restarts of the same pod: used in paths and names (`[a-z0-9-]`). */
  readonly id: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly hostname: string;
  /** The pod shares the node's network namespace (spec.hostNetwork). */
  readonly hostNetwork: boolean;
}

export interface Sandbox extends SandboxSpec {
  /** For hostNetwork: the node's own. */
  readonly netns: NetnsPath;
  readonly createdAt: string;
}

export interface Mount {
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface ContainerSpec {
  /** Unique: sandbox, name and attempt make it. */
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  /** As ImageStore.resolve() gave it. */
  readonly image: ResolvedImage;
  /** Kubernetes' `command` and `args`; absent: the image's entrypoint and cmd. */
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly workingDir?: string;
  readonly mounts: readonly Mount[];
  readonly tty: boolean;
  readonly stdin: boolean;
  /** False: stdin stays open when whoever attached has gone. Absent or true: it ends with the first. */
  readonly stdinOnce?: boolean;
  readonly user?: { readonly uid: number; readonly gid?: number; readonly supplementalGids?: readonly number[] };
  readonly privileged?: boolean;
  readonly addCapabilities?: readonly string[];
  readonly dropCapabilities?: readonly string[];
  readonly readOnlyRoot?: boolean;
  /** Container log in CRI format, written by what holds the container, not by us. */
  readonly logPath: string;
}

export interface ContainerStatus {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly state: 'running' | 'exited';
  readonly pid?: number;
  readonly startedAt: string;
  readonly finishedAt?: string;
  /** 128 + signal when a signal ended it. */
  readonly exitCode?: number;
  readonly reason?: 'Completed' | 'Error' | 'OOMKilled' | 'StartError';
  readonly message?: string;
  readonly imageRef: string;
  readonly logPath: string;
}

export interface ResolvedImage {
  /** As the manifest has it. */
  readonly name: string;
  /** What it resolved to: `host`, `builtin:agnhost`, or `sha256:…` of the loaded image's config. */
  readonly ref: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

export interface ImageSummary {
  readonly names: readonly string[];
  readonly ref: string;
  /** Bytes unpacked. */
  readonly size: number;
  readonly loadedAt: string;
}

export interface ImageStore {
  /** Undefined when no such image is loaded: the pod gets ErrImagePull with `missingImageMessage(name)`. */
  resolve(name: string): ResolvedImage | undefined;
  /** Loads an OCI layout or a `docker save` archive (optionally gzipped); returns the names that it now answers to. */
  load(archive: string): Promise<ImageSummary>;
  list(): ImageSummary[];
  remove(nameOrRef: string): void;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
}

export interface ExecProcess {
  /** Absent when `stdin` was not asked for. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  /** Absent with a terminal, which mixes both. */
  readonly stderr: Readable | undefined;
  resize(columns: number, rows: number): void;
  /** Exit code; 128 + signal. Rejects with a Fault when the process could not be started. */
  readonly exit: Promise<number>;
  kill(): void;
}

export interface Runtime {
  readonly images: ImageStore;
  /** What runs or has run and is not removed, also from before a restart of our process. */
  sandboxes(): Sandbox[];
  containers(): ContainerStatus[];
  runSandbox(spec: SandboxSpec): Promise<Sandbox>;
  /** Kills what is left in it, unpins its namespaces, deletes its files. Succeeds when it is already gone. */
  removeSandbox(id: string): Promise<void>;
  /** Resolves once the process has been started; a start that fails gives a status `exited` with reason StartError and a message. */
  startContainer(spec: ContainerSpec): Promise<ContainerStatus>;
  signalContainer(id: string, signal: NodeJS.Signals): Promise<void>;
  /** Deletes its files but the log. Kills it first if needed. */
  removeContainer(id: string): Promise<void>;
  exec(containerId: string, options: ExecOptions): Promise<ExecProcess>;
  /** Stdio of a running container (kubectl attach); absent streams as in exec. */
  attach?(containerId: string): Promise<ExecProcess>;
  /** Called once for each container that ends, with its final status; also for those that ended while we were away. */
  onExit(handler: (status: ContainerStatus) => void): void;
  close(): void;
}
