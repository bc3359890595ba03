// Room trace: a packet's way from node to node over their plans, every decision a hop; where chance chooses, every way there is.
import { familyOf, type IP } from '../addr/ip.ts';
import { refText } from '../objects/types.ts';
import { fitsSockets } from '../plan/frontends.ts';
import { reasonText } from '../plan/policy/explain.ts';
import { type Flow, judgeSide } from '../plan/policy/judge.ts';
import { SERVICES_OUTSIDE, wordsOf } from '../plan/proxy-names.ts';
import { ruleAdvice } from './advice.ts';
import type { TracedCluster } from './cluster.ts';
import { deliver } from './delivery.ts';
import type { Ending, Hop, Question, Stage, Trace, Way } from './hop.ts';
import { type NodeView, type PlacedPod, protocolWord, sameFamily } from './node-view.ts';
import { overlayWords } from './overlay-words.ts';
import type { Packet, Walk } from './packet-walk.ts';
import { causesOf, ServiceWords } from './service-words.ts';

/** Longer than any way through a cluster: two nodes, and one that translates between them. */
const MOST_NODES = 6;

/** What comes in where. */
export type Entry = 'pod' | 'wire' | 'self';

/** The packet as it is at one place. */
export interface Flight {
  readonly src: IP;
  readonly dst: IP;
  readonly port: number;
}

/** A node that has translated, and between what: its answer must come by there. */
export interface Translated {
  readonly view: NodeView;
  /** The destination before. */
  readonly dst?: { readonly ip: IP; readonly port: number };
  /** The source before. */
  readonly src?: IP;
}

interface Path {
  readonly hops: readonly Hop[];
  readonly nats: readonly Translated[];
  readonly nodes: number;
}

export function traceFlow(cluster: TracedCluster, question: Question, before: readonly Hop[] = []): Trace {
  return { ...question, ways: new Walker(cluster, question).start(before) };
}

class Walker {
  readonly #cluster: TracedCluster;
  readonly #question: Question;
  readonly #protocol: 'tcp' | 'udp' | 'sctp';
  readonly #services: ServiceWords;

  constructor(cluster: TracedCluster, question: Question) {
    this.#cluster = cluster;
    this.#question = question;
    this.#protocol = protocolWord(question.packet.protocol);
    this.#services = new ServiceWords(cluster, question.packet.protocol);
  }

  start(before: readonly Hop[]): Way[] {
    const { src, dst, port } = this.#question.packet;
    const flight: Flight = { src, dst, port };
    const path: Path = { hops: before, nats: [], nodes: 0 };
    const pod = this.#cluster.podAt(src);
    if (pod) return this.#fromPod(pod, flight, path);
    const node = this.#cluster.nodeAt(src);
    if (node) return this.#enter(node, 'self', flight, path);
    const entrance = this.#cluster.entranceFor(dst);
    if (!entrance) {
      const says = `no node answers for ${dst}`;
      return [this.#end(path, flight, { stage: 'route', ok: false, says, by: [] }, 'lost', dst)];
    }
    const says = `comes in from outside, to ${dst}`;
    return this.#enter(
      entrance,
      'wire',
      flight,
      add(path, { node: entrance.name, stage: 'source', ok: true, says, by: [] }),
    );
  }

