// Room cli: the first step of a trace: the name that a pod would look up, asked of the cluster's DNS from the pod's own namespace.
import { isGuest } from '../cluster/guests.ts';
import { nodeDir } from '../cluster/paths.ts';
import { placeOfPod } from '../cluster/pod-place.ts';
import { type TracedQuery, type TracedType, traceLookup } from '../dns/lookup-trace.ts';
import { candidates, parseResolvConf } from '../dns/resolv-conf.ts';
import { exchange } from '../dns/upstream.ts';
import { etcPath, podDataDir } from '../node/pod-paths.ts';
import { Fault } from '../observe/fault.ts';
import type { TracedCluster } from '../trace/cluster.ts';
import { commonFamily, type End, elsewhere, endName, findEnd } from '../trace/ends.ts';
import type { Hop, Question, Trace } from '../trace/hop.ts';
import { arrives } from '../trace/trace-text.ts';
import { traceFlow } from '../trace/walker.ts';
import { hostsEntries, readEtc } from './dns.ts';

const TYPES: readonly TracedType[] = ['A', 'AAAA'];

/** What the name is, and the hop that says how it was found; or the trace that ends there. */
export async function lookUp(
  cluster: TracedCluster,
  source: End,
  name: string,
  flags: { readonly name: string; readonly namespace: string },
): Promise<{ end: End; hops: Hop[] } | { dead: Trace }> {
  if (name.includes('/'))
    throw new Fault(`nothing is called "${name}"`, {
      mend: elsewhere(cluster, name) || 'kubectl get pods,services -A, which lists what there is',
      exitCode: 2,
    });
  if (source.kind !== 'pod') {
    throw new Fault(`nothing is called "${name}"`, {
      mend: `${endName(source)} asks no cluster DNS: names are looked up for pods`,
      exitCode: 2,
    });
  }
  const { pod } = source;
  if (isGuest(pod.metadata.uid)) {
    throw new Fault(`what "${name}" is to ${endName(source)} its own runtime says`, {
      mend: 'give an address, or svc/NAMESPACE/NAME',
      exitCode: 2,
    });
  }
  const dataDir = podDataDir(nodeDir(flags.name, pod.spec.nodeName!), pod.metadata.uid);
  const conf = parseResolvConf(readEtc(etcPath(dataDir, 'resolv.conf'), pod));
  const node = pod.spec.nodeName!;
  const hosts = hostsEntries(readEtc(etcPath(dataDir, 'hosts'), pod), name);
  const [known] = hosts;
  if (known !== undefined) {
    const says = `${name} is ${hosts.join(', ')} in the pod's /etc/hosts: no query`;
    return { end: findEnd(cluster, known, flags.namespace)!, hops: [{ node, stage: 'name', ok: true, says, by: [] }] };
  }
  const dead = unasked(cluster, source, name, conf.nameservers);
  if (dead) return { dead };
  const netns = placeOfPod(flags.name, {
    uid: pod.metadata.uid,
    node,
    hostNetwork: pod.spec.hostNetwork ?? false,
  }).netns;
  const trace = await traceLookup(name, conf, TYPES, (ip, asked, type, timeout) =>
    exchange({ ip, port: 53, netns }, { ...QUESTION, name: asked, type }, { timeout }),
  );
  const { queries, addresses } = trace;
  const more = [...Map.groupBy(queries, (query) => query.name)].map(
    ([asked, answers]) => `${asked} ${answers.map((query) => `${query.type} ${answerWords(query)}`).join(', ')}`,
  );
  const tried = new Set(queries.map((query) => query.name)).size;
  const cost = `${queries.length} queries, ${tried} of ${candidates(name, conf).length} names tried`;
  const [address] = addresses;
  if (address === undefined) {
    const says = `there is no "${name}": ${cost}`;
    const mend = `podwire dns trace -n ${pod.metadata.namespace} ${pod.metadata.name} ${name} shows every query`;
    return {
      dead: deadTrace(source, name, conf.nameservers[0]!, { node, stage: 'name', ok: false, says, by: [], more }, mend),
    };
  }
  const says = `${name} is ${addresses.join(', ')}: ${trace.found}, ${cost}`;
  const end = findEnd(cluster, address, flags.namespace)!;
  return { end: { ...end, ips: addresses }, hops: [{ node, stage: 'name', ok: true, says, by: [], more }] };
}

const QUESTION = { recursionDesired: true, dnssecOk: false, checkingDisabled: false } as const;

function answerWords({ answer, records }: TracedQuery): string {
  return answer === 'NOERROR' && records.length === 0 ? 'no data' : answer;
}

/** Where what is asked does not reach the server, nobody need wait for it to time out. */
function unasked(cluster: TracedCluster, source: End, name: string, servers: readonly string[]): Trace | undefined {
  const pair = commonFamily(source.ips, servers);
  if (!pair) return undefined;
  const question: Question = {
    from: endName(source),
    to: `${name} (asks DNS)`,
    packet: { ...pair, port: 53, protocol: 'UDP' },
  };
  const trace = traceFlow(cluster, question);
  return arrives(trace) ? undefined : trace;
}

function deadTrace(source: End, name: string, server: string, hop: Hop, mend: string): Trace {
  const packet = { src: source.ips[0]!, dst: server, port: 53 };
  const ending = { kind: 'unreachable', at: name, packet, stage: 'name', mend } as const;
  return { from: endName(source), to: name, packet: { ...packet, protocol: 'UDP' }, ways: [{ hops: [hop], ending }] };
}
