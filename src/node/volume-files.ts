// Room node: the files of ConfigMap, Secret, downward API and projected volumes, as data.
import { ConfigError, fieldValue, type PodFacts, resourceValue } from './downward.ts';
import { type ConfigSources, findConfigMap, findSecret } from './env.ts';
import type { PodSpec } from './pod-view.ts';

export type Volume = NonNullable<PodSpec['volumes']>[number];
type Projection = NonNullable<NonNullable<Volume['projected']>['sources']>[number];
type Items = { key: string; path: string; mode?: number }[] | undefined;

export interface VolumeFile {
  readonly data: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

export type VolumeFiles = Map<string, VolumeFile>;

export interface VolumeSources extends ConfigSources {
  readonly facts: PodFacts;
  /** A token of the pod's ServiceAccount (TokenRequest). */
  token(audience: string | undefined, expirationSeconds: number): Promise<string>;
}

const DEFAULT_MODE = 0o644;

/** Undefined for a volume that is not made of files of ours. Throws a ConfigError when something needed is not there. */
export async function volumeFiles(volume: Volume, sources: VolumeSources): Promise<VolumeFiles | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap) return configMapFiles(configMap, configMap.defaultMode, sources);
  if (secret) return secretFiles({ ...secret, name: secret.secretName ?? '' }, secret.defaultMode, sources);
  if (downwardAPI) return downwardFiles(downwardAPI, downwardAPI.defaultMode, sources);
  if (!projected) return undefined;
  const files: VolumeFiles = new Map();
  for (const source of projected.sources ?? []) {
    for (const [path, file] of await projectionFiles(source, projected.defaultMode, sources)) files.set(path, file);
  }
  return files;
}

async function projectionFiles(
  source: Projection,
  mode: number | undefined,
  sources: VolumeSources,
): Promise<VolumeFiles> {
  if (source.configMap) return configMapFiles(source.configMap, mode, sources);
  if (source.secret) return secretFiles(source.secret, mode, sources);
  if (source.downwardAPI) return downwardFiles(source.downwardAPI, mode, sources);
  const { serviceAccountToken: wanted } = source;
  if (!wanted) return new Map();
  const token = await sources.token(wanted.audience, wanted.expirationSeconds ?? 3600);
  return new Map([[wanted.path, { data: Buffer.from(token), mode: mode ?? DEFAULT_MODE }]]);
}

type Ref = { name?: string; optional?: boolean; items?: Items };

function configMapFiles(ref: Ref, mode: number | undefined, sources: VolumeSources): VolumeFiles {
  const found = findConfigMap(ref, sources);
  const data = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(found?.data ?? {})) data.set(key, Buffer.from(text));
  for (const [key, text] of Object.entries(found?.binaryData ?? {})) data.set(key, Buffer.from(text, 'base64'));
  return pick(data, ref, mode, 'configmap');
}

function secretFiles(ref: Ref, mode: number | undefined, sources: VolumeSources): VolumeFiles {
  const found = findSecret(ref, sources);
  const data = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(found?.data ?? {})) data.set(key, Buffer.from(text, 'base64'));
  return pick(data, ref, mode, 'secret');
}

function pick(data: Map<string, Uint8Array>, ref: Ref, mode = DEFAULT_MODE, what = ''): VolumeFiles {
  if (!ref.items) return new Map([...data].map(([key, bytes]) => [key, { data: bytes, mode }]));
  const files: VolumeFiles = new Map();
  for (const { key, path, mode: own } of ref.items) {
    const bytes = data.get(key);
    if (bytes) files.set(safePath(path), { data: bytes, mode: own ?? mode });
    else if (!ref.optional) throw new ConfigError(`${what} references non-existent config key: ${key}`);
  }
  return files;
}

type Downward = { items?: NonNullable<NonNullable<Volume['downwardAPI']>['items']> };

function downwardFiles({ items }: Downward, mode = DEFAULT_MODE, { facts }: VolumeSources): VolumeFiles {
  const files: VolumeFiles = new Map();
  for (const { path, fieldRef, resourceFieldRef, mode: own } of items ?? []) {
    const text = fieldRef
      ? fieldValue(facts, fieldRef)
      : resourceFieldRef
        ? resourceValue(facts, resourceFieldRef)
        : '';
    files.set(safePath(path), { data: Buffer.from(text), mode: own ?? mode });
  }
  return files;
}

/** A path within the volume: relative, and never upwards. */
function safePath(path: string): string {
  if (path.startsWith('/') || path.split('/').includes('..')) throw new ConfigError(`invalid path: ${path}`);
  return path;
}

/** ConfigMaps and Secrets that a pod names anywhere: what must be watched for it. */
export function referencedConfig(spec: PodSpec): { configMaps: Set<string>; secrets: Set<string> } {
  const configMaps = new Set<string | undefined>();
  const secrets = new Set<string | undefined>();
  for (const volume of spec.volumes ?? []) {
    configMaps.add(volume.configMap?.name);
    secrets.add(volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      configMaps.add(source.configMap?.name);
      secrets.add(source.secret?.name);
    }
  }
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      configMaps.add(configMapRef?.name);
      secrets.add(secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      configMaps.add(valueFrom?.configMapKeyRef?.name);
      secrets.add(valueFrom?.secretKeyRef?.name);
    }
  }
  const named = (names: Set<string | undefined>) => new Set([...names].filter((name) => name !== undefined));
  return { configMaps: named(configMaps), secrets: named(secrets) };
}