  #fromPod(pod: PlacedPod & { view: NodeView }, flight: Flight, path: Path): Way[] {
    const { view } = pod;
    if (pod.ips.includes(flight.dst)) return [deliver(this.#context(path), flight, { view, pod, stays: true })];
    const found = this.#cluster.parts.proxyMode === 'ebpf' ? this.#services.at(view, flight) : undefined;
    if (!found || !fitsSockets(found.frontend)) return this.#enter(view, 'pod', flight, path);
    const { endpoints } = found.frontend.inside;
    const at = { node: view.name, stage: 'socket' } as const;
    if (endpoints.length === 0) {
      const { mend, ...hop } = this.#services.refused(view, flight, 'connect() says ECONNREFUSED');
      return [this.#end(path, flight, { ...at, ok: false, ...hop }, 'refused', found.name, mend)];
    }
    return endpoints.flatMap((endpoint) => {
      const to = { ...flight, dst: endpoint.ip, port: endpoint.port };
      const words = this.#services.chosen(view, flight, to, { name: refText(endpoint.cause) });
      const says = `${words.says}, at the pod's socket, before there is a packet`;
      const chosen = add(path, { ...at, ok: true, ...words, says, packet: to });
      if (pod.ips.includes(to.dst)) return [deliver(this.#context(chosen), to, { view, pod, stays: true })];
      return this.#enter(view, 'pod', to, chosen);
    });
  }

  #enter(view: NodeView, entry: Entry, flight: Flight, path: Path): Way[] {
    if (path.nodes >= MOST_NODES) {
      const says = 'goes round in circles';
      return [this.#end(path, flight, { node: view.name, stage: 'route', ok: false, says, by: [] }, 'lost', view.name)];
    }
    const onward: Path = { ...path, nodes: path.nodes + 1 };
    // What the node's own DNS server answers is out of connection tracking, and of all translation.
    if (view.knows.facts.dnsIPs.includes(flight.dst)) return [this.#toNode(view, entry, flight, onward)];
    // What a node sends itself must have a route before the hook is asked.
    if (entry === 'self' && !view.isLocal(flight.dst) && !view.routeTo(flight.dst)) {
      return [this.#wayless(view, flight, onward)];
    }
    const packet = this.#packet(view, flight);
    const hook = entry === 'self' ? 'output' : 'prerouting';
    const rules = view.rules(familyOf(flight.dst));
    const first = rules.walkHook('nat', hook, packet, () => 0);
    const others = Array.from({ length: first.ways - 1 }, (_, i) => rules.walkHook('nat', hook, packet, () => i + 1));
    return [first, ...others].flatMap((walk) => this.#translated(view, entry, flight, walk, onward));
  }

  #packet(view: NodeView, { src, dst, port }: Flight): Packet {
    const { saddr, daddr } = wordsOf(familyOf(dst));
    return {
      [saddr]: src,
      [daddr]: dst,
      'meta l4proto': this.#protocol,
      'th dport': port,
      'ct state': 'new',
      'fib daddr type': view.isLocal(dst) ? 'local' : 'unicast',
    };
  }

  #translated(view: NodeView, entry: Entry, flight: Flight, walk: Walk, path: Path): Way[] {
    const at = { node: view.name, stage: 'service' } as const;
    if (walk.verdict !== 'accept') {
      const isRefused = walk.verdict === 'reject';
      const how = this.#protocol === 'tcp' ? 'a reset' : 'ICMP port unreachable';
      const { mend, ...hop } = isRefused
        ? this.#services.refused(view, flight, how)
        : this.#services.dropped(view, flight);
      const kind = isRefused ? 'refused' : 'lost';
      return [this.#end(path, flight, { ...at, ok: false, ...hop }, kind, hop.by[0] ?? flight.dst, mend)];
    }
    const { nat } = walk;
    if (nat?.kind !== 'dnat') return this.#routed(view, entry, flight, false, path);
    const to: Flight = { ...flight, dst: nat.ip, port: nat.port ?? flight.port };
    const name = walk.found.findLast(({ data }) => Array.isArray(data) && data[0] === nat.ip)?.comment ?? nat.ip;
    const outside = walk.found.some(({ set }) => set === SERVICES_OUTSIDE);
    const hop = { ...at, ok: true, ...this.#services.chosen(view, flight, to, { name, outside }), packet: to };
    const translated: Translated = { view, dst: { ip: flight.dst, port: flight.port } };
    return this.#routed(view, entry, to, flight, { ...add(path, hop), nats: [...path.nats, translated] });
  }

  /** `before`: the flight before translation, false where there was none. */
  #routed(view: NodeView, entry: Entry, flight: Flight, before: Flight | false, path: Path): Way[] {
    if (view.isLocal(flight.dst)) return [this.#toNode(view, entry, flight, path)];
    const found = view.routeTo(flight.dst);
    if (!found) return [this.#wayless(view, flight, path)];
    const own = view.podWith(flight.dst);
    const judged = entry === 'self' ? path : this.#judge(view, entry, flight, own, path);
    if ('ending' in judged) return [judged];
    const { flight: sent, path: left } = this.#sourced(view, flight, before, judged);
    if (own) return [deliver(this.#context(left), sent, { view, pod: own })];
    return this.#leave(view, found, sent, left);
  }

  /** Where packets are forwarded, both sides' policies have their say, each on the node of its pod. */
  #judge(view: NodeView, entry: Entry, flight: Flight, own: PlacedPod | undefined, path: Path): Path | Way {
    let judged = path;
    const sides = [...(entry === 'pod' ? (['egress'] as const) : []), ...(own ? (['ingress'] as const) : [])];
    for (const direction of sides) {
      const next = this.#judgeSide(view, direction, flight, judged);
      if ('ending' in next) return next;
      judged = next;
    }
    return judged;
  }

  #judgeSide(view: NodeView, direction: 'egress' | 'ingress', { src, dst, port }: Flight, path: Path): Path | Way {
    const { engine } = this.#cluster.parts;
    const flow: Flow = { from: src, to: dst, protocol: this.#question.packet.protocol, port };
    const side = judgeSide(engine, direction, flow);
    const by =
      side.because === 'rule'
        ? [side.matches[0].rule.policy.id]
        : side.because === 'no rule'
          ? side.isolatedBy.map(({ id }) => id)
          : [];
    const says = `${side.pod?.key ?? ''} ${reasonText(side)}`;
    const hop: Hop = { node: view.name, stage: direction, ok: side.allowed, says, by };
    if (side.allowed) return add(path, hop);
    const at = side.pod?.key ?? dst;
    return this.#end(path, { src, dst, port }, hop, 'lost', at, ruleAdvice(engine, side, flow));
  }

  #sourced(view: NodeView, flight: Flight, before: Flight | false, path: Path): { flight: Flight; path: Path } {
    const family = familyOf(flight.dst);
    const original = family === 4 ? 'ct original ip daddr' : 'ct original ip6 daddr';
    const first = before || flight;
    const packet: Packet = {
      ...this.#packet(view, flight),
      [original]: first.dst,
      'ct original proto-dst': first.port,
      ...(before && { 'ct status': 'dnat' }),
    };
    const { nat, chains, found } = view.rules(family).walkHook('nat', 'postrouting', packet);
    if (!nat || nat.kind === 'dnat') return { flight, path };
    const src = nat.kind === 'snat' ? nat.ip : (sameFamily(view.knows.facts.nodeIPs, family) ?? flight.src);
    if (src === flight.src) return { flight, path };
    const why = nat.kind === 'masquerade' ? 'it leaves the cluster' : 'the answer must come back through this node';
    const says = `source ${flight.src} becomes ${src}: ${why}`;
    const by = [...new Set([...causesOf(found), `nft ${chains.at(-1)}`])];
    const hop: Hop = { node: view.name, stage: 'snat', ok: true, says, by, packet: { ...flight, src } };
    const nats = [...path.nats, { view, src: flight.src }];
    return { flight: { ...flight, src }, path: { ...add(path, hop), nats } };
  }

  #leave(view: NodeView, found: NonNullable<ReturnType<NodeView['routeTo']>>, flight: Flight, path: Path): Way[] {
    const next = this.#cluster.holderOf(flight.dst) ?? this.#cluster.nodeBehind(found);
    const { says, by, stage } = overlayWords(view, found);
    const routed = add(path, { node: view.name, stage, ok: true, says, by });
    if (!next || next === view) return [deliver(this.#context(routed), flight, { outside: flight.dst, view })];
    const problem = this.#cluster.whyNotReady(next.name);
    if (problem === undefined) return this.#enter(next, 'wire', flight, routed);
    const mend = `get ${next.name} back: podwire node start ${next.name} (stopped), podwire node heal ${next.name} (cut off)`;
    const hop: Hop = {
      node: next.name,
      stage: 'route',
      ok: false,
      says: `${next.name} is NotReady: ${problem}`,
      by: [`Node/${next.name}`],
    };
    return [this.#end(routed, flight, hop, 'lost', next.name, mend)];
  }

  #toNode(view: NodeView, entry: Entry, flight: Flight, path: Path): Way {
    const isDns = view.knows.facts.dnsIPs.includes(flight.dst);
    const judged = isDns && entry === 'pod' ? this.#judgeSide(view, 'egress', flight, path) : path;
    if ('ending' in judged) return judged;
    return deliver(this.#context(judged), flight, { view, isDns });
  }

  #wayless(view: NodeView, flight: Flight, path: Path): Way {
    const says = `${view.name} has no route to ${flight.dst}`;
    const mend = `nothing in the cluster has ${flight.dst}: look at the address, or at the node whose pods have that prefix`;
    const hop: Hop = { node: view.name, stage: 'route', ok: false, says, by: [] };
    return this.#end(path, flight, hop, 'unreachable', flight.dst, mend);
  }

  #context(path: Path) {
    return { cluster: this.#cluster, question: this.#question, hops: path.hops, nats: path.nats };
  }

  #end(path: Path, packet: Flight, hop: Hop, kind: Ending['kind'], at: string, mend?: string): Way {
    const stage: Stage = hop.stage;
    return { hops: [...path.hops, hop], ending: { kind, at, packet, stage, ...(mend && { mend }) } };
  }
}

function add(path: Path, hop: Hop): Path {
  return { ...path, hops: [...path.hops, hop] };
}
