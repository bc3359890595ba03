// Room objects: validation of a pod's containers.
import type { V1Container, V1ContainerPort, V1VolumeMount } from '@kubernetes/client-node';
import type { Json } from '../types.ts';
import { checkIP, PROTOCOLS } from './addresses.ts';
import {
  type Causes,
  checkOneOf,
  checkOptionalOneOf,
  checkSyntax,
  duplicate,
  forbidden,
  invalidValue,
  notFound,
  notSupported,
  required,
} from './causes.ts';
import { validateEnv, validateEnvFrom } from './env.ts';
import { dns1123LabelProblems, portNameProblems, portNumberProblems } from './names.ts';
import { validateHandler, validateProbe } from './probes.ts';
import { validateResources } from './resources.ts';
import { checkRelativePath } from './volumes.ts';

type Container = Json<V1Container>;

export interface ContainersContext {
  /** Names of the pod's volumes. */
  readonly volumes: ReadonlySet<string>;
  readonly hostNetwork: boolean;
}

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];

export function validateContainers(
  causes: Causes,
  field: string,
  containers: readonly Container[] | undefined,
  context: ContainersContext,
): void {
  if (!containers?.length) {
    causes.push(required(field));
    return;
  }
  const names = new Set<string>();
  const hostPorts = new Set<string>();
  for (const [i, container] of containers.entries()) {
    const at = `${field}[${i}]`;
    validateContainer(causes, at, container, names, context);
    validateProbes(causes, at, container);
    validateHostPorts(causes, at, container.ports ?? [], hostPorts, context);
  }
}

/** Init containers end before the others start, so they have no probes; unless they keep running (sidecars). */
export function validateInitContainers(
  causes: Causes,
  field: string,
  containers: readonly Container[],
  others: readonly Container[],
  context: ContainersContext,
): void {
  const names = new Set(others.map((container) => container.name));
  for (const [i, container] of containers.entries()) {
    const at = `${field}[${i}]`;
    validateContainer(causes, at, container, names, context);
    checkOptionalOneOf(causes, `${at}.restartPolicy`, container.restartPolicy, ['Always', 'Never', 'OnFailure']);
    if (container.restartPolicy === 'Always') {
      validateProbes(causes, at, container);
      continue;
    }
    for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
      if (!container[name]) continue;
      causes.push(forbidden(`${at}.${name}`, 'may not be set for init containers without restartPolicy=Always'));
    }
  }
}

function validateContainer(
  causes: Causes,
  at: string,
  container: Container,
  names: Set<string>,
  context: ContainersContext,
): void {
  const { name, image } = container;
  if (!name) causes.push(required(`${at}.name`));
  else {
    checkSyntax(causes, `${at}.name`, name, dns1123LabelProblems(name));
    if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
  }
  if (!image) causes.push(required(`${at}.image`));
  else if (image.trim() !== image) {
    causes.push(invalidValue(`${at}.image`, image, 'must not have leading or trailing whitespace'));
  }
  checkOneOf(causes, `${at}.imagePullPolicy`, container.imagePullPolicy, PULL_POLICIES);
  checkOneOf(causes, `${at}.terminationMessagePolicy`, container.terminationMessagePolicy, [
    'FallbackToLogsOnError',
    'File',
  ]);
  validatePorts(causes, `${at}.ports`, container.ports ?? []);
  validateEnv(causes, `${at}.env`, container.env ?? []);
  validateEnvFrom(causes, `${at}.envFrom`, container.envFrom ?? []);
  validateMounts(causes, `${at}.volumeMounts`, container.volumeMounts ?? [], context.volumes);
  validateResources(causes, `${at}.resources`, container.resources ?? {});
}

function validateProbes(causes: Causes, at: string, container: Container): void {
  validateProbe(causes, `${at}.livenessProbe`, container.livenessProbe, 'liveness');
  validateProbe(causes, `${at}.readinessProbe`, container.readinessProbe, 'readiness');
  validateProbe(causes, `${at}.startupProbe`, container.startupProbe, 'startup');
  for (const name of ['postStart', 'preStop'] as const) {
    const handler = container.lifecycle?.[name];
    if (handler) validateHandler(causes, `${at}.lifecycle.${name}`, handler);
  }
}

function validatePorts(causes: Causes, field: string, ports: readonly Json<V1ContainerPort>[]): void {
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `${field}[${i}]`;
    if (port.name) {
      checkSyntax(causes, `${at}.name`, port.name, portNameProblems(port.name));
      if (names.has(port.name)) causes.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) causes.push(required(`${at}.containerPort`));
    else checkNumber(causes, `${at}.containerPort`, port.containerPort);
    if (port.hostPort) checkNumber(causes, `${at}.hostPort`, port.hostPort);
    if (port.hostIP) checkIP(causes, `${at}.hostIP`, port.hostIP);
    checkOneOf(causes, `${at}.protocol`, port.protocol, PROTOCOLS);
  }
}

function checkNumber(causes: Causes, field: string, port: number): void {
  for (const problem of portNumberProblems(port)) causes.push(invalidValue(field, port, problem));
}

function validateHostPorts(
  causes: Causes,
  at: string,
  ports: readonly Json<V1ContainerPort>[],
  used: Set<string>,
  { hostNetwork }: ContainersContext,
): void {
  for (const [i, port] of ports.entries()) {
    if (hostNetwork && port.hostPort !== port.containerPort) {
      const why = 'must match `hostPort` when `hostNetwork` is true';
      causes.push(invalidValue(`${at}.ports[${i}].containerPort`, port.containerPort, why));
    }
    if (!port.hostPort) continue;
    const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`;
    if (used.has(key)) causes.push(duplicate(`${at}.ports[${i}].hostPort`, key));
    used.add(key);
  }
}

function validateMounts(
  causes: Causes,
  field: string,
  mounts: readonly Json<V1VolumeMount>[],
  volumes: ReadonlySet<string>,
): void {
  const paths = new Set<string>();
  for (const [i, mount] of mounts.entries()) {
    const at = `${field}[${i}]`;
    if (!mount.name) causes.push(required(`${at}.name`));
    if (!volumes.has(mount.name)) causes.push(notFound(`${at}.name`, mount.name ?? ''));
    if (!mount.mountPath) causes.push(required(`${at}.mountPath`));
    if (paths.has(mount.mountPath)) causes.push(invalidValue(`${at}.mountPath`, mount.mountPath, 'must be unique'));
    paths.add(mount.mountPath);
    if (mount.subPath && mount.subPathExpr) {
      causes.push(
        invalidValue(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'),
      );
    }
    if (mount.subPath) checkRelativePath(causes, `${at}.subPath`, mount.subPath);
    if (mount.subPathExpr) checkRelativePath(causes, `${at}.subPathExpr`, mount.subPathExpr);
    const modes = ['None', 'HostToContainer', 'Bidirectional'];
    if (mount.mountPropagation && !modes.includes(mount.mountPropagation)) {
      causes.push(notSupported(`${at}.mountPropagation`, mount.mountPropagation, modes));
    }
  }
}
