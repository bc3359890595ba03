// Bench of DNS: the Services of a cluster, the names that they have, and the mixes of questions that are asked.
import type { NodeMessage } from '../../test/dns/node.worker.ts';

export const SERVICES = 10_000;
const ENDPOINTS = 10;
export const ZONE = 'bench.svc.cluster.local';
/** Names of the outside world that are asked for. */
const OUTSIDE = 1000;

const meta = (name: string, labels: Record<string, string> = {}) => {
  return { namespace: 'bench', name, labels, uid: name, resourceVersion: '1', creationTimestamp: '' };
};
const isHeadless = (i: number) => i % 10 === 0;
const clusterIP = (i: number) => `10.97.${i >> 8}.${i & 255}`;
const endpointIP = (i: number, j: number) => `10.${100 + j}.${i >> 8}.${i & 255}`;
const endpointIPs = (i: number) => Array.from({ length: ENDPOINTS }, (_, j) => endpointIP(i, j));

/** Every tenth Service is headless; all have ten endpoints. */
export function* objects(): Generator<NodeMessage> {
  const namespace = { ...meta('bench'), name: 'bench' };
  yield { set: 'Namespace', object: { apiVersion: 'v1', kind: 'Namespace', metadata: namespace } };
  for (let i = 0; i < SERVICES; i++) {
    const name = `svc-${i}`;
    const spec = {
      clusterIP: isHeadless(i) ? 'None' : clusterIP(i),
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    };
    yield { set: 'Service', object: { apiVersion: 'v1', kind: 'Service', metadata: meta(name), spec } };
    yield {
      set: 'EndpointSlice',
      object: {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: meta(`${name}-1`, { 'kubernetes.io/service-name': name }),
        addressType: 'IPv4',
        endpoints: endpointIPs(i).map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
    };
  }
}

/** The same as lines of a zone file. */
export function* zoneLines(): Generator<string> {
  for (let i = 0; i < SERVICES; i++) {
    const name = `svc-${i}.${ZONE}.`;
    for (const ip of isHeadless(i) ? endpointIPs(i) : [clusterIP(i)]) yield `${name} 5 IN A ${ip}`;
    if (isHeadless(i)) continue;
    yield `_http._tcp.${name} 5 IN SRV 0 100 80 ${name}`;
    yield `${clusterIP(i).split('.').toReversed().join('.')}.in-addr.arpa. 5 IN PTR ${name}`;
  }
}

export interface Mix {
  readonly label: string;
  /** A question as dnsperf reads it. */
  readonly line: () => string;
}

const below = (limit: number) => Math.floor(Math.random() * limit);
const headless = () => below(SERVICES / 10) * 10;
const ordinary = () => headless() + 1 + below(9);
const type = () => (below(2) === 0 ? 'A' : 'AAAA');
/** What a pod's resolver asks for a name outside, before it asks for the name itself. */
const SEARCHES = [ZONE, 'svc.cluster.local', 'cluster.local'];

export const MIXES: readonly Mix[] = [
  { label: 'ClusterIP A', line: () => `svc-${ordinary()}.${ZONE} A` },
  { label: 'headless A, 10 addresses', line: () => `svc-${headless()}.${ZONE} A` },
  { label: 'SRV', line: () => `_http._tcp.svc-${ordinary()}.${ZONE} SRV` },
  { label: 'PTR', line: () => `${clusterIP(ordinary()).split('.').toReversed().join('.')}.in-addr.arpa PTR` },
  { label: 'NXDOMAIN of search lists', line: () => `www-${below(OUTSIDE)}.test.${SEARCHES[below(3)]} ${type()}` },
  { label: 'cached forwards', line: () => `www-${below(OUTSIDE)}.test A` },
];
