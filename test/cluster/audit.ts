// Compares what the API says of pods with what is on the machine: files, processes, namespaces, links, routes, mounts, leases.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '../../src/client/client.ts';
import { leasesAt } from '../../src/ipam/leases.ts';
import type { Pod } from '../../src/objects/types.ts';
import { type Machine, processesOf, until } from './machine.ts';

/** Each difference as a sentence; empty when the machine has what the API says, and nothing else. */
export async function audit(machine: Machine, client: Client): Promise<string[]> {
  const [{ items: pods }, { items: nodes }] = await Promise.all([client.list('Pod'), client.list('Node')]);
  const found = nodes.map(({ metadata: { name } }) => {
    const own = pods.filter((pod) => pod.spec.nodeName === name);
    return [...auditFiles(machine, name, own), ...auditProcesses(machine, name, own)];
  });
  const links = nodes.map(({ metadata: { name } }) => auditLinks(machine, name, pods, nodes.length - 1));
  return [...found.flat(), ...(await Promise.all(links)).flat(), ...auditNamespaces(machine, pods), ...unsettled(pods)];
}

function unsettled(pods: readonly Pod[]): string[] {
  const addresses = pods.flatMap((pod) => (pod.spec.hostNetwork ? [] : (pod.status?.podIPs ?? []))).map(({ ip }) => ip);
  const twice = addresses.filter((ip, i) => addresses.indexOf(ip) !== i);
  const waiting = pods.filter(
    (pod) => !pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'),
  );
  return [...twice.map((ip) => `${ip} was given twice`), ...waiting.map((pod) => `${pod.metadata.name} is not Ready`)];
}

function auditFiles(machine: Machine, node: string, pods: readonly Pod[]): string[] {
  const at = (...path: string[]) => join(nodeDir(machine, node), ...path);
  const uids = pods.map((pod) => pod.metadata.uid);
  const sandboxes = uids.map((uid) => `${uid}-0`);
  const containers = pods.flatMap((pod) => [...containerIds(pod), ...endedIds(pod)]);
  const leases = pods.filter((pod) => !pod.spec.hostNetwork);
  const leased = leasesAt(at('leases.jsonl'));
  return [
    ...differ(`${node} sandboxes`, list(at('runtime/sandboxes')), sandboxes),
    ...differ(`${node} containers`, list(at('runtime/containers')), containers),
    ...differ(`${node} state of the OCI runtime`, list(at('runtime/oci')), containers),
    ...differ(`${node} folders of pods`, list(at('pod-data')), uids),
    ...differ(
      `${node} logs`,
      list(at('pods')).map((name) => name.slice(name.lastIndexOf('_') + 1)),
      uids,
    ),
    ...differ(
      `${node} leases`,
      leased.map(({ sandboxId, ips }) => `${sandboxId} ${ips}`),
      leases.map((pod) => `${pod.metadata.uid}-0 ${(pod.status?.podIPs ?? []).map(({ ip }) => ip)}`),
    ),
  ];
}

/** Each running container has a conmon, and in the node's mount namespace an overlay; nobody else has. */
function auditProcesses(machine: Machine, node: string, pods: readonly Pod[]): string[] {
  const dir = join(nodeDir(machine, node), 'runtime/containers');
  const conmons = processesOf(machine).filter(
    ({ command }) => command.includes(`--bundle ${dir}/`) && / --cid /.test(command),
  );
  const held = conmons.map(({ command }) => command.slice(command.indexOf(`${dir}/`) + dir.length + 1).split(' ')[0]!);
  const mounts = conmons[0] ? readFileSync(`/proc/${conmons[0].pid}/mountinfo`, 'utf8').split('\n') : [];
  const overlays = mounts
    .filter((line) => line.includes(' - overlay '))
    .map((line) => line.split(' ')[4]!)
    .filter((path) => path.startsWith(`${dir}/`))
    .map((path) => path.slice(dir.length + 1).split('/')[0]!);
  const containers = pods.flatMap(containerIds);
  return [...differ(`${node} conmons`, held, containers), ...differ(`${node} overlays`, overlays, containers)];
}

