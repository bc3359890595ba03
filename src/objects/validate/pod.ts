// Room objects: validation of Pods and of the pod templates in workloads.
import type { V1PodSpec, V1PodTemplateSpec } from '@kubernetes/client-node';
import type { Json, Pod } from '../types.ts';
import { checkIP } from './addresses.ts';
import {
  type Causes,
  checkNotNegative,
  checkOneOf,
  checkSyntax,
  forbidden,
  invalidValue,
  notSupported,
  required,
  sameJson,
  tooLong,
  tooMany,
} from './causes.ts';
import { validateContainers, validateInitContainers } from './containers.ts';
import { validateAnnotations, validateLabels } from './metadata.ts';
import { dns1123LabelProblems, dns1123SubdomainProblems } from './names.ts';
import { validateScheduling } from './scheduling.ts';
import { validateVolumes } from './volumes.ts';

type PodSpec = Json<V1PodSpec>;

export function validatePod(causes: Causes, pod: Pod): void {
  if (pod.spec) validatePodSpec(causes, 'spec', pod.spec);
  else causes.push(required('spec.containers'));
}

/** Pods of a workload are replaced when they end, so that their template always restarts. */
export function validateTemplate(causes: Causes, at: string, template: Json<V1PodTemplateSpec> | undefined): void {
  validateLabels(causes, `${at}.labels`, template?.metadata?.labels);
  validateAnnotations(causes, `${at}.annotations`, template?.metadata?.annotations);
  if (!template?.spec) {
    causes.push(required(`${at}.spec.containers`));
    return;
  }
  validatePodSpec(causes, `${at}.spec`, template.spec);
  const { restartPolicy, activeDeadlineSeconds } = template.spec;
  if (restartPolicy && restartPolicy !== 'Always') {
    causes.push(notSupported(`${at}.spec.restartPolicy`, restartPolicy, ['Always']));
  }
  if (activeDeadlineSeconds !== undefined) {
    const why = 'activeDeadlineSeconds in ReplicaSet is not Supported';
    causes.push(forbidden(`${at}.spec.activeDeadlineSeconds`, why));
  }
}

export function validatePodSpec(causes: Causes, at: string, spec: PodSpec): void {
  const volumes = validateVolumes(causes, `${at}.volumes`, spec.volumes ?? []);
  const context = { volumes, hostNetwork: spec.hostNetwork ?? false };
  validateContainers(causes, `${at}.containers`, spec.containers, context);
  validateInitContainers(causes, `${at}.initContainers`, spec.initContainers ?? [], spec.containers ?? [], context);
  checkOneOf(causes, `${at}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never']);
  validateDNS(causes, at, spec);
  validateScheduling(causes, at, spec);
  for (const name of ['hostname', 'subdomain'] as const) {
    const value = spec[name];
    if (value) checkSyntax(causes, `${at}.${name}`, value, dns1123LabelProblems(value));
  }
  for (const name of ['serviceAccountName', 'nodeName'] as const) {
    const value = spec[name];
    if (value) checkSyntax(causes, `${at}.${name}`, value, dns1123SubdomainProblems(value));
  }
  validateHostnameOverride(causes, at, spec);
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647)) {
    causes.push(invalidValue(`${at}.activeDeadlineSeconds`, deadline, 'must be between 1 and 2147483647, inclusive'));
  }
  checkNotNegative(causes, `${at}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds);
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    checkIP(causes, `${at}.hostAliases[${i}].ip`, alias.ip);
    for (const [j, name] of (alias.hostnames ?? []).entries()) {
      checkSyntax(causes, `${at}.hostAliases[${i}].hostnames[${j}]`, name, dns1123SubdomainProblems(name));
    }
  }
}

/** Of utsname (sethostname(2)). */
const MAX_HOSTNAME = 64;

