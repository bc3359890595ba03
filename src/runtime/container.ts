// Room runtime: the life of one container, from its record on disk to its exit code.
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../sys/folder.ts';
import { exposeNamespace } from '../sys/netns.ts';
import { capabilities, ownCapabilities } from './capabilities.ts';
import { createHeld, isCrun, type Programs, runVerb, startHeld } from './holder.ts';
import { mountOverlay, mountShm, unmountIfMounted } from './mounts.ts';
import { type ConfigInput, containerArgs, ociConfig } from './oci-config.ts';
import { type ContainerPaths, containerPaths, type RuntimePaths, sandboxPaths } from './paths.ts';
import { createdProcess, ended, findHolders, killGroup, onEnd, recordProcess, sendSignal } from './processes.ts';
import { type ContainerRecord, readText, statusOf, writeRecord } from './record.ts';
import type { RootFilesystem } from './root-filesystem.ts';
import type { ContainerSpec, ContainerStatus, Sandbox } from './runtime.ts';
import { StartFailure } from './start-failure.ts';
import { resolveUser } from './user.ts';

/** Exit code of a container whose process never ran, as containerd gives it. */
const NOT_STARTED = 128;

export interface ContainerHome {
  readonly programs: Programs;
  readonly paths: RuntimePaths;
  readonly podCgroup: string | undefined;
  ended(status: ContainerStatus): void;
}

export class Container {
  readonly #home: ContainerHome;
  readonly #paths: ContainerPaths;
  #record: ContainerRecord;
  #stopWatching: (() => void) | undefined;
  #starting: Promise<void> | undefined;

  constructor(home: ContainerHome, record: ContainerRecord) {
    this.#home = home;
    this.#paths = containerPaths(home.paths, record.spec.id);
    this.#record = record;
  }

  get id(): string {
    return this.#record.spec.id;
  }

  get spec(): ContainerSpec {
    return this.#record.spec;
  }

  get paths(): ContainerPaths {
    return this.#paths;
  }

