// Room trace: what a user calls one end of a flow, found among the objects: a pod, workload, Service, node or address.
import { familyOf, type IP, isIP } from '../addr/ip.ts';
import { objectKey, type Pod, type Service } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { isReady } from './advice.ts';
import type { TracedCluster } from './cluster.ts';
import type { Protocol } from './hop.ts';

export type End =
  | { readonly kind: 'pod'; readonly pod: Pod; readonly ips: readonly IP[] }
  | { readonly kind: 'service'; readonly service: Service; readonly ips: readonly IP[] }
  | { readonly kind: 'node'; readonly node: string; readonly ips: readonly IP[] }
  | { readonly kind: 'address'; readonly ips: readonly IP[] };

const POD_WORDS = ['pod', 'pods', 'po'];
const SERVICE_WORDS = ['svc', 'service', 'services'];
const NODE_WORDS = ['node', 'nodes', 'no'];
const OWNERS: Readonly<Record<string, string>> = {
  deploy: 'Deployment',
  deployment: 'Deployment',
  rs: 'ReplicaSet',
  replicaset: 'ReplicaSet',
  rc: 'ReplicationController',
  sts: 'StatefulSet',
  statefulset: 'StatefulSet',
  ds: 'DaemonSet',
  daemonset: 'DaemonSet',
  job: 'Job',
};

export interface Target {
  /** What stands before the port. */
  readonly name: string;
  /** A number or a name; absent: not said. */
  readonly port?: string;
  readonly protocol: Protocol;
}

/** `shop/web:80/udp`, `[fd00::1]:80`, `10.96.0.1:443`, `svc/web`. Throws a Fault. */
export function parseTarget(text: string): Target {
  const bracketed = /^\[([^\]]+)\](?::([\w-]+)(?:\/(\w+))?)?$/.exec(text);
  const plain = isIP(text) ? ([text, text] as const) : /^([^:]+)(?::([\w-]+)(?:\/(\w+))?)?$/.exec(text);
  const [, name, port, word = 'tcp'] = bracketed ?? plain ?? [];
  const protocol = word.toUpperCase();
  if (name === undefined || !['TCP', 'UDP', 'SCTP'].includes(protocol)) {
    throw new Fault(`"${text}" is not TO[:PORT[/PROTOCOL]]`, {
      mend: 'shop/db:5432, svc/web:http, web.shop:80, 10.0.0.1:53/udp',
      exitCode: 2,
    });
  }
  return { name, protocol: protocol as Protocol, ...(port !== undefined && { port }) };
}

const isKind = (word: string) => [...POD_WORDS, ...SERVICE_WORDS, ...NODE_WORDS, ...Object.keys(OWNERS)].includes(word);

/** `shop/svc/db` and `svc/shop/db` are the same. */
function kindAndPlace([first = '', second = '', third]: readonly string[], namespace: string) {
  if (third === undefined) return { kind: second === '' ? '' : first.toLowerCase(), where: namespace };
  return isKind(first.toLowerCase())
    ? { kind: first.toLowerCase(), where: second }
    : { kind: second.toLowerCase(), where: first };
}

/** Undefined: no object is called so; it may be a DNS name. */
export function findEnd(cluster: TracedCluster, text: string, namespace: string): End | undefined {
  if (isIP(text)) return atAddress(cluster, text);
  const parts = text.split('/');
  const name = parts.at(-1)!;
  const { kind, where } = kindAndPlace(parts, namespace);
  if (POD_WORDS.includes(kind)) return podEnd(cluster, `${where}/${name}`);
  if (SERVICE_WORDS.includes(kind)) return serviceEnd(cluster, `${where}/${name}`);
  if (NODE_WORDS.includes(kind)) return nodeEnd(cluster, name);
  const owner = OWNERS[kind];
  if (owner) return ownedEnd(cluster, owner, where, name);
  const key = parts.length === 1 ? `${namespace}/${name}` : text;
  const [own = '', last = ''] = key.split('/');
  const owned = () =>
    [...new Set(Object.values(OWNERS))].map((each) => ownedEnd(cluster, each, own, last)).find((end) => end);
  return (
    podEnd(cluster, key) ??
    serviceEnd(cluster, key) ??
    owned() ??
    (parts.length === 1 ? nodeEnd(cluster, name) : undefined)
  );
}

/**
 * What a pod means by a word. A bare name of a Service is left to its lookup, as that of a program in the pod would be, unless another
 * namespace than the pod's is said.
 */
export function findTarget(
  cluster: TracedCluster,
  text: string,
  source: End,
  said: string | undefined,
): End | undefined {
  const own = source.kind === 'pod' ? source.pod.metadata.namespace : undefined;
  const namespace = said ?? own ?? 'default';
  const isLookedUp = namespace === own && !text.includes('/') && serviceEnd(cluster, `${namespace}/${text}`);
  return isLookedUp ? undefined : findEnd(cluster, text, namespace);
}

const MOST_NAMED = 3;

