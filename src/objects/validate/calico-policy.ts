// Room objects: validation of Calico's policies and tiers: as its CRDs have it, and what is not enforced here is refused with the reason.
import { isIP } from '../../addr/ip.ts';
import { isPrefix } from '../../addr/prefix.ts';
import { calicoPorts, calicoProtocol, unsupportedInRule } from '../calico-rules.ts';
import { calicoSelector, ExpressionError } from '../calico-selector.ts';
import type { CalicoEntity, CalicoPolicySpec, CalicoRule } from '../policy-types.ts';
import type { CalicoNetworkPolicy, CalicoTier, GlobalNetworkPolicy } from '../types.ts';
import { type Causes, checkOneOf, checkOptionalOneOf, forbidden, invalidValue, required, tooMany } from './causes.ts';
import { portNameProblems, portNumberProblems } from './names.ts';
import { checkPolicyAnnotations } from './policy-annotations.ts';

const MOST_RULES = 1024;
const ONLY_IN_RULES = 'global() can only be used in an EntityRule namespaceSelector';

export function validateCalicoNetworkPolicy(causes: Causes, { metadata, spec }: CalicoNetworkPolicy): void {
  checkPolicyAnnotations(causes, metadata);
  if (!spec) causes.push(required('spec'));
  else validateSpec(causes, spec);
}

export function validateGlobalNetworkPolicy(causes: Causes, { metadata, spec }: GlobalNetworkPolicy): void {
  checkPolicyAnnotations(causes, metadata);
  if (!spec) {
    causes.push(required('spec'));
    return;
  }
  validateSpec(causes, spec);
  checkSelector(causes, 'spec.namespaceSelector', spec.namespaceSelector, false);
  for (const field of ['doNotTrack', 'preDNAT', 'applyOnForward'] as const) {
    if (!spec[field]) continue;
    causes.push(forbidden(`spec.${field}`, 'it is for host endpoints; only pods are held to policies here'));
  }
}

function validateSpec(causes: Causes, spec: CalicoPolicySpec): void {
  checkSelector(causes, 'spec.selector', spec.selector, false);
  checkSelector(causes, 'spec.serviceAccountSelector', spec.serviceAccountSelector, false);
  for (const [i, type] of (spec.types ?? []).entries()) {
    checkOneOf(causes, `spec.types[${i}]`, type, ['Ingress', 'Egress']);
  }
  for (const direction of ['ingress', 'egress'] as const) {
    const rules = spec[direction] ?? [];
    if (rules.length > MOST_RULES) causes.push(tooMany(`spec.${direction}`, rules.length, MOST_RULES));
    for (const [i, rule] of rules.entries()) validateRule(causes, `spec.${direction}[${i}]`, direction, rule);
  }
}

function checkSelector(causes: Causes, field: string, text: string | undefined, mayBeGlobal: boolean): void {
  if (!text) return;
  try {
    calicoSelector(text);
    if (!mayBeGlobal && text.includes('global(')) causes.push(invalidValue(field, text, ONLY_IN_RULES));
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    causes.push(invalidValue(field, text, error.message));
  }
}

function validateRule(causes: Causes, at: string, direction: 'ingress' | 'egress', rule: CalicoRule): void {
  checkOneOf(causes, `${at}.action`, rule.action, ['Allow', 'Deny', 'Log', 'Pass']);
  if (rule.ipVersion !== undefined) {
    checkOptionalOneOf(causes, `${at}.ipVersion`, String(rule.ipVersion), ['4', '6']);
  }
  for (const end of ['source', 'destination'] as const) {
    if (rule[end]) validateEntity(causes, `${at}.${end}`, rule[end]);
  }
  const { ports = [], notPorts = [] } = rule.destination ?? {};
  const protocol = calicoProtocol(rule.protocol) ?? '';
  if (ports.length + notPorts.length > 0 && !['TCP', 'UDP', 'SCTP'].includes(protocol)) {
    const why = 'rules that specify ports must set protocol to TCP, UDP or SCTP';
    causes.push(invalidValue(`${at}.protocol`, rule.protocol ?? '', why));
  }
  causes.push(...unsupportedInRule(rule, direction, at));
}

function validateEntity(causes: Causes, at: string, entity: CalicoEntity): void {
  checkSelector(causes, `${at}.selector`, entity.selector, false);
  checkSelector(causes, `${at}.notSelector`, entity.notSelector, false);
  checkSelector(causes, `${at}.namespaceSelector`, entity.namespaceSelector, true);
  checkSelector(causes, `${at}.serviceAccounts.selector`, entity.serviceAccounts?.selector, false);
  for (const field of ['nets', 'notNets'] as const) {
    for (const [i, net] of (entity[field] ?? []).entries()) checkNet(causes, `${at}.${field}[${i}]`, net);
  }
  for (const field of ['ports', 'notPorts'] as const) {
    for (const [i, port] of (entity[field] ?? []).entries()) checkPort(causes, `${at}.${field}[${i}]`, port);
  }
}

function checkNet(causes: Causes, field: string, net: string): void {
  if (isIP(net) || isPrefix(net)) return;
  causes.push(invalidValue(field, net, 'must be an IP address or a CIDR, such as 10.0.0.0/8 or fd00::/8'));
}

function checkPort(causes: Causes, field: string, port: number | string): void {
  const range = calicoPorts(port);
  if (!range) {
    for (const problem of portNameProblems(String(port))) causes.push(invalidValue(field, port, problem));
    return;
  }
  const [problem] = [range.first, range.last].flatMap(portNumberProblems);
  if (problem) causes.push(invalidValue(field, port, problem));
  else if (range.first > range.last)
    causes.push(invalidValue(field, port, 'minimum port number must not exceed maximum'));
}

/** Of the tiers that are always there neither order nor end can be another. */
const FIXED: Readonly<Record<string, { readonly order: number; readonly defaultAction: string }>> = {
  'kube-admin': { order: 1000, defaultAction: 'Pass' },
  default: { order: 1_000_000, defaultAction: 'Deny' },
  'kube-baseline': { order: 10_000_000, defaultAction: 'Pass' },
};

export function validateCalicoTier(causes: Causes, { metadata, spec }: CalicoTier): void {
  checkOptionalOneOf(causes, 'spec.defaultAction', spec?.defaultAction, ['Deny', 'Pass']);
  const fixed = Object.hasOwn(FIXED, metadata.name) && FIXED[metadata.name];
  if (!fixed) return;
  if (spec?.order !== fixed.order) {
    causes.push(invalidValue('spec.order', spec?.order, `${metadata.name} tier order must be ${fixed.order}`));
  }
  if (spec?.defaultAction !== fixed.defaultAction) {
    const why = `The '${metadata.name}' tier must have default action '${fixed.defaultAction}'`;
    causes.push(invalidValue('spec.defaultAction', spec?.defaultAction, why));
  }
}
