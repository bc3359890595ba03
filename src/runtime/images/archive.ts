// Room runtime: what an image archive holds: an OCI layout (index.json) or what `docker save` writes (manifest.json).

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { arch } from 'node:os';
import { join } from 'node:path';
import { Fault } from '../../observe/fault.ts';

export interface ArchivedImage {
  /** As the archive has them. */
  readonly names: readonly string[];
  /** Digest of the config. */
  readonly ref: string;
  readonly manifestDigest?: string;
  readonly config: ImageConfig;
  readonly layers: readonly { readonly file: string; readonly diffId: string }[];
}

export interface ImageConfig {
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Env?: readonly string[] | null;
  readonly WorkingDir?: string;
  readonly User?: string;
}

interface Descriptor {
  readonly digest: string;
  readonly mediaType?: string;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The images in an unpacked archive. Throws a Fault for what is no image archive. */
export function readArchive(dir: string): ArchivedImage[] {
  if (existsSync(join(dir, 'manifest.json'))) return readDockerSave(dir);
  if (existsSync(join(dir, 'index.json'))) return readLayout(dir);
  throw new Fault('not an image archive: it has neither manifest.json (docker save) nor index.json (OCI layout)');
}

function readDockerSave(dir: string): ArchivedImage[] {
  const images = readJson<{ Config: string; RepoTags?: string[] | null; Layers: string[] }[]>(dir, 'manifest.json');
  return images.map(({ Config, RepoTags, Layers }) => describe(dir, Config, Layers, RepoTags ?? []));
}

function readLayout(dir: string): ArchivedImage[] {
  const { manifests } = readJson<{ manifests: Descriptor[] }>(dir, 'index.json');
  return manifests.map((descriptor) => {
    const { annotations = {} } = descriptor;
    const found = pickPlatform(dir, descriptor);
    const manifest = readJson<{ config: Descriptor; layers: Descriptor[] }>(dir, blob(found.digest));
    // containerd writes the full name; the specification's own annotation may be a mere tag.
    const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];
    const layers = manifest.layers.map(({ digest }) => blob(digest));
    const image = describe(dir, blob(manifest.config.digest), layers, name ? [name] : []);
    return { ...image, manifestDigest: descriptor.digest };
  });
}

/** An index of several platforms: the machine's, else the first. */
function pickPlatform(dir: string, descriptor: Descriptor): Descriptor {
  if (!descriptor.mediaType?.includes('index') && !descriptor.mediaType?.includes('manifest.list')) return descriptor;
  const { manifests } = readJson<{ manifests: Descriptor[] }>(dir, blob(descriptor.digest));
  const ours = arch() === 'x64' ? 'amd64' : arch();
  const present = manifests.filter(({ digest }) => existsSync(join(dir, blob(digest))));
  const picked =
    present.find(({ platform }) => platform?.architecture === ours && platform.os === 'linux') ?? present[0];
  if (!picked) throw new Fault(`the archive has no image for linux/${ours}`);
  return pickPlatform(dir, picked);
}

function describe(dir: string, configFile: string, layerFiles: string[], names: readonly string[]): ArchivedImage {
  const bytes = readFileSync(inside(dir, configFile));
  const { config, rootfs } = JSON.parse(bytes.toString()) as {
    config?: ImageConfig;
    rootfs: { diff_ids: string[] };
  };
  if (rootfs.diff_ids.length !== layerFiles.length) {
    throw new Fault(`the archive is damaged: ${layerFiles.length} layers, but digests of ${rootfs.diff_ids.length}`);
  }
  const layers = layerFiles.map((file, i) => ({ file: inside(dir, file), diffId: rootfs.diff_ids[i]! }));
  return { names, ref: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, config: config ?? {}, layers };
}

function blob(digest: string): string {
  if (!/^[a-z0-9]+:[0-9a-f]+$/.test(digest)) throw new Fault(`the archive is damaged: ${digest} is no digest`);
  return `blobs/${digest.replace(':', '/')}`;
}

function readJson<T>(dir: string, path: string): T {
  return JSON.parse(readFileSync(inside(dir, path), 'utf8')) as T;
}

/** `docker save` of old links one layer to another's file; a link out of the archive is not followed. */
function inside(dir: string, path: string): string {
  let real: string;
  try {
    real = realpathSync(join(dir, path));
  } catch {
    throw new Fault(`the archive is damaged: ${path} is missing`);
  }
  if (!real.startsWith(`${realpathSync(dir)}/`)) throw new Fault(`the archive is damaged: ${path} leads out of it`);
  return real;
}
