// Room plan: what NetworkPolicies need to know of a pod.
import type { IP } from '../../addr/ip.ts';
import { type ObjectRef, objectKey, type Pod } from '../../objects/types.ts';
import type { PolicyRules, Protocol } from './rules.ts';

export interface PodFacts {
  /** `namespace/name` */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Its own; none for a pod on its node's network, which policies do not see, and for one that has ended. */
  readonly ips: readonly IP[];
  readonly node: string | undefined;
  readonly hostNetwork: boolean;
  /** Absent: `default`. */
  readonly serviceAccount?: string;
  /** `TCP/web` to its number: the first container that has the name. */
  readonly ports: ReadonlyMap<string, number>;
}

/** A pod among policies. */
export interface PolicyPod extends PodFacts {
  /** Those that select it. */
  readonly policies: ReadonlySet<PolicyRules>;
  /** Keys of the peers that it is one of. */
  readonly peers: ReadonlySet<string>;
}

export function podFacts(pod: Pod): PodFacts {
  const { metadata, spec, status } = pod;
  const hostNetwork = spec.hostNetwork ?? false;
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  const known = status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP ? [status.podIP] : []);
  return {
    key: objectKey(pod),
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    labels: metadata.labels ?? {},
    ips: hostNetwork || ended ? [] : known,
    node: spec.nodeName,
    hostNetwork,
    ...(spec.serviceAccountName && { serviceAccount: spec.serviceAccountName }),
    ports: namedPorts(pod),
  };
}

function namedPorts({ spec }: Pod): Map<string, number> {
  const ports = new Map<string, number>();
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...spec.containers, ...sidecars]) {
    for (const { name, protocol, containerPort } of container.ports ?? []) {
      const key = name && namedPort((protocol ?? 'TCP') as Protocol, name);
      if (key && !ports.has(key)) ports.set(key, containerPort);
    }
  }
  return ports;
}

export function accountOf({ serviceAccount }: PodFacts): string {
  return serviceAccount ?? 'default';
}

export function namedPort(protocol: Protocol, name: string): string {
  return `${protocol}/${name}`;
}

export function podRef({ namespace, name }: PodFacts): ObjectRef {
  return { kind: 'Pod', namespace, name };
}

export function sameFacts(a: PodFacts, b: PodFacts): boolean {
  return (
    a.node === b.node &&
    a.hostNetwork === b.hostNetwork &&
    accountOf(a) === accountOf(b) &&
    a.ips.join() === b.ips.join() &&
    sameLabels(a.labels, b.labels) &&
    JSON.stringify([...a.ports]) === JSON.stringify([...b.ports])
  );
}

export function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/**
 * The node's own DNS server stands for the pods that answer DNS elsewhere: policies see it as one of them, at the Service's
 * address. So `allow DNS` and its absence mean here what they mean on other clusters.
 */
export function dnsPod(ips: readonly IP[]): PodFacts {
  return {
    key: 'kube-system/kube-dns',
    namespace: 'kube-system',
    name: 'kube-dns',
    labels: { 'k8s-app': 'kube-dns' },
    ips,
    node: undefined,
    hostNetwork: false,
    ports: new Map([
      ['UDP/dns', 53],
      ['TCP/dns-tcp', 53],
    ]),
  };
}
