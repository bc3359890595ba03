// Room objects: validation of Services.
import type { V1ServicePort } from '@kubernetes/client-node';
import type { Json, Service } from '../types.ts';
import { checkCIDR, checkEndpointIP, checkIP, checkPort, isFamily, PROTOCOLS } from './addresses.ts';
import {
  type Causes,
  checkOneOf,
  checkOptionalOneOf,
  checkSyntax,
  duplicate,
  forbidden,
  invalidValue,
  required,
} from './causes.ts';
import { validateLabels } from './metadata.ts';
import { dns1123LabelProblems, dns1123SubdomainProblems, labelKeyProblems, portNumberProblems } from './names.ts';

const FAMILY_POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
const DISTRIBUTIONS = ['PreferClose', 'PreferSameNode', 'PreferSameZone'];
const SOURCE_RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';
/** Where a node's agent serves; not to be given away to the outside. */
const KUBELET_PORT = 10_250;
const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const MAX_SESSION_SECONDS = 86_400;

type Spec = Service['spec'];

export function isHeadless(spec: Spec): boolean {
  return spec.clusterIP === 'None' || spec.clusterIPs?.[0] === 'None';
}

/** Whether traffic from outside the cluster is the Service's business. */
export function isExternallyAccessible({ type, externalIPs }: Spec): boolean {
  return type === 'LoadBalancer' || type === 'NodePort' || (type === 'ClusterIP' && (externalIPs?.length ?? 0) > 0);
}

export function needsHealthCheck({ type, externalTrafficPolicy }: Spec): boolean {
  return type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
}

export function validateService(causes: Causes, service: Service): void {
  const { spec } = service;
  if (!spec) {
    causes.push(required('spec.ports'));
    return;
  }
  checkOneOf(causes, 'spec.type', spec.type, TYPES);
  validateByType(causes, spec);
  validatePorts(causes, spec);
  validateLabels(causes, 'spec.selector', spec.selector);
  validateAffinity(causes, spec);
  if (spec.type !== 'ExternalName') validateAddressFields(causes, spec);
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) checkEndpointIP(causes, `spec.externalIPs[${i}]`, ip);
  validateSourceRanges(causes, service);
  validateLoadBalancer(causes, spec);
  validateTrafficPolicies(causes, spec);
}

function validateByType(causes: Causes, spec: Spec): void {
  const { type } = spec;
  if (type === 'LoadBalancer') {
    for (const [i, { port }] of (spec.ports ?? []).entries()) {
      if (port !== KUBELET_PORT) continue;
      const why = `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`;
      causes.push(invalidValue(`spec.ports[${i}]`, port, why));
    }
  }
  if ((type === 'LoadBalancer' || type === 'NodePort') && isHeadless(spec)) {
    causes.push(invalidValue('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`));
  }
  if (type !== 'ExternalName') return;
  const set = { clusterIPs: spec.clusterIPs?.length || spec.clusterIP, ipFamilies: spec.ipFamilies?.length };
  for (const [field, value] of Object.entries({ ...set, ipFamilyPolicy: spec.ipFamilyPolicy })) {
    if (value) causes.push(forbidden(`spec.${field}`, 'may not be set for ExternalName services'));
  }
  const name = spec.externalName?.replace(/\.$/, '');
  if (name) checkSyntax(causes, 'spec.externalName', name, dns1123SubdomainProblems(name));
  else causes.push(required('spec.externalName'));
}

function validatePorts(causes: Causes, spec: Spec): void {
  const ports = spec.ports ?? [];
  if (ports.length === 0 && !isHeadless(spec) && spec.type !== 'ExternalName') causes.push(required('spec.ports'));
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    validatePort(causes, at, port, ports.length > 1);
    if (port.name && names.has(port.name)) causes.push(duplicate(`${at}.name`, port.name));
    if (port.name) names.add(port.name);
    const key = `${port.protocol}/${port.port}`;
    if (numbers.has(key)) causes.push(duplicate(at, { protocol: port.protocol, port: port.port }));
    numbers.add(key);
    if (!port.nodePort) continue;
    if (spec.type === 'ClusterIP') {
      causes.push(forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    }
    const nodeKey = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(nodeKey)) causes.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(nodeKey);
  }
}

function validatePort(causes: Causes, at: string, port: Json<V1ServicePort>, named: boolean): void {
  if (port.name) checkSyntax(causes, `${at}.name`, port.name, dns1123LabelProblems(port.name));
  else if (named) causes.push(required(`${at}.name`));
  for (const problem of portNumberProblems(port.port)) causes.push(invalidValue(`${at}.port`, port.port ?? 0, problem));
  checkOneOf(causes, `${at}.protocol`, port.protocol, PROTOCOLS);
  if (port.targetPort !== undefined) checkPort(causes, `${at}.targetPort`, port.targetPort);
  if (port.appProtocol) checkSyntax(causes, `${at}.appProtocol`, port.appProtocol, labelKeyProblems(port.appProtocol));
}

function validateAffinity(causes: Causes, { sessionAffinity, sessionAffinityConfig }: Spec): void {
  checkOneOf(causes, 'spec.sessionAffinity', sessionAffinity, ['ClientIP', 'None']);
  const at = 'spec.sessionAffinityConfig';
  if (sessionAffinity === 'None' && sessionAffinityConfig) {
    causes.push(forbidden(at, 'must not be set when session affinity is None'));
  }
  if (sessionAffinity !== 'ClientIP') return;
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds === undefined) {
    causes.push(required(`${at}.clientIP.timeoutSeconds`, 'when session affinity type is ClientIP'));
  } else if (seconds <= 0 || seconds > MAX_SESSION_SECONDS) {
    const why = `must be greater than 0 and less than ${MAX_SESSION_SECONDS}`;
    causes.push(invalidValue(`${at}.clientIP.timeoutSeconds`, seconds, why));
  }
}

