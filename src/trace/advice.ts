// Room trace: the last line: what to change so that the packet gets there.
import { matchesSelector } from '../objects/select.ts';
import { objectKey, type Pod, type Service } from '../objects/types.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import type { Flow, Side } from '../plan/policy/judge.ts';
import type { PolicyPod } from '../plan/policy/pod.ts';
import { ruleText } from '../plan/policy/rules.ts';
import type { TracedCluster } from './cluster.ts';
import type { Protocol } from './hop.ts';
import type { NodeView } from './node-view.ts';
import type { Flight } from './walker.ts';

/** `add an ingress rule to NetworkPolicy/shop/db that allows pods app=web on 5432/TCP`. */
export function ruleAdvice(engine: PolicyEngine, side: Side, flow: Flow): string {
  if (side.because === 'rule') return `change ${ruleText(side.matches[0].rule)}, which denies it`;
  if (side.because !== 'no rule') return '';
  const [policy] = side.isolatedBy;
  const other = side.direction === 'egress' ? flow.to : flow.from;
  const peer = engine.podAt(other);
  const who = peer ? podWords(peer, side.pod?.namespace) : `ipBlock ${other}/${other.includes(':') ? 128 : 32}`;
  const word = side.direction === 'egress' ? 'an egress rule' : 'an ingress rule';
  const verb = side.direction === 'egress' ? 'allows traffic to' : 'allows';
  return `add ${word} to ${policy?.id} that ${verb} ${who} on ${flow.port}/${flow.protocol}`;
}

/** Labels that tell a pod from others do not help: what a template's hash or a StatefulSet gives to one alone. */
const OF_ONE = [
  'pod-template-hash',
  'controller-revision-hash',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
];

function podWords({ labels, namespace, key }: PolicyPod, from: string | undefined): string {
  const told = Object.entries(labels).filter(([name]) => !OF_ONE.includes(name));
  const where = namespace === from ? '' : ` of namespace ${namespace}`;
  if (told.length === 0) return `pod ${key} (which has no labels to select it by)`;
  return `pods ${told.map(([name, value]) => `${name}=${value}`).join(',')}${where}`;
}

/** A Service's address that nobody answers. */
export function refuseAdvice(
  cluster: TracedCluster,
  protocol: Protocol,
  { dst, port }: Flight,
  view: NodeView,
): string {
  const service = serviceOf(cluster, dst, port, view);
  if (!service) return `no Service has ${dst}: kubectl get services -A lists their addresses`;
  const key = objectKey(service);
  const ports = service.spec.ports ?? [];
  const has = ports.some(
    (each) => (each.port === port || each.nodePort === port) && (each.protocol ?? 'TCP') === protocol,
  );
  if (!has) {
    const known = ports.map(({ name, port: own, protocol = 'TCP' }) => `${own}/${protocol}${name ? ` (${name})` : ''}`);
    return `ask Service/${key} on a port that it has: ${known.join(', ')}`;
  }
  return endpointsAdvice(cluster, service);
}

function serviceOf(cluster: TracedCluster, ip: string, port: number, view: NodeView): Service | undefined {
  if (!view.knows.facts.nodeIPs.includes(ip)) return cluster.serviceAt(ip);
  return cluster.parts.services.find(({ spec }) => spec.ports?.some(({ nodePort }) => nodePort === port));
}

function endpointsAdvice({ parts }: TracedCluster, service: Service): string {
  const key = objectKey(service);
  const { selector } = service.spec;
  if (!selector || Object.keys(selector).length === 0) {
    return `Service/${key} has no selector: make an EndpointSlice with the label kubernetes.io/service-name=${service.metadata.name}`;
  }
  const text = Object.entries(selector).map(([name, value]) => `${name}=${value}`);
  const near = parts.pods.filter(({ metadata }) => metadata.namespace === service.metadata.namespace);
  const selected = near.filter(({ metadata }) => matchesSelector({ matchLabels: selector }, metadata.labels));
  if (selected.length === 0) {
    return `give pods of namespace ${service.metadata.namespace} the labels ${text.join(',')}, or change the selector of Service/${key}: it selects none`;
  }
  const waiting = selected.filter((pod) => !isReady(pod));
  const [first] = waiting;
  if (first) return `get pod ${objectKey(first)} Ready: ${whyNotReady(first)}`;
  const named =
    service.spec.ports?.flatMap(({ targetPort }) => (typeof targetPort === 'string' ? [targetPort] : [])) ?? [];
  if (named.length > 0) return `name a port ${named.join(', ')} in the pods of Service/${key}: targetPort names it`;
  return `look at its EndpointSlices: kubectl -n ${service.metadata.namespace} get endpointslices -l kubernetes.io/service-name=${service.metadata.name}`;
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false;
}

function whyNotReady({ status, spec }: Pod): string {
  const stuck = status?.containerStatuses?.find(({ ready }) => !ready);
  const waiting = stuck?.state?.waiting;
  if (waiting)
    return `container ${stuck.name} waits: ${waiting.reason}${waiting.message ? ` (${waiting.message})` : ''}`;
  const probed = spec.containers.find(({ name }) => name === stuck?.name)?.readinessProbe;
  if (stuck && probed) return `the readiness probe of container ${stuck.name} fails`;
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return ready?.message || ready?.reason || `it is ${status?.phase ?? 'not started'}`;
}

/** A port that nobody listens on. */
export function closedAdvice(pod: Pod | undefined, name: string, port: number): string {
  const declared = (pod?.spec.containers ?? []).flatMap(({ ports }) => ports ?? []);
  const known = declared.map(
    ({ containerPort, protocol = 'TCP', name: own }) => `${containerPort}/${protocol}${own ? ` (${own})` : ''}`,
  );
  if (!pod) return `nothing of the cluster is at ${port} of ${name}: look at the port`;
  const listens = `make a program of ${name} listen on ${port}, on the pod's address and not on 127.0.0.1 alone`;
  return known.length > 0 ? `${listens}; its containers declare ${known.join(', ')}` : listens;
}
