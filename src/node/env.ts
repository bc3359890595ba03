// Room node: a container's environment, made from its manifest, its pod, ConfigMaps, Secrets and the Services around it.
import type { ConfigMap, Secret, Service } from '../objects/types.ts';
import { ConfigError, fieldValue, type PodFacts, resourceValue } from './downward.ts';
import { expand } from './expand.ts';
import type { Container } from './pod-view.ts';

/** Objects of the pod's namespace, as far as they are known to exist. */
export interface ConfigSources {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

export interface EnvSources extends ConfigSources {
  readonly facts: PodFacts;
  /** Of the pod's namespace when enableServiceLinks, and `default/kubernetes` always. */
  readonly services: Iterable<Service>;
}

type EnvVar = NonNullable<Container['env']>[number];
type ValueFrom = NonNullable<EnvVar['valueFrom']>;

/** Later entries win over earlier ones; `$(VAR)` sees what stands before it. Throws a ConfigError. */
export function containerEnv(container: Container, sources: EnvSources): Map<string, string> {
  const env = new Map<string, string>();
  for (const service of sources.services) serviceEnv(service, env);
  for (const from of container.envFrom ?? []) {
    const values = from.configMapRef
      ? allOfConfigMap(from.configMapRef, sources)
      : allOfSecret(from.secretRef, sources);
    for (const [key, value] of values) env.set(`${from.prefix ?? ''}${key}`, value);
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const text = valueFrom ? variable(valueFrom, container, sources) : expand(value ?? '', env);
    if (text !== undefined) env.set(name, text);
  }
  return env;
}

type Ref = { name?: string; optional?: boolean } | undefined;

function allOfConfigMap(ref: Ref, sources: EnvSources): [string, string][] {
  return Object.entries(findConfigMap(ref, sources)?.data ?? {});
}

function allOfSecret(ref: Ref, sources: EnvSources): [string, string][] {
  const data = findSecret(ref, sources)?.data ?? {};
  return Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
}

export function findConfigMap(ref: Ref, sources: ConfigSources): ConfigMap | undefined {
  const found = sources.configMap(ref?.name ?? '');
  if (!found && !ref?.optional) throw new ConfigError(`configmap "${ref?.name}" not found`);
  return found;
}

export function findSecret(ref: Ref, sources: ConfigSources): Secret | undefined {
  const found = sources.secret(ref?.name ?? '');
  if (!found && !ref?.optional) throw new ConfigError(`secret "${ref?.name}" not found`);
  return found;
}

/** Undefined when an optional key is not there: the variable is left out. */
function variable(from: ValueFrom, container: Container, sources: EnvSources): string | undefined {
  const { facts } = sources;
  if (from.fieldRef) return fieldValue(facts, from.fieldRef);
  if (from.resourceFieldRef) return resourceValue(facts, from.resourceFieldRef, container);
  const namespace = facts.pod.metadata.namespace;
  if (from.configMapKeyRef) {
    const { key, optional } = from.configMapKeyRef;
    const value = findConfigMap(from.configMapKeyRef, sources)?.data?.[key];
    if (value !== undefined || optional) return value;
    throw new ConfigError(`couldn't find key ${key} in ConfigMap ${namespace}/${from.configMapKeyRef.name}`);
  }
  if (from.secretKeyRef) {
    const { key, optional } = from.secretKeyRef;
    const value = findSecret(from.secretKeyRef, sources)?.data?.[key];
    if (value !== undefined) return Buffer.from(value, 'base64').toString();
    if (optional) return undefined;
    throw new ConfigError(`couldn't find key ${key} in Secret ${namespace}/${from.secretKeyRef.name}`);
  }
  return undefined;
}

/** REDIS_SERVICE_HOST and its like, and the variables of Docker's links. */
function serviceEnv({ metadata, spec }: Service, env: Map<string, string>): void {
  const ip = spec.clusterIP;
  const first = spec.ports?.[0];
  if (!ip || ip === 'None' || !first) return;
  const prefix = upper(metadata.name);
  const host = ip.includes(':') ? `[${ip}]` : ip;
  env.set(`${prefix}_SERVICE_HOST`, ip);
  env.set(`${prefix}_SERVICE_PORT`, `${first.port}`);
  env.set(`${prefix}_PORT`, `${(first.protocol ?? 'TCP').toLowerCase()}://${host}:${first.port}`);
  for (const { name, port, protocol = 'TCP' } of spec.ports ?? []) {
    if (name) env.set(`${prefix}_SERVICE_PORT_${upper(name)}`, `${port}`);
    const link = `${prefix}_PORT_${port}_${protocol}`;
    env.set(link, `${protocol.toLowerCase()}://${host}:${port}`);
    env.set(`${link}_PROTO`, protocol.toLowerCase());
    env.set(`${link}_PORT`, `${port}`);
    env.set(`${link}_ADDR`, ip);
  }
}

function upper(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
