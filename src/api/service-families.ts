// Room api: the IP families of a Service: what was asked for, what its addresses say, and what the cluster has.
import { familyOf } from '../addr/ip.ts';
import type { StatusCause } from '../objects/status.ts';
import type { Service } from '../objects/types.ts';
import { invalidValue } from '../objects/validate/causes.ts';
import { isHeadless, validateAddressFields } from '../objects/validate/service.ts';

type Spec = Service['spec'];
export type IPFamily = 'IPv4' | 'IPv6';

export const familyName = (ip: string): IPFamily => (familyOf(ip) === 4 ? 'IPv4' : 'IPv6');
const otherFamily = (family: string): IPFamily => (family === 'IPv4' ? 'IPv6' : 'IPv4');

/**
 * Fills in ipFamilyPolicy and ipFamilies in place, and drops a second address that a change to SingleStack gives up; returns why it
 * cannot. `available` are the cluster's families, its default first. Not for ExternalName.
 */
export function fillFamilies(spec: Spec, old: Spec | undefined, available: readonly IPFamily[]): StatusCause[] {
  // A cluster that gains or loses a family changes no Service that merely prefers both.
  if (old && isUnchangedPreference(spec, old)) return [];
  const selectorless = isHeadless(spec) && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= old?.ipFamilyPolicy ?? (selectorless ? 'RequireDualStack' : 'SingleStack');
  const causes: StatusCause[] = [];
  validateAddressFields(causes, spec);
  if (causes.length > 0) return causes;
  if (old) stepDown(causes, spec, old);
  checkPolicy(causes, spec);
  inferFamilies(causes, spec, available);
  if (causes.length > 0) return causes;
  // A Service without an address and without a selector may speak of a family that the cluster has not.
  if (selectorless) addFamilies(spec, [available[0] ?? 'IPv4', otherFamily(available[0] ?? 'IPv4')]);
  else {
    checkAvailable(causes, spec, available);
    if (causes.length === 0) addFamilies(spec, available);
  }
  return causes;
}

function isUnchangedPreference(spec: Spec, old: Spec): boolean {
  const fields = ['type', 'ipFamilyPolicy', 'clusterIPs', 'ipFamilies'] as const;
  const same = fields.every((field) => String(spec[field] ?? '') === String(old[field] ?? ''));
  return same && spec.ipFamilyPolicy === 'PreferDualStack' && (spec.ipFamilies?.length ?? 0) > 0;
}

/** From two families to one: said by the policy alone. */
function stepDown(causes: StatusCause[], spec: Spec, old: Spec): void {
  const fewer = (now: readonly string[] | undefined, then: readonly string[] | undefined) =>
    (now?.length ?? 0) > 0 && (now?.length ?? 0) < (then?.length ?? 0);
  if (spec.ipFamilyPolicy === 'SingleStack') {
    for (const field of ['clusterIPs', 'ipFamilies'] as const) {
      if (String(spec[field]) === String(old[field]) && (spec[field]?.length ?? 0) > 1) {
        spec[field] = spec[field]!.slice(0, 1);
      }
    }
    return;
  }
  const refuse = (what: string) =>
    causes.push(invalidValue('spec.ipFamilyPolicy', spec.ipFamilyPolicy, `must be 'SingleStack' to release ${what}`));
  if (fewer(spec.clusterIPs, old.clusterIPs)) refuse('the secondary cluster IP');
  if (fewer(spec.ipFamilies, old.ipFamilies)) refuse('the secondary IP family');
}

function checkPolicy(causes: StatusCause[], spec: Spec): void {
  if (spec.ipFamilyPolicy !== 'SingleStack') return;
  for (const [list, what] of [
    [spec.clusterIPs, 'cluster IPs'],
    [spec.ipFamilies, 'IP families'],
  ] as const) {
    if (list?.length !== 2) continue;
    const why = `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`;
    causes.push(invalidValue('spec.ipFamilyPolicy', spec.ipFamilyPolicy, why));
  }
}

function inferFamilies(causes: StatusCause[], spec: Spec, available: readonly IPFamily[]): void {
  if (isHeadless(spec)) return;
  for (const [i, ip] of (spec.clusterIPs ?? []).entries()) {
    if (i < (spec.ipFamilies?.length ?? 0)) continue;
    const family = familyName(ip);
    if (available.includes(family)) spec.ipFamilies = [...(spec.ipFamilies ?? []), family];
    else {
      const why = `${family} is not configured on this cluster`;
      causes.push(invalidValue(`spec.clusterIPs[${i}]`, spec.clusterIPs, why));
    }
  }
}

function checkAvailable(causes: StatusCause[], spec: Spec, available: readonly IPFamily[]): void {
  if (spec.ipFamilyPolicy === 'RequireDualStack' && available.length < 2) {
    const why = 'this cluster is not configured for dual-stack services';
    causes.push(invalidValue('spec.ipFamilyPolicy', spec.ipFamilyPolicy, why));
  }
  for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
    if (available.includes(family as IPFamily)) continue;
    causes.push(invalidValue(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster'));
  }
}

function addFamilies(spec: Spec, available: readonly IPFamily[]): void {
  const wanted = [...new Set([...(spec.ipFamilies?.length ? spec.ipFamilies : available.slice(0, 1)), ...available])];
  const count = Math.max(spec.ipFamilies?.length ?? 0, spec.ipFamilyPolicy === 'SingleStack' ? 1 : 2);
  spec.ipFamilies = wanted.slice(0, count);
}
