// Room objects: validation of ServiceCIDRs and IPAddresses.
import { familyOf } from '../../addr/ip.ts';
import type { IPAddress, ServiceCIDR } from '../types.ts';
import { checkCIDR } from './addresses.ts';
import { type Causes, checkImmutable, checkSyntax, invalidValue, required } from './causes.ts';
import { dns1123SubdomainProblems } from './names.ts';

export function validateServiceCIDR(causes: Causes, { spec }: ServiceCIDR): void {
  const cidrs = spec?.cidrs ?? [];
  if (cidrs.length === 0) causes.push(required('spec.cidrs', 'at least one CIDR required'));
  if (cidrs.length > 2) causes.push(invalidValue('spec.cidrs', spec, 'may only hold up to 2 values'));
  const prefixes = cidrs.flatMap((cidr, i) => checkCIDR(causes, `spec.cidrs[${i}]`, cidr) ?? []);
  if (prefixes.length === 2 && familyOf(prefixes[0]!.ip) === familyOf(prefixes[1]!.ip)) {
    const why = 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64';
    causes.push(invalidValue('spec.cidrs', spec, why));
  }
}

/** A range may gain the other family, and change in no other way. */
export function validateServiceCIDRUpdate(causes: Causes, { spec }: ServiceCIDR, old: ServiceCIDR): void {
  const [now, then] = [spec?.cidrs ?? [], old.spec?.cidrs ?? []];
  if (then.length === 1 && now.length === 2) checkImmutable(causes, 'spec.cidrs[0]', now[0], then[0]);
  else checkImmutable(causes, 'spec.cidrs', now, then);
}

export function validateIPAddress(causes: Causes, { spec }: IPAddress): void {
  const parent = spec?.parentRef;
  if (!parent) {
    causes.push(required('spec.parentRef'));
    return;
  }
  const at = 'spec.parentRef';
  if (parent.group) checkSyntax(causes, `${at}.group`, parent.group, dns1123SubdomainProblems(parent.group));
  if (!parent.resource) causes.push(required(`${at}.resource`));
  if (!parent.name) causes.push(required(`${at}.name`));
}

export function validateIPAddressUpdate(causes: Causes, { spec }: IPAddress, old: IPAddress): void {
  checkImmutable(causes, 'spec.parentRef', spec?.parentRef, old.spec?.parentRef);
}
