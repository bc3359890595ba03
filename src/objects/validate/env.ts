// Room objects: validation of the environment of containers.
import type { V1EnvFromSource, V1EnvVar } from '@kubernetes/client-node';
import type { Json } from '../types.ts';
import { type Causes, checkOneOf, checkSyntax, invalidValue, required } from './causes.ts';
import { configKeyProblems, envNameProblems } from './names.ts';

/** What `fieldRef` may name; labels and annotations also by key: `metadata.labels['app']`. */
const FIELD_PATHS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
const RESOURCES = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

export function validateEnv(causes: Causes, field: string, env: readonly Json<V1EnvVar>[]): void {
  for (const [i, { name, value, valueFrom }] of env.entries()) {
    const at = `${field}[${i}]`;
    if (!name) causes.push(required(`${at}.name`));
    else checkSyntax(causes, `${at}.name`, name, envNameProblems(name));
    if (valueFrom) validateValueFrom(causes, `${at}.valueFrom`, valueFrom, value);
  }
}

function validateValueFrom(
  causes: Causes,
  at: string,
  source: NonNullable<Json<V1EnvVar>['valueFrom']>,
  value: string | undefined,
): void {
  const kinds = Object.values(source).filter((each) => each !== undefined).length;
  if (kinds === 0) {
    const why =
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `fileKeyRef` or `secretKeyRef`';
    causes.push(invalidValue(at, '', why));
  }
  if (kinds > 0 && value) causes.push(invalidValue(at, '', 'may not be specified when `value` is not empty'));
  if (kinds > 1) causes.push(invalidValue(at, '', 'may not have more than one field specified at a time'));
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  if (fieldRef) {
    const keyed = /^metadata\.(labels|annotations)\['[^']+'\]$/.test(fieldRef.fieldPath ?? '');
    if (!keyed) checkOneOf(causes, `${at}.fieldRef.fieldPath`, fieldRef.fieldPath, FIELD_PATHS);
  }
  if (resourceFieldRef && !/^(limits|requests)\.hugepages-/.test(resourceFieldRef.resource ?? '')) {
    checkOneOf(causes, `${at}.resourceFieldRef.resource`, resourceFieldRef.resource, RESOURCES);
  }
  for (const [name, ref] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (!ref) continue;
    if (!ref.name) causes.push(required(`${at}.${name}.name`));
    if (!ref.key) causes.push(required(`${at}.${name}.key`));
    else checkSyntax(causes, `${at}.${name}.key`, ref.key, configKeyProblems(ref.key));
  }
}

export function validateEnvFrom(causes: Causes, field: string, sources: readonly Json<V1EnvFromSource>[]): void {
  for (const [i, { prefix, configMapRef, secretRef }] of sources.entries()) {
    const at = `${field}[${i}]`;
    if (prefix) checkSyntax(causes, `${at}.prefix`, prefix, envNameProblems(prefix));
    if (configMapRef && secretRef)
      causes.push(invalidValue(at, '', 'may not have more than one field specified at a time'));
    if (!configMapRef && !secretRef) {
      causes.push(invalidValue(at, '', 'must specify one of: `configMapRef` or `secretRef`'));
    }
    for (const [name, ref] of Object.entries({ configMapRef, secretRef })) {
      if (ref && !ref.name) causes.push(required(`${at}.${name}.name`));
    }
  }
}