/** clusterIP(s), ipFamilies and ipFamilyPolicy, and that they agree; not for ExternalName. */
export function validateAddressFields(causes: Causes, spec: Spec): void {
  const { clusterIPs = [] } = spec;
  for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
    checkOneOf(causes, `spec.ipFamilies[${i}]`, family, ['IPv4', 'IPv6']);
    if (spec.ipFamilies!.indexOf(family) < i) causes.push(duplicate(`spec.ipFamilies[${i}]`, family));
  }
  checkOptionalOneOf(causes, 'spec.ipFamilyPolicy', spec.ipFamilyPolicy, FAMILY_POLICIES);
  if (clusterIPs.length > 0 && clusterIPs[0] !== (spec.clusterIP || '')) {
    const why = spec.clusterIP
      ? 'first value must match `clusterIP`'
      : 'must be empty when `clusterIP` is not specified';
    causes.push(invalidValue('spec.clusterIPs', clusterIPs, why));
  }
  const addresses = clusterIPsOf(spec);
  if (addresses[0] === 'None') {
    if (addresses.length > 1) {
      causes.push(invalidValue('spec.clusterIPs', addresses, "'None' must be the first and only value"));
    }
    return;
  }
  const valid = addresses.filter((ip, i) => checkIP(causes, `spec.clusterIPs[${i}]`, ip));
  if (addresses.length > 2) causes.push(invalidValue('spec.clusterIPs', addresses, 'may only hold up to 2 values'));
  if (valid.length < addresses.length) return;
  if (addresses.length > 1 && !isDualStack(addresses)) {
    causes.push(invalidValue('spec.clusterIPs', addresses, 'may specify no more than one IP for each IP family'));
  }
  for (const [i, ip] of addresses.entries()) {
    const family = spec.ipFamilies?.[i];
    if ((family !== 'IPv4' && family !== 'IPv6') || isFamily(ip, family === 'IPv4' ? 4 : 6)) continue;
    const why = `expected an ${family} value as indicated by \`ipFamilies[${i}]\``;
    causes.push(invalidValue(`spec.clusterIPs[${i}]`, ip, why));
  }
}

function isDualStack(addresses: readonly string[]): boolean {
  return addresses.some((ip) => isFamily(ip, 4)) && addresses.some((ip) => isFamily(ip, 6));
}

function validateSourceRanges(causes: Causes, { metadata, spec }: Service): void {
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = metadata.annotations?.[SOURCE_RANGES];
  const only = "may only be used when `type` is 'LoadBalancer'";
  if (ranges.length > 0) {
    if (spec.type !== 'LoadBalancer') causes.push(forbidden('spec.LoadBalancerSourceRanges', only));
    // Space around the values has always been allowed.
    for (const [i, range] of ranges.entries()) checkCIDR(causes, `spec.LoadBalancerSourceRanges[${i}]`, range.trim());
  } else if (annotation !== undefined) {
    const field = `metadata.annotations[${SOURCE_RANGES}]`;
    if (spec.type !== 'LoadBalancer') causes.push(forbidden(field, only));
    for (const range of annotation.trim() ? annotation.split(',') : []) checkCIDR(causes, field, range.trim());
  }
}

