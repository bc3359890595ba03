// May a flow pass? Written straight from the texts of the APIs, sentence by sentence, with no thought of speed: the judge of the
// engine, of the kernel's rules and of `trace`. NetworkPolicy stands here, the other kinds and their order in reference-tiers.ts.
import type { V1LabelSelector, V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import type { CalicoTier, Json, Namespace, NetworkPolicy, Node, Pod, ServiceAccount } from '../../src/objects/types.ts';
import type { AnyPolicy } from '../../src/plan/policy/read-policy.ts';
import { tiersAllow } from './reference-tiers.ts';

export interface World {
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
  readonly nodes: readonly Node[];
  readonly policies: readonly AnyPolicy[];
  readonly tiers: readonly CalicoTier[];
  readonly accounts: readonly ServiceAccount[];
}

export interface ReferenceFlow {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number;
}

/** `staged`: as if the policies in dry run were in force. */
export function allowedByReference(world: World, flow: ReferenceFlow, staged = false): boolean {
  const policies = world.policies.filter(
    ({ metadata }) => staged || metadata.annotations?.['podwire.io/mode'] !== 'staged',
  );
  const inForce = { ...world, policies };
  return sideAllows(inForce, flow, 'Egress') && sideAllows(inForce, flow, 'Ingress');
}

export function sideAllows(world: World, flow: ReferenceFlow, type: 'Ingress' | 'Egress'): boolean {
  const ownIP = type === 'Ingress' ? flow.to : flow.from;
  const peerIP = type === 'Ingress' ? flow.from : flow.to;
  const own = podWith(world, ownIP);
  // "By default, a pod is non-isolated": also whatever is no pod with an address of its own.
  if (!own) return true;
  const peer = podWith(world, peerIP);
  // "A pod cannot block access to itself".
  if (peer === own) return true;
  // "Traffic to and from the node where a Pod is running is always allowed, regardless of the IP address of the Pod or the node".
  const node = world.nodes.find(({ metadata }) => metadata.name === own.spec.nodeName);
  if (node?.status?.addresses?.some(({ address }) => address === peerIP)) return true;
  return tiersAllow({ world, flow, type, own, peer, peerIP });
}

/** "A pod is isolated for ingress if there is any NetworkPolicy that both selects the pod and has "Ingress" in its policyTypes". */
export function isolates(policy: NetworkPolicy, own: Pod, type: 'Ingress' | 'Egress'): boolean {
  return selects(policy, own) && typesOf(policy).includes(type);
}

/** "The effects of those ingress lists combine additively": whether one of the policy's own allows the flow. */
export function networkPolicyAllows(
  policy: NetworkPolicy,
  {
    world,
    flow,
    type,
    own,
    peer,
    peerIP,
  }: { world: World; flow: ReferenceFlow; type: string; own: Pod; peer: Pod | undefined; peerIP: string },
): boolean {
  const rules = type === 'Ingress' ? (policy.spec!.ingress ?? []) : (policy.spec!.egress ?? []);
  return rules.some((rule) => {
    const peers = ('from' in rule ? rule.from : 'to' in rule ? rule.to : []) ?? [];
    const ports = rule.ports ?? [];
    // "If this field is empty or missing, this rule matches all sources" and "all ports".
    const matchesPeer = peers.length === 0 || peers.some((each) => isPeer(world, policy, each, peerIP, peer));
    const server = type === 'Ingress' ? own : peer;
    return matchesPeer && (ports.length === 0 || ports.some((each) => isPort(each, server, flow)));
  });
}

/** "hostNetwork pods": as far as policies go they are their node. */
export function podWith({ pods }: World, ip: string): Pod | undefined {
  return pods.find(
    ({ spec, status }) =>
      !spec.hostNetwork &&
      status?.phase !== 'Succeeded' &&
      status?.phase !== 'Failed' &&
      status?.podIPs?.some((each) => each.ip === ip),
  );
}

function selects({ metadata, spec }: NetworkPolicy, pod: Pod): boolean {
  return metadata.namespace === pod.metadata.namespace && matches(spec!.podSelector ?? {}, pod.metadata.labels ?? {});
}

/** "If this field is not specified, it will default based on the existence of ingress or egress rules". */
function typesOf({ spec }: NetworkPolicy): string[] {
  if (spec!.policyTypes && spec!.policyTypes.length > 0) return spec!.policyTypes;
  return (spec!.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

export function matches(selector: Json<V1LabelSelector>, labels: Record<string, string>): boolean {
  const pairs = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    pairs &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'In') return value !== undefined && values.includes(value);
      if (operator === 'NotIn') return value === undefined || !values.includes(value);
      return operator === 'Exists' ? value !== undefined : value === undefined;
    })
  );
}

function isPeer(
  world: World,
  policy: NetworkPolicy,
  { ipBlock, namespaceSelector, podSelector }: Json<V1NetworkPolicyPeer>,
  ip: string,
  pod: Pod | undefined,
): boolean {
  if (ipBlock) return within(ipBlock.cidr, ip) && !(ipBlock.except ?? []).some((cidr) => within(cidr, ip));
  if (!pod) return false;
  const labels = world.namespaces.find(({ metadata }) => metadata.name === pod.metadata.namespace)?.metadata.labels;
  const inNamespace = namespaceSelector
    ? matches(namespaceSelector, labels ?? {})
    : pod.metadata.namespace === policy.metadata.namespace;
  return inNamespace && matches(podSelector ?? {}, pod.metadata.labels ?? {});
}

function isPort({ protocol, port, endPort }: Json<V1NetworkPolicyPort>, server: Pod | undefined, flow: ReferenceFlow) {
  if ((protocol ?? 'TCP') !== flow.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === 'number') return flow.port >= port && flow.port <= (endPort ?? port);
  const named = server?.spec.containers
    .flatMap(({ ports }) => ports ?? [])
    .find((each) => each.name === port && (each.protocol ?? 'TCP') === flow.protocol);
  return named?.containerPort === flow.port;
}

function bits(ip: string): string {
  if (!ip.includes(':'))
    return ip
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('');
  const [head = '', tail] = ip.split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array<string>(8 - groups(head).length - right.length).fill('0');
  const all = [...groups(head), ...zeros, ...right];
  return all.map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0')).join('');
}

export function within(cidr: string, ip: string): boolean {
  const [network = '', length] = cidr.split('/');
  if (network.includes(':') !== ip.includes(':')) return false;
  return bits(network).slice(0, Number(length)) === bits(ip).slice(0, Number(length));
}
