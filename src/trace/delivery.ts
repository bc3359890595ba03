// Room trace: a packet's arrival: whether somebody is there who answers, and the answer's way back.
import type { IP } from '../addr/ip.ts';
import { objectKey } from '../objects/types.ts';
import { closedAdvice } from './advice.ts';
import type { TracedCluster } from './cluster.ts';
import type { Hop, Question, Way } from './hop.ts';
import type { NodeView, PlacedPod } from './node-view.ts';
import type { Flight, Translated } from './walker.ts';

export interface Arrival {
  readonly cluster: TracedCluster;
  readonly question: Question;
  readonly hops: readonly Hop[];
  readonly nats: readonly Translated[];
}

export type Receiver =
  /** `stays`: it sends to itself, and nothing leaves it. */
  | { readonly view: NodeView; readonly pod: PlacedPod; readonly stays?: true }
  | { readonly view: NodeView; readonly isDns?: boolean }
  /** Beyond the cluster's nodes; `view` is the node that it left last. */
  | { readonly view: NodeView; readonly outside: IP };

const MOST_NODES = 6;

export function deliver(arrival: Arrival, flight: Flight, to: Receiver): Way {
  const { cluster, hops, question } = arrival;
  const { protocol } = question.packet;
  const { name, where } = nameOf(cluster, flight, to);
  const stays = 'pod' in to && to.stays === true;
  const node = 'outside' in to || stays ? {} : { node: to.view.name };
  const tuple = `${flight.src} -> ${flight.dst}:${flight.port}`;
  const at = 'pod' in to ? to.pod : to.view.name;
  const open =
    'outside' in to || ('isDns' in to && to.isDns && flight.port === 53)
      ? undefined
      : cluster.parts.listens?.(at, protocol, flight.port, flight.dst);
  if (open === false) {
    const says = `${where}, where nothing listens on ${flight.port}/${protocol}: it answers with ${protocol === 'TCP' ? 'a reset' : 'ICMP port unreachable'}`;
    const hop: Hop = { ...node, stage: 'delivery', ok: false, says, by: [] };
    const mend = closedAdvice('pod' in to ? to.pod.pod : undefined, name, flight.port);
    return { hops: [...hops, hop], ending: { kind: 'refused', at: name, packet: flight, stage: 'delivery', mend } };
  }
  const hop: Hop = { ...node, stage: 'delivery', ok: true, says: `${where}: ${tuple}`, by: [] };
  const reply = replyOf(arrival, flight, to);
  const ways = [...hops, hop, reply];
  if (reply.ok) return { hops: ways, ending: { kind: 'delivered', at: name, packet: flight } };
  return {
    hops: ways,
    ending: {
      kind: 'lost',
      at: name,
      packet: flight,
      stage: 'reply',
      mend: reply.by.join(', ') || 'look at the routes',
    },
  };
}

function nameOf(cluster: TracedCluster, { port, dst }: Flight, to: Receiver): { name: string; where: string } {
  if ('outside' in to) return { name: to.outside, where: 'leaves the cluster' };
  if ('pod' in to) {
    const name = objectKey(to.pod.pod);
    const how = to.stays ? 'within itself, where no rule is' : to.view.linkOf(to.pod);
    return { name, where: `pod ${name} (${how})` };
  }
  if (to.isDns)
    return { name: `DNS of ${to.view.name}`, where: `the DNS server of ${to.view.name} (as kube-system/kube-dns)` };
  const served = cluster.parts.pods.find(
    ({ spec }) =>
      spec.hostNetwork &&
      spec.nodeName === to.view.name &&
      spec.containers.some(({ ports }) => ports?.some(({ containerPort }) => containerPort === port)),
  );
  const who = served ? `pod ${objectKey(served)} on the network of` : 'the node';
  return { name: served ? objectKey(served) : to.view.name, where: `${who} ${to.view.name} itself (${dst})` };
}

/** One line for the whole way back, from the receiver's node to who asked, through every node that translated. */
function replyOf({ cluster, nats, question }: Arrival, flight: Flight, to: Receiver): Hop {
  const fail = (says: string): Hop => ({ node: to.view.name, stage: 'reply', ok: false, says, by: [] });
  if ('outside' in to) {
    const says = `comes back to ${flight.src}, ${nats.length > 0 ? restoredWords(nats) : 'as it is'}`;
    return { stage: 'reply', ok: true, says, by: [] };
  }
  const open = [...nats];
  const steps: string[] = [];
  let target = flight.src;
  let view = to.view;
  for (let count = 0; count < MOST_NODES; count++) {
    for (let last = open.at(-1); last?.view === view; last = open.at(-1)) {
      open.pop();
      if (last.src !== undefined) {
        steps.push(`${view.name} sends it on to ${last.src}`);
        target = last.src;
      } else if (last.dst) steps.push(`${view.name} puts ${last.dst.ip}:${last.dst.port} back as its source`);
    }
    const arrived = view.podWith(target) || view.isLocal(target);
    const route = arrived ? undefined : view.routeTo(target);
    if (!arrived && route?.route.type !== 'unicast') {
      return fail(`the answer to ${target} has no way: ${view.name} has no route there`);
    }
    const next = route && (cluster.nodeAt(target) ?? cluster.nodeBehind(route));
    if (arrived || !next || next === view) {
      if (open.length > 0)
        return fail(`the answer to ${target} does not come by ${open.at(-1)!.view.name}, which translated`);
      const says = `${flight.dst}:${flight.port} -> ${question.packet.src}${steps.length > 0 ? `; ${steps.join('; ')}` : ''}`;
      return { node: to.view.name, stage: 'reply', ok: true, says, by: [] };
    }
    steps.push(`${route!.route.link} to ${next.name}`);
    view = next;
  }
  return fail(`the answer to ${target} goes round in circles`);
}

function restoredWords(nats: readonly Translated[]): string {
  return `translated back by ${[...new Set(nats.map(({ view }) => view.name))].reverse().join(', ')}`;
}
