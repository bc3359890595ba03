// Room node: makes a pod's volumes on disk and says what to mount of them where.
import { chmodSync, chownSync, existsSync, realpathSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { units } from '../objects/quantity.ts';
import type { Pod } from '../objects/types.ts';
import type { Mount } from '../runtime/runtime.ts';
import { makeFolder } from '../sys/folder.ts';
import { mount, mountPoints, unmount } from '../sys/mount.ts';
import { writeAtomically } from './atomic-dir.ts';
import { ConfigError } from './downward.ts';
import { expand } from './expand.ts';
import { volumeDir } from './pod-paths.ts';
import type { Container } from './pod-view.ts';
import { type Volume, type VolumeSources, volumeFiles } from './volume-files.ts';

type EmptyDir = NonNullable<Volume['emptyDir']>;

/** Takes off what makeVolumes() mounted, so that the pod's directory can be deleted. */
export function unmountVolumes(pod: Pod, dataDir: string): void {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const dir = volumeDir(dataDir, name);
    if (emptyDir?.medium === 'Memory' && mountPoints('tmpfs').includes(dir)) unmount(dir);
  }
}

/** Makes what is missing and brings files up to date; again whenever their sources have changed. Errors name the volume. */
export async function makeVolumes(pod: Pod, dataDir: string, sources: VolumeSources): Promise<void> {
  const fsGroup = pod.spec.securityContext?.fsGroup;
  for (const volume of pod.spec.volumes ?? []) {
    try {
      await makeVolume(volume, volumeDir(dataDir, volume.name), fsGroup, sources);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ConfigError(`MountVolume.SetUp failed for volume "${volume.name}" : ${reason}`);
    }
  }
}

async function makeVolume(
  volume: Volume,
  dir: string,
  fsGroup: number | undefined,
  sources: VolumeSources,
): Promise<void> {
  if (volume.emptyDir) return makeEmptyDir(dir, volume.emptyDir, fsGroup);
  if (volume.hostPath) return checkHostPath(volume.hostPath.path, volume.hostPath.type ?? '');
  const files = await volumeFiles(volume, sources);
  if (!files) throw new ConfigError(`volumes of the kind ${kindOf(volume)} are not known to this node`);
  writeAtomically(dir, files, fsGroup);
}

function kindOf(volume: Volume): string {
  return Object.keys(volume).find((key) => key !== 'name') ?? '(none)';
}

function makeEmptyDir(dir: string, { medium, sizeLimit }: EmptyDir, fsGroup: number | undefined): void {
  if (existsSync(dir)) return;
  makeFolder(dir);
  // In the node's mount namespace, which lasts as long as its containers do.
  if (medium === 'Memory') mount('tmpfs', dir, 'tmpfs', 0, sizeLimit ? `size=${units(sizeLimit)}` : undefined);
  if (fsGroup !== undefined) chownSync(dir, -1, fsGroup);
  // The set-group-id bit hands the group down to what is made in it.
  chmodSync(dir, fsGroup === undefined ? 0o777 : 0o2777);
}

const HOST_PATH_TYPES: Record<string, (found: Stats) => boolean> = {
  Directory: (found) => found.isDirectory(),
  DirectoryOrCreate: (found) => found.isDirectory(),
  File: (found) => found.isFile(),
  FileOrCreate: (found) => found.isFile(),
  Socket: (found) => found.isSocket(),
  CharDevice: (found) => found.isCharacterDevice(),
  BlockDevice: (found) => found.isBlockDevice(),
};

function checkHostPath(path: string, type: string): void {
  if (!existsSync(path)) {
    // With no type a missing directory is made, as container runtimes do.
    if (type === 'DirectoryOrCreate' || type === '') makeFolder(path, 0o755);
    if (type === 'FileOrCreate') writeFileSync(path, '', { mode: 0o644 });
  }
  const right = HOST_PATH_TYPES[type];
  if (right && !(existsSync(path) && right(statSync(path)))) {
    throw new ConfigError(`hostPath type check failed: ${path} is not a ${type}`);
  }
}

/** What a container mounts of its pod's volumes. Makes a subPath that is missing. Throws a ConfigError. */
export function volumeMounts(
  pod: Pod,
  container: Container,
  dataDir: string,
  env: ReadonlyMap<string, string>,
): Mount[] {
  return (container.volumeMounts ?? []).map(({ name, mountPath, readOnly, subPath, subPathExpr }) => {
    const volume = pod.spec.volumes?.find((candidate) => candidate.name === name);
    if (!volume) throw new ConfigError(`volume "${name}" not found`);
    const base = volume.hostPath ? volume.hostPath.path : volumeDir(dataDir, name);
    const below = subPathExpr ? expand(subPathExpr, env) : subPath;
    const filesOfOurs = !volume.hostPath && !volume.emptyDir;
    const target = mountPath.startsWith('/') ? mountPath : `/${mountPath}`;
    return {
      source: below ? within(base, below, !filesOfOurs) : base,
      target,
      readOnly: readOnly === true || filesOfOurs,
    };
  });
}

/** A link inside a volume must not lead out of it. */
function within(base: string, subPath: string, mayMake: boolean): string {
  if (subPath.startsWith('/') || subPath.split('/').includes('..')) {
    throw new ConfigError(`subPath "${subPath}" must be a path within the volume`);
  }
  const path = join(base, subPath);
  if (!existsSync(path) && !mayMake) throw new ConfigError(`subPath "${subPath}" is not in the volume`);
  if (!existsSync(path)) makeFolder(path, 0o750);
  const real = realpathSync(path);
  if (!`${real}/`.startsWith(`${realpathSync(base)}/`)) {
    throw new ConfigError(`subPath "${subPath}" leads out of the volume`);
  }
  return real;
}
