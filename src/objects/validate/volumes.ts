// Room objects: validation of a pod's volumes.
import type { V1KeyToPath, V1Volume } from '@kubernetes/client-node';
import type { Json } from '../types.ts';
import {
  type Causes,
  checkOptionalOneOf,
  checkSyntax,
  duplicate,
  forbidden,
  invalidValue,
  required,
} from './causes.ts';
import { dns1123LabelProblems } from './names.ts';
import { checkQuantity } from './resources.ts';

type Volume = Json<V1Volume>;

const HOST_PATH_TYPES = [
  '',
  'DirectoryOrCreate',
  'Directory',
  'FileOrCreate',
  'File',
  'Socket',
  'CharDevice',
  'BlockDevice',
];
const MODE = 'must be a number between 0 and 0777 (octal), both inclusive';

/** The names of the volumes, for the mounts to refer to. */
export function validateVolumes(causes: Causes, field: string, volumes: readonly Volume[]): Set<string> {
  const names = new Set<string>();
  for (const [i, volume] of volumes.entries()) {
    const at = `${field}[${i}]`;
    if (!volume.name) causes.push(required(`${at}.name`));
    else {
      checkSyntax(causes, `${at}.name`, volume.name, dns1123LabelProblems(volume.name));
      if (names.has(volume.name)) causes.push(duplicate(`${at}.name`, volume.name));
    }
    names.add(volume.name);
    validateSource(causes, at, volume);
  }
  return names;
}

function validateSource(causes: Causes, at: string, volume: Volume): void {
  const sources = Object.keys(volume).filter((name) => name !== 'name');
  if (sources.length === 0) causes.push(required(at, 'must specify a volume type'));
  for (const name of sources.slice(1))
    causes.push(forbidden(`${at}.${name}`, 'may not specify more than 1 volume type'));
  const { emptyDir, configMap, secret, hostPath, downwardAPI, projected } = volume;
  if (emptyDir?.sizeLimit) checkQuantity(causes, `${at}.emptyDir.sizeLimit`, emptyDir.sizeLimit);
  if (configMap) {
    if (!configMap.name) causes.push(required(`${at}.configMap.name`));
    validateFiles(causes, `${at}.configMap`, configMap.defaultMode, configMap.items);
  }
  if (secret) {
    if (!secret.secretName) causes.push(required(`${at}.secret.secretName`));
    validateFiles(causes, `${at}.secret`, secret.defaultMode, secret.items);
  }
  if (hostPath) {
    if (!hostPath.path) causes.push(required(`${at}.hostPath.path`));
    else if (hostPath.path.split('/').includes('..')) {
      causes.push(invalidValue(`${at}.hostPath.path`, hostPath.path, "must not contain '..'"));
    }
    checkOptionalOneOf(causes, `${at}.hostPath.type`, hostPath.type, HOST_PATH_TYPES);
  }
  for (const [i, item] of (downwardAPI?.items ?? []).entries()) {
    checkRelativePath(causes, `${at}.downwardAPI.items[${i}].path`, item.path);
  }
  if (downwardAPI) checkMode(causes, `${at}.downwardAPI.defaultMode`, downwardAPI.defaultMode);
  if (projected) checkMode(causes, `${at}.projected.defaultMode`, projected.defaultMode);
}

function validateFiles(
  causes: Causes,
  at: string,
  mode: number | undefined,
  items: Json<V1KeyToPath>[] | undefined,
): void {
  checkMode(causes, `${at}.defaultMode`, mode);
  for (const [i, item] of (items ?? []).entries()) {
    if (!item.key) causes.push(required(`${at}.items[${i}].key`));
    checkRelativePath(causes, `${at}.items[${i}].path`, item.path);
    checkMode(causes, `${at}.items[${i}].mode`, item.mode);
  }
}

function checkMode(causes: Causes, field: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) causes.push(invalidValue(field, mode, MODE));
}

/** A path below a volume: not absolute, and never upwards. */
export function checkRelativePath(causes: Causes, field: string, path: string | undefined): void {
  if (!path) causes.push(required(field));
  else if (path.startsWith('/')) causes.push(invalidValue(field, path, 'must be a relative path'));
  else if (path.split('/').includes('..')) causes.push(invalidValue(field, path, "must not contain '..'"));
}
