// Room kernel: one flow's packets on their way through one namespace: every rule that they meet, told by the kernel (nft monitor trace).
import { familyOf, type IP } from '../addr/ip.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeLink, getLink } from '../wire/netlink/link.ts';
import type { NftChain, NftHook, NftItem } from '../wire/nft/items.ts';
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

/** A table of its own, which goes with close(). Throws a KernelError, a SysError when there is no such namespace. */
export function tracePackets(
  netns: string,
  flow: TracedFlow,
  onEvent: (event: LinkedEvent) => void,
  onLoss: () => void,
): { close(): void } {
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
  nft.apply([table, ...chainsOf(family, flow)], [], []);
  return {
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

function chainsOf(family: 'ip' | 'ip6', { protocol, port, clients }: TracedFlow): NftChain[] {
  const [saddr, daddr] = family === 'ip' ? (['ip saddr', 'ip daddr'] as const) : (['ip6 saddr', 'ip6 daddr'] as const);
  const match = (left: Extract<NftStatement, { kind: 'match' }>['left'], right: string | number): NftStatement => {
    return { kind: 'match', left, right };
  };
  const rules = clients.flatMap((ip) => [
    {
      statements: [
        match('meta l4proto', protocol),
        match('th sport', port),
        match(saddr, ip),
        { kind: 'trace' } as const,
      ],
    },
    {
      statements: [
        match('meta l4proto', protocol),
        match('th dport', port),
        match(daddr, ip),
        { kind: 'trace' } as const,
      ],
    },
  ]);
  const chain = (name: string, hook: NftHook['hook'], priority: number): NftChain => {
    const base = { type: 'filter', hook, priority } as const;
    return { kind: 'chain', family, table: TABLE, chain: `${name}-${hook}`, base, rules: name === FIRST ? rules : [] };
  };
  return [
    chain(FIRST, 'prerouting', BEFORE_ALL),
    chain(FIRST, 'output', BEFORE_ALL),
    chain(LAST, 'input', AFTER_ALL),
    chain(LAST, 'postrouting', AFTER_ALL),
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
