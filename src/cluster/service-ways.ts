// Room cluster: which prefixes beyond the cluster's own the machine sends to a node: of further ServiceCIDRs, and of externalIPs in
// network.externalCIDRs.
import { type CIDR, parsePrefix, prefixContains } from '../addr/prefix.ts';
import type { Informer } from '../cache/informer.ts';
import { objectKey, type Service, type ServiceCIDR } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { cidrsOf, externalPrefixes, furtherPrefixes } from '../plan/service-ways.ts';
import type { ClusterConfig } from './config.ts';
import { hostLegName } from './fabric.ts';
import { strangerOf } from './slot.ts';

const log = logger('fabric');

export interface WaysWatch {
  readonly services: Informer<Service>;
  readonly serviceCIDRs: Informer<ServiceCIDR>;
  readonly config: ClusterConfig;
  /** Told of all prefixes, in order, whenever they are others. */
  readonly onChange: (prefixes: readonly CIDR[]) => void;
}

/** Returns how to stop. */
export function watchServiceWays({ services, serviceCIDRs, config, onChange }: WaysWatch): () => void {
  const wanted = new Map<string, readonly CIDR[]>();
  let told = config.furtherCIDRs ?? [];
  let scheduled = false;
  const look = () => {
    scheduled = false;
    const now = reachable([...wanted.values()].flat(), config);
    if (now.join() === told.join()) return;
    told = now;
    onChange(now);
  };
  const put = (key: string, prefixes: readonly CIDR[]) => {
    const before = wanted.get(key) ?? [];
    if (prefixes.join() === before.join()) return;
    if (prefixes.length > 0) wanted.set(key, prefixes);
    else wanted.delete(key);
    schedule();
  };
  const schedule = () => {
    if (scheduled || !services.hasSynced || !serviceCIDRs.hasSynced) return;
    scheduled = true;
    setImmediate(look);
  };
  const allowed = (prefix: CIDR) =>
    config.network.externalCIDRs.some((cidr) => prefixContains(cidr, parsePrefix(prefix).ip));
  const stops = [
    services.onChange(({ type, object }) => {
      const prefixes = type === 'delete' ? [] : externalPrefixes(object).filter(allowed);
      put(`Service/${objectKey(object)}`, prefixes);
    }),
    serviceCIDRs.onChange(({ type, object }) => {
      put(`ServiceCIDR/${object.metadata.name}`, type === 'delete' ? [] : cidrsOf(object));
    }),
  ];
  void Promise.all([services.synced, serviceCIDRs.synced]).then(schedule);
  return () => {
    scheduled = true;
    for (const stop of stops) stop();
  };
}

/** Of the cluster's families, and nobody else's on this machine. */
function reachable(prefixes: readonly CIDR[], config: ClusterConfig): CIDR[] {
  const { nodeCIDRs, podCIDRs, serviceCIDRs } = config.network;
  const families = new Set(nodeCIDRs.map((cidr) => parsePrefix(cidr).family));
  const further = furtherPrefixes(prefixes, [...nodeCIDRs, ...podCIDRs, ...serviceCIDRs]);
  return further
    .filter((prefix) => {
      if (!families.has(parsePrefix(prefix).family)) return false;
      const stranger = strangerOf(prefix, config.name, hostLegName(config.name));
      if (stranger) log.warn({ prefix, stranger }, 'not reached from this machine, which has another way there');
      return !stranger;
    })
    .sort();
}