/** KEP-4762. */
function validateHostnameOverride(causes: Causes, at: string, spec: PodSpec): void {
  const { hostnameOverride: value, setHostnameAsFQDN, hostNetwork } = spec;
  if (!value) return;
  const field = `${at}.hostnameOverride`;
  checkSyntax(causes, field, value, dns1123SubdomainProblems(value));
  if (value.length > MAX_HOSTNAME) causes.push(tooLong(field, MAX_HOSTNAME));
  if (setHostnameAsFQDN) {
    causes.push(forbidden(`${at}.setHostnameAsFQDN`, 'may not be specified when `hostnameOverride` is set'));
  }
  if (hostNetwork) causes.push(forbidden(field, 'may not be specified when `hostNetwork` is true'));
}

const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;

function validateDNS(causes: Causes, at: string, { dnsPolicy, dnsConfig }: PodSpec): void {
  checkOneOf(causes, `${at}.dnsPolicy`, dnsPolicy, DNS_POLICIES);
  const servers = dnsConfig?.nameservers ?? [];
  const field = `${at}.dnsConfig.nameservers`;
  if (dnsPolicy === 'None' && servers.length === 0) {
    causes.push(required(field, 'must provide at least one DNS nameserver when `dnsPolicy` is None'));
  }
  if (servers.length > MAX_NAMESERVERS) causes.push(tooMany(field, servers.length, MAX_NAMESERVERS));
  for (const [i, server] of servers.entries()) checkIP(causes, `${field}[${i}]`, server);
  const searches = dnsConfig?.searches ?? [];
  if (searches.length > MAX_SEARCHES) causes.push(tooMany(`${at}.dnsConfig.searches`, searches.length, MAX_SEARCHES));
  for (const [i, search] of searches.entries()) {
    const name = search.replace(/\.$/, '');
    if (search !== '.') checkSyntax(causes, `${at}.dnsConfig.searches[${i}]`, search, dns1123SubdomainProblems(name));
  }
  for (const [i, option] of (dnsConfig?.options ?? []).entries()) {
    if (!option.name) causes.push(required(`${at}.dnsConfig.options[${i}]`, 'must not be empty'));
  }
}

const MUTABLE =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
  '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),' +
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export function validatePodUpdate(causes: Causes, pod: Pod, old: Pod): void {
  const { spec } = pod;
  if (!spec || !old.spec) return;
  for (const name of ['containers', 'initContainers'] as const) {
    if ((spec[name]?.length ?? 0) === (old.spec[name]?.length ?? 0)) continue;
    causes.push(forbidden(`spec.${name}`, 'pod updates may not add or remove containers'));
    return;
  }
  validateDeadlineUpdate(causes, spec, old.spec);
  const kept = old.spec.tolerations ?? [];
  if (!kept.every((toleration) => spec.tolerations?.some((each) => sameJson(each, toleration)))) {
    causes.push(forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds'));
  }
  const changed = changedFields(fixedPart(spec), fixedPart(old.spec));
  if (changed.length > 0) causes.push(forbidden('spec', `${MUTABLE}\n  changed: ${changed.join(', ')}`));
}

function validateDeadlineUpdate(causes: Causes, spec: PodSpec, old: PodSpec): void {
  const [now, then] = [spec.activeDeadlineSeconds, old.activeDeadlineSeconds];
  if (then === undefined || now === then) return;
  const field = 'spec.activeDeadlineSeconds';
  if (now === undefined) causes.push(invalidValue(field, null, 'must not update from a positive integer to nil value'));
  else if (now > then) causes.push(invalidValue(field, now, 'must be less than or equal to previous value'));
}

/** The spec without what may change. */
function fixedPart(spec: PodSpec): Record<string, unknown> {
  const { activeDeadlineSeconds: _, tolerations: __, containers, initContainers, ...rest } = spec;
  const withoutImage = (list: PodSpec['containers'] | undefined) => list?.map(({ image: _image, ...fixed }) => fixed);
  return { ...rest, containers: withoutImage(containers), initContainers: withoutImage(initContainers) };
}

function changedFields(now: Record<string, unknown>, then: Record<string, unknown>): string[] {
  const names = new Set([...Object.keys(now), ...Object.keys(then)]);
  return [...names].filter((name) => !sameJson(now[name], then[name])).map((name) => `spec.${name}`);
}
