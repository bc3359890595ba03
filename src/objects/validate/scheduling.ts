// Room objects: validation of what decides where a pod may run: tolerations, taints, affinity, spread.
import type { V1NodeSelectorTerm, V1PodSpec, V1Taint, V1Toleration } from '@kubernetes/client-node';
import type { Json } from '../types.ts';
import {
  type Causes,
  checkOneOf,
  checkSyntax,
  duplicate,
  forbidden,
  invalidValue,
  notSupported,
  required,
} from './causes.ts';
import { validateLabels } from './metadata.ts';
import { labelKeyProblems, labelValueProblems } from './names.ts';
import { validateSelector } from './selectors.ts';

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function validateScheduling(causes: Causes, at: string, spec: Json<V1PodSpec>): void {
  validateLabels(causes, `${at}.nodeSelector`, spec.nodeSelector);
  validateTolerations(causes, `${at}.tolerations`, spec.tolerations ?? []);
  for (const [i, spread] of (spec.topologySpreadConstraints ?? []).entries()) {
    const field = `${at}.topologySpreadConstraints[${i}]`;
    if (!(spread.maxSkew > 0))
      causes.push(invalidValue(`${field}.maxSkew`, spread.maxSkew, 'must be greater than zero'));
    if (!spread.topologyKey) causes.push(required(`${field}.topologyKey`, 'can not be empty'));
    checkOneOf(causes, `${field}.whenUnsatisfiable`, spread.whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway']);
    validateSelector(causes, `${field}.labelSelector`, spread.labelSelector);
  }
  const { nodeAffinity, podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const wanted = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (wanted) {
    const field = `${at}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`;
    if (!wanted.nodeSelectorTerms?.length) causes.push(required(field, 'must have at least one node selector term'));
    for (const [i, term] of (wanted.nodeSelectorTerms ?? []).entries()) validateTerm(causes, `${field}[${i}]`, term);
  }
  for (const [name, affinity] of Object.entries({ podAffinity, podAntiAffinity })) {
    for (const [i, term] of (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      const field = `${at}.affinity.${name}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`;
      if (!term.topologyKey) causes.push(required(`${field}.topologyKey`, 'can not be empty'));
      validateSelector(causes, `${field}.labelSelector`, term.labelSelector);
    }
  }
}

function validateTerm(causes: Causes, field: string, term: Json<V1NodeSelectorTerm>): void {
  for (const [i, { key, operator, values = [] }] of (term.matchExpressions ?? []).entries()) {
    const at = `${field}.matchExpressions[${i}]`;
    checkSyntax(causes, `${at}.key`, key, labelKeyProblems(key));
    if (operator === 'In' || operator === 'NotIn') {
      const why = "must be specified when `operator` is 'In' or 'NotIn'";
      if (values.length === 0) causes.push(required(`${at}.values`, why));
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      const why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
      if (values.length > 0) causes.push(forbidden(`${at}.values`, why));
    } else if (operator === 'Gt' || operator === 'Lt') {
      const why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
      if (values.length !== 1) causes.push(required(`${at}.values`, why));
    } else causes.push(invalidValue(`${at}.operator`, operator ?? '', 'not a valid selector operator'));
  }
}

export function validateTolerations(causes: Causes, field: string, tolerations: readonly Json<V1Toleration>[]): void {
  for (const [i, { key, operator, value, effect, tolerationSeconds }] of tolerations.entries()) {
    const at = `${field}[${i}]`;
    if (key) checkSyntax(causes, `${at}.key`, key, labelKeyProblems(key));
    if (!key && operator !== 'Exists') {
      const why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      causes.push(invalidValue(`${at}.operator`, operator ?? '', why));
    }
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      const why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
      causes.push(invalidValue(`${at}.effect`, effect ?? '', why));
    }
    if (!operator || operator === 'Equal')
      checkSyntax(causes, `${at}.operator`, value ?? '', labelValueProblems(value ?? ''));
    else if (operator === 'Exists') {
      const why = "value must be empty when `operator` is 'Exists'";
      if (value) causes.push(invalidValue(`${at}.operator`, value, why));
    } else causes.push(notSupported(`${at}.operator`, operator, ['Equal', 'Exists']));
    if (effect && !EFFECTS.includes(effect)) causes.push(notSupported(`${at}.effect`, effect, EFFECTS));
  }
}

export function validateTaints(causes: Causes, field: string, taints: readonly Json<V1Taint>[]): void {
  const seen = new Set<string>();
  for (const [i, { key, value, effect }] of taints.entries()) {
    const at = `${field}[${i}]`;
    checkSyntax(causes, `${at}.key`, key ?? '', labelKeyProblems(key ?? ''));
    if (value) checkSyntax(causes, `${at}.value`, value, labelValueProblems(value));
    checkOneOf(causes, `${at}.effect`, effect, EFFECTS);
    if (seen.has(`${key}:${effect}`)) causes.push(duplicate(at, taints[i]));
    seen.add(`${key}:${effect}`);
  }
}
