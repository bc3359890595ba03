// Room cluster: what `podwire status` shows: nodes, pods, Services, the health of each part, versions.
import { readFileSync } from 'node:fs';
import type { AgentReport } from '../node/start.ts';
import type { Node, Pod, Service } from '../objects/types.ts';
import { podwireVersion } from '../observe/install.ts';
import type { Box, Timings } from './box.ts';
import type { ClusterConfig } from './config.ts';
import { datapathText, proxyModeText, settleProxyMode } from './datapath.ts';
import { clusterPaths } from './paths.ts';

export interface ClusterStatus {
  readonly name: string;
  readonly state: 'up' | 'stopped';
  readonly kubeconfig: string;
  readonly log: string;
  readonly config: ClusterConfig;
  readonly versions: {
    readonly podwire: string;
    readonly kubernetes: string;
    readonly node: string;
    readonly kernel: string;
  };
  readonly startedIn: Timings;
  readonly memoryMiB: number;
  readonly parts: readonly PartStatus[];
  readonly nodes: readonly NodeStatus[];
  readonly pods: readonly PodStatus[];
  readonly services: readonly ServiceStatus[];
}

/** Health of one part: the API server, or one of a node's. */
export interface PartStatus {
  readonly part: string;
  readonly healthy: boolean;
  readonly detail: string;
}

export interface NodeStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly ips: readonly string[];
  readonly podCIDRs: readonly string[];
  /** What the agent tells of itself; absent when it does not answer. */
  readonly agent?: AgentReport;
}

export interface PodStatus {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ip: string;
  readonly phase: string;
  readonly ready: boolean;
}

export interface ServiceStatus {
  readonly namespace: string;
  readonly name: string;
  readonly type: string;
  readonly clusterIP: string;
  readonly ports: readonly string[];
}

export async function boxStatus(box: Box): Promise<ClusterStatus> {
  const [reports, nodes, pods, services, version] = await Promise.all([
    agentReports(box),
    box.client.list('Node'),
    box.client.list('Pod'),
    box.client.list('Service'),
    box.client.transport.request({ method: 'GET', path: '/version' }),
  ]);
  const paths = clusterPaths(box.config.name);
  return {
    name: box.config.name,
    state: 'up',
    kubeconfig: paths.kubeconfig,
    log: paths.log,
    config: box.config,
    versions: {
      podwire: podwireVersion(),
      kubernetes: (version.body as { gitVersion: string }).gitVersion,
      node: process.version,
      kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    },
    startedIn: box.timings,
    memoryMiB: Math.round(process.memoryUsage.rss() / 2 ** 20),
    parts: [
      { part: 'API server', healthy: true, detail: `https://127.0.0.1:${box.api.port}` },
      { part: 'datapath', healthy: true, detail: datapathText(box.config) },
      { part: 'proxy', healthy: true, detail: proxyModeText(settleProxyMode(box.config)) },
      ...box.nodes.map(({ layout }) => agentPart(layout.name, reports.get(layout.name), box.live.absence(layout.name))),
      ...box.nodes.map(({ layout }) => dnsPart(layout.name, reports.get(layout.name))),
    ],
    nodes: nodes.items.map((node) => nodeStatus(node, reports.get(node.metadata.name))),
    pods: pods.items.map(podStatus),
    services: services.items.map(serviceStatus),
  };
}

async function agentReports(box: Box): Promise<Map<string, AgentReport | undefined>> {
  return new Map(await Promise.all(box.nodes.map(async (node) => [node.layout.name, await node.report()] as const)));
}

function agentPart(node: string, report: AgentReport | undefined, absence: string | undefined): PartStatus {
  const part = `${node} agent`;
  if (!report) return { part, healthy: false, detail: absence ?? 'does not answer' };
  const { sandboxes, runningContainers, planned } = report;
  const counts = [
    counted(sandboxes, 'pod'),
    counted(runningContainers, 'container'),
    counted(planned, 'plan fragment'),
  ].join(', ');
  return { part, healthy: absence === undefined, detail: absence === undefined ? counts : `${counts}; ${absence}` };
}

function counted(count: number, what: string, many = `${what}s`): string {
  return `${count} ${count === 1 ? what : many}`;
}

function dnsPart(node: string, report: AgentReport | undefined): PartStatus {
  const part = `${node} DNS`;
  if (!report) return { part, healthy: false, detail: 'unknown' };
  const { synced, queries, upstreams } = report.dns;
  const alive = upstreams.filter((each) => each.healthy).length;
  const looping = upstreams.filter((each) => each.looping).map(({ address }) => `; ${address} leads back here`);
  const asked = counted(queries.udp + queries.tcp, 'query', 'queries');
  const detail = `${asked}, ${alive} of ${upstreams.length} upstream resolvers answer${looping.join('')}`;
  return { part, healthy: synced, detail: synced ? detail : 'not synced' };
}

function nodeStatus(node: Node, agent: AgentReport | undefined): NodeStatus {
  return {
    name: node.metadata.name,
    ready: isReady(node.status?.conditions),
    ips: (node.status?.addresses ?? []).filter((each) => each.type === 'InternalIP').map((each) => each.address),
    podCIDRs: node.spec?.podCIDRs ?? [],
    ...(agent && { agent }),
  };
}

function isReady(conditions: readonly { type: string; status: string }[] | undefined): boolean {
  return conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false;
}

function podStatus(pod: Pod): PodStatus {
  return {
    namespace: pod.metadata.namespace!,
    name: pod.metadata.name,
    node: pod.spec.nodeName ?? '',
    ip: pod.status?.podIP ?? '',
    phase: pod.status?.phase ?? 'Pending',
    ready: isReady(pod.status?.conditions),
  };
}

function serviceStatus(service: Service): ServiceStatus {
  return {
    namespace: service.metadata.namespace!,
    name: service.metadata.name,
    type: service.spec.type ?? 'ClusterIP',
    clusterIP: service.spec.clusterIP ?? '',
    ports: (service.spec.ports ?? []).map(
      (port) => `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol}`,
    ),
  };
}