/** Where pods and Services of that name are, for whoever forgot to say; empty: nowhere. */
export function elsewhere({ parts }: TracedCluster, name: string): string {
  const word = name.split('/').at(-1);
  const named = (objects: readonly (Pod | Service)[], kind: string) =>
    objects.filter(({ metadata }) => metadata.name === word).map((each) => each.metadata.namespace + kind + word);
  const found = [...named(parts.pods, '/'), ...named(parts.services, '/svc/')].slice(0, MOST_NAMED);
  return found.length === 0 ? '' : `there is ${found.join(', ')}`;
}

function atAddress(cluster: TracedCluster, ip: IP): End {
  const pod = cluster.podAt(ip)?.pod;
  if (pod) return { kind: 'pod', pod, ips: [ip] };
  const node = cluster.nodeAt(ip);
  if (node) return { kind: 'node', node: node.name, ips: [ip] };
  const service = cluster.serviceAt(ip);
  return service ? { kind: 'service', service, ips: [ip] } : { kind: 'address', ips: [ip] };
}

function podEnd({ parts, views }: TracedCluster, key: string): End | undefined {
  const pod = parts.pods.find((each) => objectKey(each) === key);
  if (!pod) return undefined;
  const own = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const ips = pod.spec.hostNetwork ? (views.get(pod.spec.nodeName ?? '')?.knows.facts.nodeIPs ?? own) : own;
  if (ips.length > 0) return { kind: 'pod', pod, ips };
  const why = pod.status?.conditions?.find(({ status }) => status === 'False')?.message;
  throw new Fault(`pod ${key} has no address: it is ${pod.status?.phase ?? 'not started'}${why ? `, ${why}` : ''}`);
}

function serviceEnd({ parts }: TracedCluster, key: string): End | undefined {
  const service = parts.services.find((each) => objectKey(each) === key);
  if (!service) return undefined;
  const { clusterIPs, clusterIP } = service.spec;
  const ips = (clusterIPs ?? (clusterIP ? [clusterIP] : [])).filter((ip) => isIP(ip));
  return { kind: 'service', service, ips };
}

function nodeEnd({ views }: TracedCluster, name: string): End | undefined {
  const view = views.get(name);
  return view && { kind: 'node', node: name, ips: view.knows.facts.nodeIPs };
}

/** The first of its pods that is Ready, else the first. A Deployment's are its ReplicaSets', which have its name and a hash. */
function ownedEnd(cluster: TracedCluster, kind: string, namespace: string, name: string): End | undefined {
  const isOwn = ({ metadata }: Pod) =>
    metadata.namespace === namespace &&
    metadata.ownerReferences?.some((owner) => {
      if (owner.kind === kind) return owner.name === name;
      const replicas = `${name}-${metadata.labels?.['pod-template-hash']}`;
      return kind === 'Deployment' && owner.kind === 'ReplicaSet' && owner.name === replicas;
    });
  const pods = cluster.parts.pods.filter(isOwn);
  const pod = pods.find(isReady) ?? pods[0];
  return pod && podEnd(cluster, objectKey(pod));
}

/** The port's number. Throws a Fault that lists what there is. */
export function portOf(end: End, { name, port, protocol }: Target): number {
  if (port !== undefined && /^\d+$/.test(port)) {
    if (Number(port) > 0 && Number(port) < 65536) return Number(port);
    throw new Fault(`${port} is no port: they go from 1 to 65535`, { exitCode: 2 });
  }
  const known = portsOf(end).filter((each) => each.protocol === protocol);
  const found =
    port === undefined ? (known.length === 1 ? known[0] : undefined) : known.find((each) => each.name === port);
  if (found) return found.port;
  const list = known.map((each) => (each.name ? `${each.port} (${each.name})` : `${each.port}`)).join(', ');
  const what = port === undefined ? `which port of ${name}?` : `${name} has no port "${port}" of ${protocol}`;
  throw new Fault(what, {
    mend: list === '' ? `${name}:80` : `it has ${list}: ${name}:${known[0]!.port}`,
    exitCode: 2,
  });
}

function portsOf(end: End): { name?: string; port: number; protocol: string }[] {
  const plain = (name: string | undefined, port: number, protocol = 'TCP') => ({
    port,
    protocol,
    ...(name && { name }),
  });
  if (end.kind === 'service')
    return (end.service.spec.ports ?? []).map(({ name, port, protocol }) => plain(name, port, protocol));
  if (end.kind !== 'pod') return [];
  const ports = end.pod.spec.containers.flatMap((container) => container.ports ?? []);
  return ports.map(({ name, containerPort, protocol }) => plain(name, containerPort, protocol));
}

/** Addresses of both ends of one family, the first that both have. */
export function commonFamily(from: readonly IP[], to: readonly IP[]): { src: IP; dst: IP } | undefined {
  for (const dst of to) {
    const src = from.find((ip) => familyOf(ip) === familyOf(dst));
    if (src !== undefined) return { src, dst };
  }
  return undefined;
}

export function endName(end: End): string {
  switch (end.kind) {
    case 'pod':
      return objectKey(end.pod);
    case 'service':
      return `Service/${objectKey(end.service)}`;
    case 'node':
      return end.node;
    case 'address':
      return end.ips[0] ?? '';
  }
}
