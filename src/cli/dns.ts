// Room cli: `podwire dns trace`.
import { readFileSync } from 'node:fs';
import { knownCluster } from '../cluster/known.ts';
import { nodeDir } from '../cluster/paths.ts';
import { placeOfPod } from '../cluster/pod-place.ts';
import { requireRoot } from '../cluster/root.ts';
import { type LookupTrace, type TracedType, traceLookup } from '../dns/lookup-trace.ts';
import { parseResolvConf, type ResolvConf } from '../dns/resolv-conf.ts';
import { exchange } from '../dns/upstream.ts';
import { etcPath, podDataDir } from '../node/pod-paths.ts';
import { isNotFound } from '../objects/status.ts';
import type { Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { enterNetns } from '../sys/netns.ts';
import { askCluster } from './cluster-client.ts';
import { formatTable } from './table.ts';

interface TraceFlags {
  readonly name: string;
  readonly namespace: string;
  readonly type: string;
  readonly output: string;
}

interface Report extends LookupTrace {
  readonly pod: string;
  readonly node: string;
  readonly asked: string;
  readonly resolvConf: ResolvConf;
  /** The name stands in the pod's /etc/hosts: no server is asked. */
  readonly hosts: readonly string[];
}

/** Asks as the pod's resolver would, from the pod's own network namespace. */
export async function runDnsTrace(podName: string, name: string, flags: TraceFlags): Promise<void> {
  requireRoot();
  const types = typesOf(flags.type);
  const pod = await findPod(podName, flags);
  const { namespace, uid } = pod.metadata;
  const node = pod.spec.nodeName!;
  const dataDir = podDataDir(nodeDir(flags.name, node), uid);
  const conf = parseResolvConf(readEtc(etcPath(dataDir, 'resolv.conf'), pod));
  const hosts = hostsEntries(readEtc(etcPath(dataDir, 'hosts'), pod), name);
  enterNetns(placeOfPod(flags.name, { uid, node, hostNetwork: pod.spec.hostNetwork ?? false }).netns);
  const none: LookupTrace = { queries: [], addresses: hosts, milliseconds: 0 };
  const trace = hosts.length > 0 ? none : await traceLookup(name, conf, types, askServer);
  const report: Report = {
    pod: `${namespace}/${pod.metadata.name}`,
    node,
    asked: name,
    resolvConf: conf,
    hosts,
    ...trace,
  };
  console.log(flags.output === 'json' ? JSON.stringify(report, undefined, 2) : render(report));
  // As `getent hosts` ends when there is no such name.
  if (trace.addresses.length === 0) process.exitCode = 2;
}

function askServer(ip: string, name: string, type: number, milliseconds: number) {
  const question = { name, type, recursionDesired: true, dnssecOk: false, checkingDisabled: false };
  return exchange({ ip, port: 53 }, question, { timeout: milliseconds });
}

function typesOf(text: string): TracedType[] {
  const types = text.toUpperCase().split(',');
  const wrong = types.find((type) => type !== 'A' && type !== 'AAAA');
  if (wrong === undefined) return types as TracedType[];
  throw new Fault(`--type ${text}: a lookup asks for A, AAAA or both, not for "${wrong}"`, { exitCode: 2 });
}

/** `asked`: `NAME` or `NAMESPACE/NAME`. */
async function findPod(asked: string, flags: TraceFlags): Promise<Pod> {
  const [name = '', namespace = flags.namespace] = asked.split('/').reverse();
  try {
    const pod = await askCluster(knownCluster(flags.name), (client) => client.get('Pod', name, namespace));
    if (!pod.spec.nodeName) throw new Fault(`pod ${namespace}/${name} is on no node yet`);
    return pod;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new Fault(`there is no pod ${namespace}/${name}`, {
      mend: 'kubectl get pods -A, which lists them; -n names the namespace',
    });
  }
}

export function readEtc(file: string, { metadata }: Pod): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new Fault(`pod ${metadata.namespace}/${metadata.name} has no ${file}: it has not started yet`, { cause });
  }
}

export function hostsEntries(hosts: string, name: string): string[] {
  const wanted = name.toLowerCase();
  return hosts.split('\n').flatMap((line) => {
    const [ip, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return ip && names.some((each) => each.toLowerCase() === wanted) ? [ip] : [];
  });
}

function render(report: Report): string {
  const { resolvConf, queries, hosts } = report;
  const { nameservers, searches, ndots } = resolvConf;
  const head = `Pod ${report.pod} on ${report.node}: nameserver ${nameservers.join(' ')}, search ${searches.join(' ') || '-'}, ndots ${ndots}`;
  if (hosts.length > 0) return `${head}\n\n${report.asked} is ${hosts.join(', ')} in its /etc/hosts: no query.`;
  const rows = queries.map(({ name, type, server, answer, records, milliseconds }, i) => {
    const outcome = answer === 'NOERROR' && records.length === 0 ? 'no data' : answer;
    return [
      String(i + 1),
      name,
      type,
      server,
      outcome,
      records.length > 0 ? data(records) : '-',
      milliseconds.toFixed(2),
    ];
  });
  return [
    head,
    '',
    formatTable([['#', 'QUERY', 'TYPE', 'SERVER', 'ANSWER', 'DATA', 'MS'], ...rows]),
    '',
    verdict(report),
  ].join('\n');
}

/** What stands behind the type, of each record. */
function data(records: readonly string[]): string {
  const shown = records.map((line) => line.replace(/^\S+ \d+ IN \S+ /, ''));
  return shown.length > 3 ? `${shown.slice(0, 3).join(', ')} and ${shown.length - 3} more` : shown.join(', ');
}

function verdict({ asked, queries, found, better, milliseconds }: Report): string {
  const cost = `${queries.length} ${queries.length === 1 ? 'query' : 'queries'}, ${milliseconds.toFixed(2)} ms`;
  if (!found) return `${cost}: there is no "${asked}" for this pod.`;
  if (!better) return `${cost}: it cannot cost less.`;
  const types = new Set(queries.map(({ type }) => type));
  const one = types.size === 1 ? 'one query' : 'one query for each of A and AAAA';
  return `${cost}. ${better} (with the dot at its end) costs ${one}.`;
}
