// Room objects: validation of ConfigMaps and Secrets.
import type { ConfigMap, Secret } from '../types.ts';
import {
  type Causes,
  checkImmutable,
  checkSyntax,
  forbidden,
  invalidValue,
  required,
  sameJson,
  tooLong,
} from './causes.ts';
import { configKeyProblems } from './names.ts';

/** Both kinds are held whole in memory by whoever watches them. */
const SIZE_LIMIT = 1024 * 1024;

export function validateConfigMap(causes: Causes, { data = {}, binaryData = {} }: ConfigMap): void {
  let size = 0;
  for (const [name, map] of Object.entries({ data, binaryData })) {
    for (const [key, value] of Object.entries(map)) {
      checkSyntax(causes, `${name}[${key}]`, key, configKeyProblems(key));
      size += name === 'data' ? Buffer.byteLength(value) : Buffer.byteLength(value, 'base64');
    }
  }
  for (const key of Object.keys(data)) {
    if (!Object.hasOwn(binaryData, key)) continue;
    causes.push(invalidValue(`data[${key}]`, key, 'duplicate of key present in binaryData'));
  }
  if (size > SIZE_LIMIT) causes.push(tooLong('', SIZE_LIMIT));
}

/** What data a Secret of each type must hold. */
const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
};
const ACCOUNT_NAME = 'kubernetes.io/service-account.name';

export function validateSecret(causes: Causes, secret: Secret): void {
  const { data = {}, type = '' } = secret;
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    checkSyntax(causes, `data[${key}]`, key, configKeyProblems(key));
    size += Buffer.byteLength(value, 'base64');
  }
  if (size > SIZE_LIMIT) causes.push(tooLong('data', SIZE_LIMIT));
  for (const key of REQUIRED_KEYS[type] ?? []) {
    if (!Object.hasOwn(data, key)) causes.push(required(`data[${key}]`));
  }
  if (type === 'kubernetes.io/basic-auth' && !('username' in data) && !('password' in data)) {
    causes.push(required('data[username]'), required('data[password]'));
  }
  if (type === 'kubernetes.io/service-account-token' && !secret.metadata.annotations?.[ACCOUNT_NAME]) {
    causes.push(required(`metadata.annotations[${ACCOUNT_NAME}]`));
  }
}

const LOCKED = 'field is immutable when `immutable` is set';

export function validateConfigMapUpdate(causes: Causes, now: ConfigMap, old: ConfigMap): void {
  if (!old.immutable) return;
  if (!now.immutable) causes.push(forbidden('immutable', LOCKED));
  for (const name of ['data', 'binaryData'] as const) {
    if (!sameJson(now[name] ?? {}, old[name] ?? {})) causes.push(forbidden(name, LOCKED));
  }
}

export function validateSecretUpdate(causes: Causes, now: Secret, old: Secret): void {
  checkImmutable(causes, 'type', now.type, old.type);
  if (!old.immutable) return;
  if (!now.immutable) causes.push(forbidden('immutable', LOCKED));
  if (!sameJson(now.data ?? {}, old.data ?? {})) causes.push(forbidden('data', LOCKED));
}
