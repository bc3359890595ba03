// Room kernel: one flow's packets on their way through one namespace: every rule that they meet, told by the kernel (nft monitor trace).
import { familyOf, type IP } from '../addr/ip.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeLink, getLink } from '../wire/netlink/link.ts';
import type { NftChain, NftElement, NftHook, NftItem, NftSet } from '../wire/nft/items.ts';
import type { NftStatement } from '../wire/nft/rule.ts';
import { decodeTrace, TRACE_GROUP, TRACE_MESSAGE, type TraceEvent } from '../wire/nft/trace.ts';
import { openNft } from './nft-linux.ts';

export interface TracedFlow {
  readonly protocol: 'tcp' | 'udp';
  /** The client's: by it the flow is known. */
  readonly port: number;
  /** Addresses under which the client may be seen. */
  readonly clients: readonly IP[];
}

/** The first and the last that happens to a packet in a namespace. */
export const FIRST = 'first';
export const LAST = 'last';
/** Not `podwire…`: what begins so is the agents'. */
const TABLE = `pw-trace-${process.pid}`;
const BEFORE_ALL = -350;
const AFTER_ALL = 300;

export interface LinkedEvent extends TraceEvent {
  readonly came?: string;
  readonly leaves?: string;
}

/** Packets of one direction that came into a namespace's rules, and that passed them all. */
export interface Counted {
  readonly came: number;
  readonly left: number;
}

export interface PacketTrace {
  /** Counted by the table's own rules, also where the kernel told more than could be heard. */
  counts(): { readonly request: Counted; readonly answer: Counted };
  close(): void;
}

/** A table of its own, which goes with close(). Throws a KernelError, a SysError when there is no such namespace. */
export function tracePackets(
  netns: string,
  flow: TracedFlow,
  onEvent: (event: LinkedEvent) => void,
  onLoss: () => void,
): PacketTrace {
  const nft = openNft(netns);
  const family = familyOf(flow.clients[0]!) === 4 ? 'ip' : 'ip6';
  const table: NftItem = { kind: 'table', family, table: TABLE };
  const links = linksOf(netns);
  const socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
  const name = (index: number | undefined) => (index ? (links.get(index) ?? `link ${index}`) : undefined);
  const hear = ({ type, body }: { type: number; body: Uint8Array }) => {
    if (type !== TRACE_MESSAGE) return;
    const event = decodeTrace(body);
    const [came, leaves] = [name(event.iif), name(event.oif)];
    onEvent({ ...event, ...(came && { came }), ...(leaves && { leaves }) });
  };
  const stop = socket.subscribe([TRACE_GROUP], hear, onLoss);
  const hooks = hooksOf(family, flow);
  nft.apply([table, ...hooks.flatMap(({ sets, elements, chain }) => [...sets, ...elements, chain])], [], []);
  const counted = (direction: 0 | 1): Counted => {
    const sum = (name: string) =>
      hooks
        .filter((hook) => hook.name === name)
        .flatMap(({ sets }) => nft.counts(sets[direction]))
        .reduce((packets, count) => packets + count.packets, 0);
    return { came: sum(FIRST), left: sum(LAST) };
  };
  return {
    counts: () => ({ request: counted(0), answer: counted(1) }),
    close() {
      nft.apply([], [], [table]);
      nft.close();
      stop();
      socket.close();
    },
  };
}

export function isOurs({ table }: TraceEvent): boolean {
  return table === TABLE;
}

interface CountedHook {
  readonly name: string;
  /** Of packets of who asks, and of answers. */
  readonly sets: readonly [NftSet, NftSet];
  readonly elements: readonly NftElement[];
  readonly chain: NftChain;
}

function hooksOf(family: 'ip' | 'ip6', { protocol, port, clients }: TracedFlow): CountedHook[] {
  const place = { family, table: TABLE };
  const address = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  const rule = (way: 's' | 'd', set: string, isFirst: boolean): { statements: NftStatement[] } => ({
    statements: [
      { kind: 'match', left: 'meta l4proto', right: protocol },
      { kind: 'match', left: `th ${way}port`, right: port },
      { kind: 'lookup', key: [`${family} ${way}addr`], set },
      ...(isFirst ? [{ kind: 'trace' } as const] : []),
    ],
  });
  const at = (name: string, hook: NftHook['hook'], priority: number): CountedHook => {
    const setOf = (direction: string): NftSet => {
      return { kind: 'set', ...place, set: `${direction}-${hook}`, key: [address], counter: true };
    };
    const sets = [setOf('request'), setOf('answer')] as const;
    const elements = sets.flatMap(({ set }) =>
      clients.map((ip): NftElement => ({ kind: 'element', ...place, set, key: [ip] })),
    );
    const rules = [rule('s', sets[0].set, name === FIRST), rule('d', sets[1].set, name === FIRST)];
    const base = { type: 'filter', hook, priority } as const;
    return { name, sets, elements, chain: { kind: 'chain', ...place, chain: `${name}-${hook}`, base, rules } };
  };
  return [
    at(FIRST, 'prerouting', BEFORE_ALL),
    at(FIRST, 'output', BEFORE_ALL),
    at(LAST, 'input', AFTER_ALL),
    at(LAST, 'postrouting', AFTER_ALL),
  ];
}

function linksOf(netns: string): Map<number, string> {
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  return new Map(
    socket
      .dump(getLink())
      .map(decodeLink)
      .map(({ index, name }) => [index, name]),
  );
}
