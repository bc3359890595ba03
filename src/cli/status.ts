// Room cli: `podwire status`.
import { askControl } from '../cluster/control.ts';
import { knownCluster, nameFlag, takesUp } from '../cluster/known.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { runningDaemon } from '../cluster/pidfile.ts';
import { findProgram } from '../cluster/programs.ts';
import { requireRoot, sudoUser } from '../cluster/root.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import { Fault } from '../observe/fault.ts';
import { installed } from '../observe/install.ts';
import { formatTable } from './table.ts';

interface StatusFlags {
  readonly name: string;
  readonly output: string;
  readonly nextSteps?: boolean;
}

/** Exit code 0: up and every node Ready; 1: not there; 3: there, but not healthy. */
export async function runStatus(flags: StatusFlags): Promise<void> {
  const status = await readStatus(flags.name);
  if (flags.output === 'json') console.log(JSON.stringify(status, undefined, 2));
  else console.log(render(status));
  if (flags.nextSteps) console.log(nextSteps(status));
  if (![...status.nodes.map((node) => node.ready), ...status.parts.map((part) => part.healthy)].every(Boolean)) {
    process.exitCode = 3;
  }
}

/** Throws a Fault when there is no cluster, or no daemon of it. */
export async function readStatus(name: string): Promise<ClusterStatus> {
  const paths = clusterPaths(knownCluster(name));
  requireRoot();
  const status = await askControl<ClusterStatus>(paths.control);
  if (status) return status;
  const what = runningDaemon(name) ? 'does not answer' : 'is not running; its pods go on';
  throw new Fault(`the daemon of cluster ${name} ${what}`, { mend: takesUp(name), exitCode: 3 });
}

function render(status: ClusterStatus): string {
  const { versions } = status;
  const nodes = status.nodes.map((node) => [
    node.name,
    node.ready ? 'Ready' : 'NotReady',
    node.ips.join(','),
    node.podCIDRs.join(','),
  ]);
  const pods = status.pods.map((pod) => [
    `${pod.namespace}/${pod.name}`,
    pod.phase,
    pod.ready ? 'yes' : 'no',
    pod.ip || '-',
    pod.node || '-',
  ]);
  const parts = status.parts.map(({ part, healthy, detail }) => [part, healthy ? 'yes' : 'no', detail]);
  const services = status.services.map((each) => [
    `${each.namespace}/${each.name}`,
    each.type,
    each.clusterIP,
    each.ports.join(','),
  ]);
  return [
    `Cluster ${status.name}: podwire ${versions.podwire}, Kubernetes ${versions.kubernetes}, Node ${versions.node}, Linux ${versions.kernel}, ${status.memoryMiB} MiB`,
    formatTable([['PART', 'HEALTHY', 'DETAIL'], ...parts]),
    formatTable([['NODE', 'STATUS', 'ADDRESS', 'PODS'], ...nodes]),
    formatTable([['POD', 'PHASE', 'READY', 'ADDRESS', 'NODE'], ...pods]),
    formatTable([['SERVICE', 'TYPE', 'ADDRESS', 'PORTS'], ...services]),
  ].join('\n\n');
}

export function nextSteps(status: ClusterStatus): string {
  const nodePort = status.services.flatMap((each) => each.ports).find((port) => port.includes(':'));
  const port = nodePort?.split(':')[1]?.split('/')[0];
  const ip = status.nodes[0]?.ips[0] ?? '';
  const table = ip.includes(':') ? 'ip6' : 'ip';
  const client = status.pods.find((pod) => pod.name === 'client');
  return [
    '',
    `Kubeconfig: ${status.kubeconfig}`,
    'Try next:',
    `  export KUBECONFIG=${status.kubeconfig}`,
    '  kubectl get nodes,pods,svc -A -o wide',
    ...(client ? [`  kubectl -n ${client.namespace} exec client -- curl -s http://web.demo/hostname`] : []),
    ...(port ? [`  curl http://${authority(ip, port)}/hostname`] : []),
    `  ${commandName()} node exec${nameFlag(status.name)} ${status.nodes[0]?.name} -- nft list map ${table} podwire services`,
    ...(findProgram('kubectl') ? [] : ['kubectl is not installed here; any from 1.32 on will do.']),
  ].join('\n');
}

function authority(ip: string, port: string): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** What to type: the plain name where a shell finds it, else the path of our own. */
function commandName(): string {
  const plain = findProgram('podwire') ? 'podwire' : installed('bin', 'podwire');
  return sudoUser() ? `sudo ${plain}` : plain;
}