  get status(): ContainerStatus {
    return statusOf(this.#record);
  }

  /** Never rejects for a reason that lies in the container: that is a status with reason StartError. */
  async start(sandbox: Sandbox, root: RootFilesystem): Promise<ContainerStatus> {
    this.#starting ??= this.#start(sandbox, root);
    await this.#starting;
    return this.status;
  }

  async #start(sandbox: Sandbox, root: RootFilesystem): Promise<void> {
    writeRecord(this.#paths.record, this.#record);
    makeFolder(dirname(this.spec.logPath));
    try {
      this.#prepare(sandbox, root);
      const { programs, paths, podCgroup } = this.#home;
      const pid = await createHeld(programs, paths, this.#paths, this.spec);
      // A socket stays with the cgroup in which it was made: the process must be there before it is the container's.
      if (podCgroup && !sandbox.hostNetwork) writeFileSync(join(podCgroup, 'cgroup.procs'), String(pid));
      const init = recordProcess(pid);
      const conmon = recordProcess(Number(readFileSync(this.#paths.conmonPid, 'utf8')));
      if (!init || !conmon) throw new StartFailure('the process ended before it was started');
      this.#save({ state: 'running', init, conmon, startedAt: new Date().toISOString() });
      this.#watch();
      await startHeld(programs, paths, this.#paths, this.id);
    } catch (error) {
      await this.#fail(error as Error);
    }
  }

  #prepare(sandbox: Sandbox, root: RootFilesystem): void {
    const paths = this.#paths;
    const { uts, ipc, shm } = sandboxPaths(this.#home.paths, sandbox.id);
    if (containerArgs(this.spec).length === 0) throw new StartFailure('no command specified');
    for (const pinned of [uts, ipc, sandbox.netns]) exposeNamespace(pinned);
    mountShm(shm);
    mountOverlay(paths.rootfs, root.layers, paths.upper, paths.work);
    const input: ConfigInput = {
      spec: this.spec,
      user: resolveUser(this.spec, paths.rootfs),
      hostname: sandbox.hostname,
      capabilities: capabilities(this.spec, ownCapabilities()),
      rootfs: paths.rootfs,
      namespaces: { network: sandbox.netns, uts, ipc },
      shm,
      extraMounts: root.mounts,
      hiddenPaths: root.hidden,
    };
    writeFileSync(paths.config, JSON.stringify(ociConfig(input)));
  }

  async #fail(error: Error): Promise<void> {
    this.#stopWatching?.();
    await this.#killHolders();
    closeSync(openSync(this.spec.logPath, 'a'));
    const now = new Date().toISOString();
    this.#save({
      state: 'exited',
      startedAt: now,
      finishedAt: now,
      exitCode: NOT_STARTED,
      reason: 'StartError',
      message: `failed to start container: ${error.message}`,
    });
  }

  /** After a restart of our process. A container that was on its way is cleared away: its start was never told to anyone. */
  async adopt(): Promise<'kept' | 'forgotten'> {
    const { state } = this.#record;
    // With the FIFO it has just been started, or still waits to be.
    if (state === 'creating' || (state === 'running' && existsSync(`${this.#paths.oci}/exec.fifo`))) {
      await this.clear();
      return 'forgotten';
    }
    if (state === 'running') this.#watch();
    return 'kept';
  }

  /** Ends what was started of it, as the process table knows it, and leaves nothing. */
  async clear(): Promise<void> {
    await this.#killHolders();
    await this.#deleteAll();
  }

  /** conmon ends after it has written the last line of the log and the exit file. */
  #watch(): void {
    this.#stopWatching = onEnd(this.#record.conmon!, () => this.#finish());
  }

  #finish(): void {
    if (this.#record.state === 'exited') return;
    const text = readText(this.#paths.exit);
    if (text === undefined) {
      // Someone killed conmon: a container without its log and its parent is of no use.
      sendSignal(this.#record.init, 'SIGKILL');
      this.#save({
        state: 'exited',
        finishedAt: new Date().toISOString(),
        exitCode: 137,
        reason: 'Error',
        message: 'the process that held the container (conmon) was killed',
      });
    } else {
      const exitCode = Number(text);
      const finishedAt = statSync(this.#paths.exit).mtime.toISOString();
      this.#save({ state: 'exited', finishedAt, exitCode, reason: exitCode === 0 ? 'Completed' : 'Error' });
    }
    unmountIfMounted(this.#paths.rootfs);
    this.#home.ended(this.status);
  }

  #save(change: Partial<ContainerRecord>): void {
    this.#record = { ...this.#record, ...change };
    // Removed meanwhile? Then nothing of it is to come back.
    if (existsSync(this.#paths.dir)) writeRecord(this.#paths.record, this.#record);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#record.state === 'running') sendSignal(this.#record.init, signal);
  }

  async remove(): Promise<void> {
    await this.#starting;
    if (this.#record.state !== 'exited') {
      const { init, conmon } = this.#record;
      sendSignal(init, 'SIGKILL');
      await ended(conmon);
      await ended(init);
      this.#finish();
    }
    this.#stopWatching?.();
    await this.#deleteAll();
  }

  /** Of a start that came to nothing, wherever it stopped: conmon with the runtime that it waits for, then what that has made. */
  async #killHolders(): Promise<void> {
    const holders = findHolders(this.#home.paths.containers).get(this.id) ?? [];
    for (const holder of holders) killGroup(holder);
    await Promise.all(holders.map((holder) => ended(holder)));
    const init = createdProcess(this.#paths.oci);
    sendSignal(init, 'SIGKILL');
    await ended(init);
  }

  async #deleteAll(): Promise<void> {
    const { rootfs, exit, oci, dir } = this.#paths;
    if (!isCrun(this.#home.programs) && existsSync(oci)) {
      await runVerb(this.#home.programs, this.#home.paths, 'delete', '--force', this.id);
    }
    unmountIfMounted(rootfs);
    for (const path of [exit, oci, dir]) rmSync(path, { recursive: true, force: true });
  }

  /** Lets go without touching the container. */
  close(): void {
    this.#stopWatching?.();
  }
}
