// Room plan: who is meant by a word: a pod, a workload's pods, a whole namespace, a Service, a node, an address, or a name for DNS.
import { type IP, isIP } from '../../addr/ip.ts';
import { matchesSelector } from '../../objects/select.ts';
import { type DraftObject, objectKey, type Pod, type Service } from '../../objects/types.ts';
import type { PolicyEngine } from './engine.ts';
import type { ExpectedPort } from './expectations.ts';
import { namedPort, type PolicyPod } from './pod.ts';

export type End =
  | { readonly kind: 'pods'; readonly pods: readonly PolicyPod[] }
  | { readonly kind: 'service'; readonly service: Service }
  | { readonly kind: 'node'; readonly name: string; readonly ips: readonly IP[] }
  | { readonly kind: 'address'; readonly ip: IP }
  | { readonly kind: 'name'; readonly name: string };

/** Services, and which pods are whose. */
export interface Directory {
  readonly services: ReadonlyMap<string, Service>;
  /** `deployment/shop/web` to keys of pods. */
  readonly workloads: ReadonlyMap<string, readonly string[]>;
}

const KINDS: Readonly<Record<string, string>> = {
  deploy: 'deployment',
  sts: 'statefulset',
  ds: 'daemonset',
  rs: 'replicaset',
  rc: 'replicationcontroller',
};

const WORDS = new Set([...Object.entries(KINDS).flat(), 'job', 'svc', 'service', 'pod', 'pods']);

export function directoryOf(objects: readonly DraftObject[]): Directory {
  const services = new Map<string, Service>();
  const workloads = new Map<string, string[]>();
  for (const object of objects) {
    const named = { ...object, metadata: { namespace: 'default', ...object.metadata } };
    if (object.kind === 'Service') services.set(objectKey(named), named as unknown as Service);
    const owner = workloadOf(named as unknown as Pod, object.kind);
    if (owner !== undefined) workloads.set(owner, [...(workloads.get(owner) ?? []), objectKey(named)]);
  }
  return { services, workloads };
}

/** A manifest's workload stands for one pod of its own name. */
function workloadOf({ metadata }: Pod, kind: string): string | undefined {
  if (kind === 'Service' || kind === 'Namespace' || kind === 'Node') return undefined;
  if (kind !== 'Pod') return `${kind.toLowerCase()}/${metadata.namespace}/${metadata.name}`;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (!owner) return undefined;
  const hash = metadata.labels?.['pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return `deployment/${metadata.namespace}/${owner.name.slice(0, -hash.length - 1)}`;
  }
  return `${owner.kind.toLowerCase()}/${metadata.namespace}/${owner.name}`;
}

/**
 * `shop/web`: the pod, else the pods of a workload of that name, else the Service; `shop/*`: all pods of the namespace; `svc/shop/web` or
 * `shop/svc/web`, `deployment/shop/web`, `node/node-1`; an address; and whatever has dots: a name for DNS. Undefined: there is none.
 */
export function endOf(text: string, engine: PolicyEngine, directory: Directory): End | undefined {
  if (isIP(text)) return { kind: 'address', ip: text };
  const words = text.split('/');
  const [first = '', second = '', third] = words;
  if (words.length === 1) return text.includes('.') ? { kind: 'name', name: text } : undefined;
  if (words.length === 3) {
    const isFirst = WORDS.has(first.toLowerCase()) || !WORDS.has(second.toLowerCase());
    const [kind, namespace] = isFirst ? [first, second] : [second, first];
    return kindEnd(kind.toLowerCase(), `${namespace}/${third}`, engine, directory);
  }
  if (first === 'node') return nodeEnd(second, engine);
  if (second === '*') return podsEnd([...engine.pods.values()].filter(({ namespace }) => namespace === first));
  const pod = engine.pods.get(text);
  if (pod) return { kind: 'pods', pods: [pod] };
  const keys = [...directory.workloads].filter(([key]) => key.endsWith(`/${text}`)).flatMap(([, pods]) => pods);
  return podsEnd(podsOf(keys, engine)) ?? serviceEnd(text, directory);
}

function kindEnd(word: string, key: string, engine: PolicyEngine, directory: Directory): End | undefined {
  if (word === 'svc' || word === 'service') return serviceEnd(key, directory);
  if (word === 'pod' || word === 'pods') return podsEnd(podsOf([key], engine));
  return podsEnd(podsOf(directory.workloads.get(`${KINDS[word] ?? word}/${key}`) ?? [], engine));
}

function podsOf(keys: readonly string[], engine: PolicyEngine): PolicyPod[] {
  return keys.flatMap((key) => engine.pods.get(key) ?? []);
}

function podsEnd(pods: readonly PolicyPod[]): End | undefined {
  return pods.length > 0 ? { kind: 'pods', pods } : undefined;
}

function serviceEnd(key: string, { services }: Directory): End | undefined {
  const service = services.get(key);
  return service && { kind: 'service', service };
}

function nodeEnd(name: string, engine: PolicyEngine): End | undefined {
  const ips = engine.nodeIPs(name);
  return ips.length > 0 ? { kind: 'node', name, ips } : undefined;
}

/** `web`, `web.shop`, `web.shop.svc` and so on, as a pod of the namespace would say it. */
export function serviceNamed(name: string, namespace: string, { services }: Directory): Service | undefined {
  const [first, second = namespace, third = 'svc'] = name.replace(/\.$/, '').split('.');
  return third === 'svc' ? services.get(`${second}/${first}`) : undefined;
}

/** Addresses of a pod as the network sees them. */
export function addressesOf(pod: PolicyPod, engine: PolicyEngine): readonly IP[] {
  return pod.hostNetwork ? engine.nodeIPs(pod.node) : pod.ips;
}

/** The number that a pod has for the port; undefined: it has no such name. */
export function portOfPod({ protocol, port }: ExpectedPort, pod: PolicyPod | undefined): number | undefined {
  return typeof port === 'number' ? port : pod?.ports.get(namedPort(protocol, port));
}

export interface Backend {
  readonly pod: PolicyPod;
  readonly port: number;
}

export type ServicePort = NonNullable<Service['spec']['ports']>[number];

export function servicePort(service: Service, { protocol, port }: ExpectedPort): ServicePort | undefined {
  return service.spec.ports?.find(
    (each) => (each.protocol ?? 'TCP') === protocol && (each.port === port || each.name === port),
  );
}

/** Pods that the Service's selector means, with the port at which each is spoken to. */
export function backendsOf(service: Service, port: ServicePort, engine: PolicyEngine): Backend[] {
  const { selector } = service.spec;
  if (!selector) return [];
  const { namespace = 'default' } = service.metadata;
  const pods = [...engine.pods.values()].filter(
    (pod) => pod.namespace === namespace && matchesSelector({ matchLabels: selector }, pod.labels),
  );
  return pods.flatMap((pod) => {
    const target = {
      protocol: (port.protocol ?? 'TCP') as ExpectedPort['protocol'],
      port: port.targetPort ?? port.port,
    };
    const number = portOfPod(target, pod);
    return number === undefined ? [] : [{ pod, port: number }];
  });
}
