// Room controllers: what a Service of type LoadBalancer asks for: families, addresses, a pool, company.
import { type Family, familyOf, formatIP, type IP, isIP, parseIP } from '../../addr/ip.ts';
import { objectKey, type Service } from '../../objects/types.ts';
import type { Holder } from './book.ts';

/** The class that is ours; a Service without a class is ours as well. */
export const LB_CLASS = 'podwire.io/l2';
/** Annotations of a Service, ours first; then those under which users of other balancers say the same, so that their manifests do as they are. */
const ANNOTATIONS = {
  addresses: [
    'podwire.io/load-balancer-ips',
    'metallb.io/loadBalancerIPs',
    'metallb.universe.tf/loadBalancerIPs',
    'kube-vip.io/loadbalancerIPs',
  ],
  pool: ['podwire.io/load-balancer-pool', 'metallb.io/address-pool', 'metallb.universe.tf/address-pool'],
  sharingKey: ['podwire.io/allow-shared-ip', 'metallb.io/allow-shared-ip', 'metallb.universe.tf/allow-shared-ip'],
} as const;

/** Under which name it is said, and what; undefined when it is not. */
function annotated(
  { metadata }: Service,
  what: keyof typeof ANNOTATIONS,
): { readonly name: string; readonly value: string } | undefined {
  for (const name of ANNOTATIONS[what]) {
    const value = metadata.annotations?.[name];
    if (value) return { name, value };
  }
  return undefined;
}

export interface AddressRequest {
  readonly holder: Holder;
  readonly service: Service;
  readonly families: readonly Family[];
  /** False: whichever of the families there are addresses of. */
  readonly allFamilies: boolean;
  /** Asked for by name, at most one per family. */
  readonly ips: readonly IP[];
  readonly pool: string | undefined;
}

export function isOurs({ spec }: Pick<Service, 'spec'>): boolean {
  const { type, loadBalancerClass } = spec;
  return type === 'LoadBalancer' && (!loadBalancerClass || loadBalancerClass === LB_CLASS);
}

/** A text instead of a request: what is wrong with it, and how to put it right. */
export function requestOf(service: Service): AddressRequest | string {
  const { spec } = service;
  const named = spec.ipFamilies?.length ? spec.ipFamilies.map((family) => (family === 'IPv6' ? 6 : 4)) : undefined;
  const families: readonly Family[] = named ?? [...new Set((spec.clusterIPs ?? []).filter(isIP).map(familyOf))];
  const list = annotated(service, 'addresses');
  const texts = (list?.value ?? spec.loadBalancerIP ?? '').split(',').map((text) => text.trim());
  const ips = texts.filter((text) => text !== '');
  const where = list === undefined ? 'spec.loadBalancerIP' : `annotation ${list.name}`;
  for (const [i, ip] of ips.entries()) {
    if (!isIP(ip)) return `${where}: "${ip}" is not an IP address`;
    if (!families.includes(familyOf(ip))) return `${where}: the Service has no IPv${familyOf(ip)}: see spec.ipFamilies`;
    if (ips.findIndex((other) => familyOf(other) === familyOf(ip)) !== i)
      return `${where}: more than one address of IPv${familyOf(ip)}`;
  }
  return {
    service,
    holder: holderOf(service),
    families,
    allFamilies: spec.ipFamilyPolicy !== 'PreferDualStack',
    ips: ips.map((ip) => formatIP(parseIP(ip)!)),
    pool: annotated(service, 'pool')?.value,
  };
}

export function holderOf(service: Service): Holder {
  const { spec, metadata } = service;
  const selector = Object.entries(spec.selector ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    key: objectKey(service),
    ports: (spec.ports ?? []).map(({ port, protocol = 'TCP' }) => `${protocol}/${port}`),
    sharingKey: annotated(service, 'sharingKey')?.value,
    placement: spec.externalTrafficPolicy === 'Local' ? JSON.stringify([metadata.namespace, selector]) : '',
  };
}

/** What the Service's status tells of addresses. */
export function addressesIn({ status }: Service): IP[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip && isIP(ip) ? [ip] : []));
}