function validateLoadBalancer(causes: Causes, { type, allocateLoadBalancerNodePorts, loadBalancerClass }: Spec): void {
  const only = "may only be used when `type` is 'LoadBalancer'";
  if (type !== 'LoadBalancer') {
    if (allocateLoadBalancerNodePorts !== undefined) causes.push(forbidden('spec.allocateLoadBalancerNodePorts', only));
    if (loadBalancerClass !== undefined) causes.push(forbidden('spec.loadBalancerClass', only));
  } else if (loadBalancerClass !== undefined) {
    checkSyntax(causes, 'spec.loadBalancerClass', loadBalancerClass, labelKeyProblems(loadBalancerClass));
  }
}

function validateTrafficPolicies(causes: Causes, spec: Spec): void {
  const { externalTrafficPolicy, healthCheckNodePort } = spec;
  if (isExternallyAccessible(spec)) {
    checkOneOf(causes, 'spec.externalTrafficPolicy', externalTrafficPolicy, ['Cluster', 'Local']);
  } else if (externalTrafficPolicy) {
    const why = 'may only be set for externally-accessible services';
    causes.push(invalidValue('spec.externalTrafficPolicy', externalTrafficPolicy, why));
  }
  checkOptionalOneOf(causes, 'spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']);
  checkOptionalOneOf(causes, 'spec.trafficDistribution', spec.trafficDistribution, DISTRIBUTIONS);
  if (!healthCheckNodePort) return;
  if (needsHealthCheck(spec)) {
    for (const problem of portNumberProblems(healthCheckNodePort)) {
      causes.push(invalidValue('spec.healthCheckNodePort', healthCheckNodePort, problem));
    }
  } else {
    const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    causes.push(invalidValue('spec.healthCheckNodePort', healthCheckNodePort, why));
  }
}

/** What a Service was given stays for as long as its type has it: only a change to or from ExternalName gives an address up. */
export function validateServiceUpdate(causes: Causes, service: Service, old: Service): void {
  const [now, then] = [service.spec, old.spec];
  if (!now || !then) return;
  if (now.type === 'LoadBalancer' && then.type === 'LoadBalancer' && now.loadBalancerClass !== then.loadBalancerClass) {
    causes.push(invalidValue('spec.loadBalancerClass', now.loadBalancerClass, 'may not change once set'));
  }
  if (needsHealthCheck(now) && needsHealthCheck(then) && now.healthCheckNodePort !== then.healthCheckNodePort) {
    causes.push(forbidden('spec.healthCheckNodePort', 'field is immutable'));
  }
  if (now.type === 'ExternalName' || then.type === 'ExternalName') return;
  if (!(isHeadless(now) && isHeadless(then))) validateAddressChange(causes, now, then);
  if (!isHeadless(now) && !isHeadless(then)) validateFamilyChange(causes, now, then);
}

/** The second address may be given up, not exchanged; the first neither. */
function validateAddressChange(causes: Causes, now: Spec, then: Spec): void {
  const [ips, oldIPs] = [clusterIPsOf(now), clusterIPsOf(then)];
  const release = oldIPs.length > ips.length;
  for (const [i, ip] of oldIPs.entries()) {
    if (ips[i] === ip || (release && i > 0)) continue;
    const why = ips[i] === undefined ? 'primary clusterIP can not be unset' : 'may not change once set';
    causes.push(invalidValue(`spec.clusterIPs[${i}]`, ips, why));
  }
  if (release && ips.length === 1 && now.ipFamilyPolicy !== 'SingleStack') {
    const why = "must be set to 'SingleStack' when releasing the secondary clusterIP";
    causes.push(invalidValue('spec.ipFamilyPolicy', now.ipFamilyPolicy, why));
  }
}

function validateFamilyChange(causes: Causes, now: Spec, then: Spec): void {
  const [families, oldFamilies] = [now.ipFamilies ?? [], then.ipFamilies ?? []];
  const both = families.length > 0 && oldFamilies.length > 0;
  const exchanged = families.length === oldFamilies.length && families.some((family, i) => family !== oldFamilies[i]);
  if (both && (exchanged || families[0] !== oldFamilies[0])) {
    causes.push(invalidValue('spec.ipFamilies[0]', families, 'may not change once set'));
  }
  if (families.length === 1 && oldFamilies.length === 2 && now.ipFamilyPolicy !== 'SingleStack') {
    const why = "must be set to 'SingleStack' when releasing the secondary ipFamily";
    causes.push(invalidValue('spec.ipFamilyPolicy', now.ipFamilyPolicy, why));
  }
}

function clusterIPsOf(spec: Spec): string[] {
  return spec.clusterIPs?.length ? spec.clusterIPs : spec.clusterIP ? [spec.clusterIP] : [];
}
