// Room objects: validation of Ingresses and IngressClasses.
import type { V1HTTPIngressPath, V1IngressBackend } from '@kubernetes/client-node';
import { isIP } from '../../addr/ip.ts';
import type { Ingress, IngressClass, Json } from '../types.ts';
import {
  type Causes,
  checkImmutable,
  checkOneOf,
  checkSyntax,
  invalidValue,
  notSupported,
  required,
} from './causes.ts';
import {
  dns1123LabelProblems,
  dns1123SubdomainProblems,
  portNameProblems,
  portNumberProblems,
  wildcardSubdomainProblems,
} from './names.ts';

const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];
/** Sequences that a path may not hold, for they would be resolved away before they are compared. */
const BAD_SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const BAD_ENDINGS = ['/..', '/.'];

export function validateIngress(causes: Causes, { spec = {} }: Ingress): void {
  if (!spec.rules?.length && !spec.defaultBackend) {
    causes.push(invalidValue('spec', spec.rules ?? [], 'either `defaultBackend` or `rules` must be specified'));
  }
  if (spec.defaultBackend) validateBackend(causes, 'spec.defaultBackend', spec.defaultBackend);
  if (spec.ingressClassName) {
    checkSyntax(
      causes,
      'spec.ingressClassName',
      spec.ingressClassName,
      dns1123SubdomainProblems(spec.ingressClassName),
    );
  }
  for (const [i, rule] of (spec.rules ?? []).entries()) {
    const at = `spec.rules[${i}]`;
    if (rule.host) validateHost(causes, `${at}.host`, rule.host);
    if (!rule.http) continue;
    if (!rule.http.paths?.length) causes.push(required(`${at}.http.paths`));
    for (const [j, path] of (rule.http.paths ?? []).entries()) validatePath(causes, `${at}.http.paths[${j}]`, path);
  }
  for (const [i, tls] of (spec.tls ?? []).entries()) {
    for (const [j, host] of (tls.hosts ?? []).entries()) validateHost(causes, `spec.tls[${i}].hosts[${j}]`, host);
  }
}

function validateHost(causes: Causes, field: string, host: string): void {
  if (isIP(host)) causes.push(invalidValue(field, host, 'must be a DNS name, not an IP address'));
  else {
    const problems = host.includes('*') ? wildcardSubdomainProblems(host) : dns1123SubdomainProblems(host);
    checkSyntax(causes, field, host, problems);
  }
}

function validatePath(causes: Causes, at: string, { path = '', pathType, backend }: Json<V1HTTPIngressPath>): void {
  if (!pathType) causes.push(required(`${at}.pathType`, 'pathType must be specified'));
  else if (!PATH_TYPES.includes(pathType)) causes.push(notSupported(`${at}.pathType`, pathType, PATH_TYPES));
  else if (pathType !== 'ImplementationSpecific' || path !== '') {
    if (!path.startsWith('/')) causes.push(invalidValue(`${at}.path`, path, 'must be an absolute path'));
    else if (pathType !== 'ImplementationSpecific') {
      for (const bad of BAD_SEQUENCES) {
        if (path.includes(bad)) causes.push(invalidValue(`${at}.path`, path, `must not contain '${bad}'`));
      }
      for (const bad of BAD_ENDINGS) {
        if (path.endsWith(bad)) causes.push(invalidValue(`${at}.path`, path, `cannot end with '${bad}'`));
      }
    }
  }
  validateBackend(causes, `${at}.backend`, backend ?? {});
}

function validateBackend(causes: Causes, at: string, { resource, service }: Json<V1IngressBackend>): void {
  if (resource && service) {
    causes.push(invalidValue(at, '', 'cannot set both resource and service backends'));
    return;
  }
  if (resource) {
    if (!resource.kind) causes.push(required(`${at}.resource.kind`));
    if (!resource.name) causes.push(required(`${at}.resource.name`));
    return;
  }
  if (!service) {
    causes.push(required(at, 'resource or service backend is required'));
    return;
  }
  if (!service.name) causes.push(required(`${at}.service.name`));
  else checkSyntax(causes, `${at}.service.name`, service.name, dns1123LabelProblems(service.name));
  const { name, number } = service.port ?? {};
  if (name && number) causes.push(invalidValue(at, '', 'cannot set both port name & port number'));
  else if (name) checkSyntax(causes, `${at}.service.port.name`, name, portNameProblems(name));
  else if (number) {
    for (const problem of portNumberProblems(number)) {
      causes.push(invalidValue(`${at}.service.port.number`, number, problem));
    }
  } else causes.push(required(at, 'port name or number is required'));
}

export function validateIngressClass(causes: Causes, { spec }: IngressClass): void {
  const controller = spec?.controller ?? '';
  const field = 'spec.controller';
  const [domain = '', path] = controller.split(/\/(.*)/s);
  if (controller === '') causes.push(required(field));
  else if (!path) {
    causes.push(invalidValue(field, controller, 'must be a domain-prefixed path (such as "acme.io/foo")'));
  } else checkSyntax(causes, field, domain, dns1123SubdomainProblems(domain));
  const parameters = spec?.parameters;
  if (!parameters) return;
  if (!parameters.kind) causes.push(required('spec.parameters.kind', 'kind is required'));
  if (!parameters.name) causes.push(required('spec.parameters.name', 'name is required'));
  checkOneOf(causes, 'spec.parameters.scope', parameters.scope, ['Cluster', 'Namespace']);
  if (parameters.scope === 'Namespace' && !parameters.namespace) {
    causes.push(required('spec.parameters.namespace', "`parameters.scope` is set to 'Namespace'"));
  }
}

export function validateIngressClassUpdate(causes: Causes, now: IngressClass, old: IngressClass): void {
  checkImmutable(causes, 'spec.controller', now.spec?.controller, old.spec?.controller);
}
