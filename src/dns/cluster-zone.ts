// Room dns: the chain's handler of the cluster's own zone.
import { isWithin, relativeTo } from '../wire/dns/name.ts';
import type { Handler } from './query.ts';
import type { ClusterRecords } from './records.ts';
import { zoneAnswer } from './zone.ts';

/** Authoritative for all of the zone: what is not there does not exist, and is asked of nobody else. */
export function clusterZone(records: ClusterRecords): Handler {
  const apex = records.zone;
  const find = (name: string) => records.find(relativeTo(name, apex));
  return (query) => {
    if (!isWithin(query.lower, apex)) return undefined;
    const labels = relativeTo(query.lower, apex);
    const answer = zoneAnswer(query, { apex, soa: records.apex()[0], ttl: records.ttl, find }, records.find(labels));
    const dependsOn = records.dependencyOf(labels);
    return dependsOn === undefined ? answer : { ...answer, validity: { dependsOn } };
  };
}
