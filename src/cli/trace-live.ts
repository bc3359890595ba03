// Room cli: `podwire trace --live`: the packet is sent, followed through the nodes' rules, and what was seen stands beside what was said.
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { IP } from '../addr/ip.ts';
import { type Place, placeOfNode, placeOfPod } from '../cluster/pod-place.ts';
import { FIRST, isOurs, type PacketTrace, tracePackets } from '../kernel/packet-trace.ts';
import { Fault } from '../observe/fault.ts';
import type { TracedCluster } from '../trace/cluster.ts';
import { type Comparison, compare } from '../trace/comparison.ts';
import type { End } from '../trace/ends.ts';
import type { Trace } from '../trace/hop.ts';
import { protocolWord } from '../trace/node-view.ts';
import { openProbe } from '../trace/probe.ts';
import { type Told, visitsOf } from '../trace/sighting.ts';
import type { TraceSource } from './trace-cluster.ts';

export interface Followed extends Comparison {
  /** The port from which it was sent. */
  readonly fromPort: number;
  /** The kernel told more than we could hear: what is not seen may have been there. */
  readonly incomplete: boolean;
  /** What of the way cannot be seen. */
  readonly blind: readonly string[];
  /** By node: packets that came into its rules and that passed them. */
  readonly counted: Readonly<Record<string, ReturnType<PacketTrace['counts']>>>;
}

/** Who takes a datagram need not answer it. */
const ANSWER_MS = { TCP: 2000, UDP: 1000 } as const;
/** After a rule has ended the packet: a refusal is told at once. */
const REFUSAL_MS = 200;
const HEARING_MS = 1000;

export async function follow(source: TraceSource, sender: End, trace: Trace, clusterName: string): Promise<Followed> {
  const { src, dst, port, protocol } = trace.packet;
  if (protocol === 'SCTP')
    throw new Fault('--live sends TCP and UDP: there are no SCTP sockets on most kernels', { exitCode: 2 });
  const { place, from } = placeOf(sender, src, clusterName);
  const probe = openProbe({ ...place, to: dst, port, protocol, timeoutMs: ANSWER_MS[protocol], ...(from && { from }) });
  const told: Told[] = [];
  let incomplete = false;
  let isEnding = false;
  const watches = new Map<string, PacketTrace>();
  try {
    const clients = clientsOf(source.cluster, src);
    const flow = { protocol: protocolWord(protocol) as 'tcp' | 'udp', port: probe.fromPort, clients };
    const seeable = source.cluster.nodes.filter(({ name }) => existsSync(source.netnsOf(name)));
    for (const { name: node } of seeable) {
      const onEvent = (event: Told['event']) => {
        const mark = isOurs(event) ? (event.chain.startsWith(FIRST) ? 'first' : 'last') : undefined;
        told.push({ node, event, ...(mark && { mark }) });
        if (!event.drops || mark || isEnding) return;
        isEnding = true;
        // What has arrived meanwhile comes first.
        setTimeout(() => setImmediate(() => probe.close()), REFUSAL_MS);
      };
      watches.set(
        node,
        tracePackets(source.netnsOf(node), flow, onEvent, () => {
          incomplete = true;
        }),
      );
    }
    const result = await probe.send();
    let compared = compare(trace, visitsOf(told, probe.fromPort), result);
    // What the kernel has told is not with us at once: a difference is one only when nothing more comes.
    for (const end = Date.now() + HEARING_MS; !compared.same && Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      compared = compare(trace, visitsOf(told, probe.fromPort), result);
    }
    const counted = Object.fromEntries([...watches].map(([node, watch]) => [node, watch.counts()]));
    return { ...compared, fromPort: probe.fromPort, incomplete, blind: blindOf(source, compared), counted };
  } finally {
    probe.close();
    for (const watch of watches.values()) watch.close();
  }
}

/** Addresses under which the sender may be seen: its own, and those of nodes that put theirs in its place. */
function clientsOf(cluster: TracedCluster, src: IP): IP[] {
  const nodes = cluster.nodes.flatMap(({ knows }) => knows.facts.nodeIPs);
  return [...new Set([src, ...nodes])].filter((ip) => ip.includes(':') === src.includes(':'));
}

function placeOf(sender: End, src: IP, cluster: string): { place: Partial<Place>; from?: IP } {
  if (sender.kind === 'node') return { place: placeOfNode(cluster, sender.node) };
  if (sender.kind === 'pod') {
    const { metadata, spec } = sender.pod;
    return {
      place: placeOfPod(cluster, { uid: metadata.uid, node: spec.nodeName!, hostNetwork: spec.hostNetwork ?? false }),
    };
  }
  const own = Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
  if (own.includes(src)) return { place: {}, from: src };
  throw new Fault(`nothing on this machine can send from ${src}`, {
    mend: 'leave --live away, or name a pod or a node',
    exitCode: 2,
  });
}

function blindOf({ cluster, netnsOf }: TraceSource, { way }: Comparison): string[] {
  const gone = cluster.nodes.filter(({ name }) => !existsSync(netnsOf(name)));
  const isFast = cluster.nodes.some(({ knows }) => knows.overlay.fastPath === true);
  return [
    ...gone.map(({ name }) => `${name} has no namespace on this machine: nobody looks there`),
    ...(way.hops.some(({ stage }) => stage === 'socket')
      ? ['the choice at the socket is made before there is a packet: of it, only the endpoint is seen']
      : []),
    ...(isFast ? ['datapath ebpf: the first packets are seen; those of a flow that is known pass the rules by'] : []),
  ];
}
