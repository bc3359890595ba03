// Room objects: validation of Services.
import type { V1ServicePort } from '@kubernetes/client-node';
import type { Json, Service } from '../types.ts';
import { checkCIDR, checkEndpointIP, checkIP, checkPort, PROTOCOLS } from './addresses.ts';
import {
  type Causes,
  checkOneOf,
  checkOptionalOneOf,
  checkSyntax,
  duplicate,
  forbidden,
  invalidValue,
  required,
  sameJson,
} from './causes.ts';
import { validateLabels } from './metadata.ts';
import { dns1123LabelProblems, dns1123SubdomainProblems, labelKeyProblems, portNumberProblems } from './names.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const MAX_SESSION_SECONDS = 86_400;

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
  checkOneOf(causes, 'spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds !== undefined && (seconds <= 0 || seconds > MAX_SESSION_SECONDS)) {
    const why = `must be greater than 0 and less than ${MAX_SESSION_SECONDS}`;
    causes.push(invalidValue('spec.sessionAffinityConfig.clientIP.timeoutSeconds', seconds, why));
  }
  validateAddresses(causes, spec);
  validateTrafficPolicies(causes, spec);
}

type Spec = Service['spec'];

function isHeadless(spec: Spec): boolean {
  return spec.clusterIP === 'None' || spec.clusterIPs?.[0] === 'None';
}

function validateByType(causes: Causes, spec: Spec): void {
  if (spec.type === 'LoadBalancer' || spec.type === 'NodePort') {
    if (isHeadless(spec)) {
      causes.push(invalidValue('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`));
    }
  }
  if (spec.type !== 'ExternalName') return;
  if (spec.clusterIP || spec.clusterIPs?.length) {
    causes.push(forbidden('spec.clusterIPs', 'may not be set for ExternalName services'));
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

function validateAddresses(causes: Causes, spec: Spec): void {
  const clusterIPs = spec.clusterIPs?.length ? spec.clusterIPs : spec.clusterIP ? [spec.clusterIP] : [];
  for (const [i, ip] of clusterIPs.entries()) {
    if (ip === 'None' && i === 0) continue;
    checkIP(causes, `spec.clusterIPs[${i}]`, ip);
  }
  if (spec.clusterIP && spec.clusterIPs?.length && spec.clusterIPs[0] !== spec.clusterIP) {
    causes.push(invalidValue('spec.clusterIPs', spec.clusterIPs, 'first value must match `clusterIP`'));
  }
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) checkEndpointIP(causes, `spec.externalIPs[${i}]`, ip);
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && spec.type !== 'LoadBalancer') {
    causes.push(forbidden('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'"));
  }
  for (const [i, range] of ranges.entries()) checkCIDR(causes, `spec.loadBalancerSourceRanges[${i}]`, range.trim());
  for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
    checkOneOf(causes, `spec.ipFamilies[${i}]`, family, ['IPv4', 'IPv6']);
    if (i > 0 && spec.ipFamilies![0] === family) causes.push(duplicate(`spec.ipFamilies[${i}]`, family));
  }
  const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
  checkOptionalOneOf(causes, 'spec.ipFamilyPolicy', spec.ipFamilyPolicy, policies);
}

function validateTrafficPolicies(causes: Causes, spec: Spec): void {
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || Boolean(spec.externalIPs?.length);
  if (spec.externalTrafficPolicy && !external) {
    const why = 'may only be set for externally-accessible services';
    causes.push(invalidValue('spec.externalTrafficPolicy', spec.externalTrafficPolicy, why));
  }
  checkOptionalOneOf(causes, 'spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local']);
  checkOptionalOneOf(causes, 'spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']);
  if (spec.loadBalancerClass && spec.type !== 'LoadBalancer') {
    causes.push(forbidden('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'"));
  }
  if (spec.healthCheckNodePort && (spec.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local')) {
    const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    causes.push(invalidValue('spec.healthCheckNodePort', spec.healthCheckNodePort, why));
  }
}

/** The address of a Service stays for as long as it has one: only a change to or from ExternalName gives it up. */
export function validateServiceUpdate(causes: Causes, service: Service, old: Service): void {
  const [now, then] = [service.spec, old.spec];
  if (!now || !then || now.type === 'ExternalName' || then.type === 'ExternalName') return;
  const [ips, oldIPs] = [clusterIPsOf(now), clusterIPsOf(then)];
  for (const [i, ip] of oldIPs.entries()) {
    if (ips[i] === ip) continue;
    // The second address of a dual-stack Service may be given up, not exchanged.
    if (i > 0 && ips[i] === undefined) continue;
    const why = ips[i] === undefined ? 'primary clusterIP can not be unset' : 'may not change once set';
    causes.push(invalidValue(`spec.clusterIPs[${i}]`, ips, why));
  }
  const [families, oldFamilies] = [now.ipFamilies ?? [], then.ipFamilies ?? []];
  if (families[0] && oldFamilies[0] && !sameJson(families[0], oldFamilies[0])) {
    causes.push(invalidValue('spec.ipFamilies[0]', families, 'may not change once set'));
  }
}

function clusterIPsOf(spec: Spec): string[] {
  return spec.clusterIPs?.length ? spec.clusterIPs : spec.clusterIP ? [spec.clusterIP] : [];
}