/** Of a cluster of one rack, over VXLAN: `others` is how many other nodes there are. */
async function auditLinks(machine: Machine, node: string, pods: readonly Pod[], others: number): Promise<string[]> {
  const own = pods.filter((pod) => pod.spec.nodeName === node && !pod.spec.hostNetwork);
  const netns = `pw-${machine.cluster}-${node}`;
  const ip = ['-n', netns, '-j'];
  const [links, routes, permanent, fdb] = await Promise.all([
    machine.must('ip', [...ip, '-d', 'link']),
    machine.must('ip', [...ip, 'route']),
    machine.must('ip', [...ip, 'neigh', 'show', 'nud', 'permanent']),
    machine.must('bridge', ['-n', netns, '-j', 'fdb', 'show', 'dev', 'pw-vxlan']),
  ]);
  const veths = (JSON.parse(links) as { ifname: string; linkinfo?: { info_kind?: string } }[])
    .filter(({ ifname, linkinfo }) => linkinfo?.info_kind === 'veth' && ifname !== 'eth0')
    .map(({ ifname }) => ifname);
  const toPods = (JSON.parse(routes) as { dst: string; dev?: string }[]).filter(({ dev }) => veths.includes(dev ?? ''));
  const ips = own.map((pod) => pod.status?.podIP ?? '');
  const neighbours = JSON.parse(permanent) as { dst: string; dev: string }[];
  const forwarded = (JSON.parse(fdb) as { dst?: string }[]).filter(({ dst }) => dst !== undefined).length;
  const overVxlan = neighbours.filter(({ dev }) => dev === 'pw-vxlan').length;
  // The other nodes and the router.
  const onFabric = neighbours.filter(({ dev }) => dev === 'eth0').length;
  return [
    ...(forwarded === others ? [] : [`${node} has ${forwarded} FDB entries for ${others} other nodes`]),
    ...(overVxlan === others ? [] : [`${node} has ${overVxlan} neighbours over VXLAN for ${others} other nodes`]),
    ...(onFabric === others + 1 ? [] : [`${node} has ${onFabric} neighbours on the fabric for ${others} other nodes`]),
    ...differ(
      `${node} neighbours`,
      neighbours.filter(({ dev }) => dev !== 'pw-vxlan' && dev !== 'eth0').map(({ dst }) => dst),
      ips,
    ),
    ...(veths.length === own.length ? [] : [`${node} has ${veths.length} veths for ${own.length} pods`]),
    ...differ(
      `${node} routes`,
      toPods.map(({ dst }) => dst),
      ips,
    ),
  ];
}

function auditNamespaces(machine: Machine, pods: readonly Pod[]): string[] {
  const prefix = `pw-${machine.cluster}-`;
  const pinned = readdirSync('/run/netns').filter(
    (name) => name.startsWith(prefix) && /^[0-9a-f]{10}$/.test(name.slice(prefix.length)),
  );
  const own = pods.filter((pod) => !pod.spec.hostNetwork && pod.spec.nodeName);
  return pinned.length === own.length ? [] : [`${pinned.length} network namespaces for ${own.length} pods`];
}

/** Of the containers that run. */
export function containerIds(pod: Pod): string[] {
  return (pod.status?.containerStatuses ?? []).flatMap(({ containerID, state }) =>
    containerID && state?.running ? [containerID.slice(containerID.lastIndexOf('/') + 1)] : [],
  );
}

/** Of those that are kept for `kubectl logs --previous`. */
function endedIds(pod: Pod): string[] {
  return (pod.status?.containerStatuses ?? []).flatMap(({ state, lastState }) =>
    [state?.terminated?.containerID, lastState?.terminated?.containerID].flatMap((id) =>
      id ? [id.slice(id.lastIndexOf('/') + 1)] : [],
    ),
  );
}

function differ(what: string, there: readonly string[], wanted: readonly string[]): string[] {
  const extra = there.filter((each) => !wanted.includes(each));
  const missing = wanted.filter((each) => !there.includes(each));
  return [
    ...extra.map((each) => `${what}: ${each} is left over`),
    ...missing.map((each) => `${what}: ${each} is missing`),
  ];
}

function nodeDir(machine: Machine, node: string): string {
  return join(machine.state, 'clusters', machine.cluster, 'nodes', node);
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** What the daemon and its threads still have mounted for pods; each thread of a node has a mount namespace of its own. */
export function mountsOfPods(machine: Machine, daemon: number): string[] {
  const tasks = readdirSync(`/proc/${daemon}/task`);
  const mounts = tasks.flatMap((task) => readFileSync(`/proc/${daemon}/task/${task}/mountinfo`, 'utf8').split('\n'));
  const points = mounts.flatMap((line) => line.split(' ')[4] ?? []);
  return [...new Set(points)].filter(
    (path) => path.startsWith(`${machine.state}/`) && /pod-data|containers\//.test(path),
  );
}

/** Waits until there is no difference; the error names those that stay. */
export async function untilNothingBesides(machine: Machine, client: Client): Promise<void> {
  let last: string[] = [];
  await until('the machine has what the API says, and nothing else', async () => {
    last = await audit(machine, client);
    return last.length === 0;
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${last.slice(0, 10).join('; ')}`, { cause: error.cause });
  });
}
