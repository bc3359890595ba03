// Room cli: the cluster that manifests would make, for `podwire trace -f`: every workload one pod, all on one node, Ready; nothing of a kernel.
import { portGroups } from '../controllers/endpoints/endpoint.ts';
import { candidates } from '../dns/resolv-conf.ts';
import { matchesSelector } from '../objects/select.ts';
import { type DraftObject, type EndpointSlice, objectKey, type Pod, type Service } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { TracedCluster } from '../trace/cluster.ts';
import { type End, endName, findEnd } from '../trace/ends.ts';
import type { Hop } from '../trace/hop.ts';
import type { NodeKnows } from '../trace/node-view.ts';
import { ofObjects, policyObjects } from './policy-source.ts';

const NODE = 'manifests';
/** Where pods of manifests without a status have their addresses. */
const POD_CIDRS = ['240.0.0.0/8'];
const SERVICE_CIDRS = ['10.96.0.0/16'];
const DOMAIN = 'cluster.local';

export async function manifestCluster(filename: string): Promise<TracedCluster> {
  const { objects, dns } = await policyObjects({ name: NODE, filename });
  const { engine, pods } = ofObjects(objects, dns);
  const running = pods.map((pod) => runningPod(pod, ownerOf(pod, objects)));
  const services = objects
    .filter(({ kind }) => kind === 'Service')
    .map((service, i) => withAddress(service as unknown as Service, i));
  return new TracedCluster({
    nodes: [],
    pods: running,
    services,
    slices: services.flatMap((service) => slicesOf(service, running)),
    engine,
    knows: [knownBy(dns)],
    proxyMode: 'nftables',
    placeOf: (pod) => ({ sandboxId: objectKey(pod), netns: '' }),
  });
}

function knownBy(dnsIPs: readonly string[]): NodeKnows {
  const own = { nodeName: NODE, nodeIPs: ['240.255.0.1'] };
  const cidrs = { ownPodCIDRs: POD_CIDRS, podCIDRs: POD_CIDRS, serviceCIDRs: SERVICE_CIDRS, dnsIPs };
  const overlay = {
    ...own,
    nodeLink: 'eth0',
    mtu: 1500,
    nodeCIDRs: [],
    segmentCIDRs: [],
    routers: [],
    overlay: { backend: 'none', directRouting: false },
    vxlan: { vni: 1, port: 8472 },
  } as const;
  return { facts: { ...own, ...cidrs }, overlay, remotes: [], claims: [] };
}

/** The workload that the pod stands for. */
function ownerOf(pod: Pod, objects: readonly DraftObject[]): DraftObject | undefined {
  return objects.find(
    ({ kind, metadata, spec }) =>
      kind !== 'Pod' &&
      (spec as { template?: unknown } | undefined)?.template !== undefined &&
      objectKey(pod) === `${metadata.namespace ?? 'default'}/${metadata.name}`,
  );
}

function runningPod(pod: Pod, owner: DraftObject | undefined): Pod {
  const ownerReferences = owner && [{ kind: owner.kind, name: owner.metadata.name! }];
  const conditions = [{ type: 'Ready', status: 'True' }];
  const metadata = { ...pod.metadata, uid: objectKey(pod), ...(ownerReferences && { ownerReferences }) };
  const status = { ...pod.status, phase: 'Running', conditions } as Pod['status'];
  return { ...pod, metadata, spec: { ...pod.spec, nodeName: NODE }, status } as Pod;
}

function withAddress(service: Service, i: number): Service {
  const { metadata, spec } = service;
  const known = spec.clusterIPs?.[0] ?? spec.clusterIP;
  const ip = known ?? (spec.type === 'ExternalName' ? undefined : `10.96.${1 + (i >> 8)}.${i & 255}`);
  return {
    ...service,
    metadata: { ...metadata, namespace: metadata.namespace ?? 'default' },
    spec: { ...spec, ...(ip !== undefined && { clusterIP: ip, clusterIPs: [ip] }) },
  };
}

function slicesOf(service: Service, pods: readonly Pod[]): EndpointSlice[] {
  const { name, namespace } = service.metadata;
  const { selector } = service.spec;
  if (!selector || Object.keys(selector).length === 0) return [];
  const selected = pods.filter(
    ({ metadata }) => metadata.namespace === namespace && matchesSelector({ matchLabels: selector }, metadata.labels),
  );
  return portGroups(service, selected, () => undefined).map((group, i) => {
    const metadata = { name: `${name}-${i}`, namespace, labels: { 'kubernetes.io/service-name': name } };
    return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, ...group } as unknown as EndpointSlice;
  });
}

/** As a pod's search list would lead to a Service. Throws a Fault where it leads to none. */
export function lookUpOffline(
  cluster: TracedCluster,
  source: End,
  name: string,
  namespace: string,
): { end: End; hops: Hop[] } {
  const searches = [`${namespace}.svc.${DOMAIN}`, `svc.${DOMAIN}`, DOMAIN];
  const names = candidates(name, { searches, ndots: 5 });
  for (const [i, full] of names.entries()) {
    const [, service, of] = /^([^.]+)\.([^.]+)\.svc\.cluster\.local$/.exec(full) ?? [];
    const end = service && of ? findEnd(cluster, `${of}/svc/${service}`, of) : undefined;
    if (!end) continue;
    const says = `${name} is ${end.ips.join(', ') || 'the endpoints'} of ${endName(end)}: ${full}, name ${i + 1} of ${names.length}`;
    return { end, hops: [{ stage: 'name', ok: true, says, by: [endName(end)] }] };
  }
  const mend = `tried ${names.join(', ')}; names outside the cluster are not in manifests`;
  throw new Fault(`there is no "${name}" for ${endName(source)}`, { mend, exitCode: 3 });
}
