// Room cni: nftables rules of attachments: published ports, and the node's address for what leaves the network.
import { createHash } from 'node:crypto';
import { type Family, familyOf } from '../addr/ip.ts';
import { hostPrefix } from '../addr/prefix.ts';
import type { NftChain, NftElement, NftFamily, NftItem, NftRule, NftStatement } from '../kernel/nft-items.ts';
import type { Attachment } from './attachment.ts';

/** One table a family, shared by all networks; there as long as an attachment needs it. */
export const TABLE = 'podwire-cni';
const DSTNAT = -100;
const SRCNAT = 100;

const WORDS = {
  4: { saddr: 'ip saddr', daddr: 'ip daddr', address: 'ipv4_addr', loopback: '127.0.0.0/8', groups: '224.0.0.0/4' },
  6: { saddr: 'ip6 saddr', daddr: 'ip6 daddr', address: 'ipv6_addr', loopback: '::1', groups: 'ff00::/8' },
} as const;

interface Place {
  readonly family: NftFamily;
  readonly table: string;
}

function placeOf(family: Family): Place {
  return { family: family === 4 ? 'ip' : 'ip6', table: TABLE };
}

export function tablesOf(families: readonly Family[]): NftItem[] {
  return families.map((family) => ({ kind: 'table', ...placeOf(family) }));
}

export function needsRules({ portMappings, unmasqueraded }: Attachment): boolean {
  return portMappings.length > 0 || unmasqueraded !== undefined;
}

function familiesOf({ ips }: Attachment): Family[] {
  return [...new Set(ips.map(familyOf))];
}

/** What is there for every attachment. */
export function sharedRules(attachment: Attachment): NftItem[] {
  return familiesOf(attachment).flatMap((family): NftItem[] => {
    const place = placeOf(family);
    const { address } = WORDS[family];
    const to = [address, 'inet_service'] as const;
    return [
      { kind: 'table', ...place },
      { kind: 'set', ...place, set: 'ports', key: ['inet_proto', 'inet_service'], data: to },
      { kind: 'set', ...place, set: 'address-ports', key: [address, 'inet_proto', 'inet_service'], data: to },
      { kind: 'set', ...place, set: 'hairpin', key: [address], data: ['verdict'] },
      { kind: 'set', ...place, set: 'leaving', key: [address], data: ['verdict'] },
      publish(family),
      ...hooks(family),
    ];
  });
}

/** One rule a protocol: nft takes a port translation only after a protocol. A port of one address comes before one of all. */
function publish(family: Family): NftChain {
  const { daddr } = WORDS[family];
  const rules = (['tcp', 'udp', 'sctp'] as const).flatMap((protocol): NftRule[] => {
    const match: NftStatement = { kind: 'match', left: 'meta l4proto', right: protocol };
    return [
      { statements: [match, { kind: 'dnat', key: [daddr, 'meta l4proto', 'th dport'], map: 'address-ports' }] },
      { statements: [match, { kind: 'dnat', key: ['meta l4proto', 'th dport'], map: 'ports' }] },
    ];
  });
  return { kind: 'chain', ...placeOf(family), chain: 'publish', rules };
}

function hooks(family: Family): NftChain[] {
  const place = placeOf(family);
  const { saddr, daddr, loopback } = WORDS[family];
  const local: NftStatement = { kind: 'match', left: 'fib daddr type', right: 'local' };
  const translate: NftStatement = { kind: 'verdict', verdict: 'jump', chain: 'publish' };
  // A packet to 127.0.0.1 must not leave the node (RFC 1122, 3.2.1.3): published ports are on the node's other addresses.
  const notLoopback: NftStatement = { kind: 'match', left: daddr, not: true, right: loopback };
  return [
    {
      kind: 'chain',
      ...place,
      chain: 'prerouting',
      base: { type: 'nat', hook: 'prerouting', priority: DSTNAT },
      rules: [{ statements: [local, translate] }],
    },
    {
      kind: 'chain',
      ...place,
      chain: 'output',
      base: { type: 'nat', hook: 'output', priority: DSTNAT },
      rules: [{ statements: [notLoopback, local, translate] }],
    },
    {
      kind: 'chain',
      ...place,
      chain: 'postrouting',
      base: { type: 'nat', hook: 'postrouting', priority: SRCNAT },
      rules: [
        {
          statements: [
            { kind: 'match', left: 'ct status', right: 'dnat' },
            { kind: 'vmap', key: [daddr], map: 'hairpin' },
          ],
        },
        { statements: [{ kind: 'vmap', key: [saddr], map: 'leaving' }] },
      ],
    },
  ];
}

/** What is there for this attachment alone. Chains first: elements hold them. */
export function ownRules(attachment: Attachment): (NftChain | NftElement)[] {
  const comment = `${attachment.network}/${attachment.containerID}/${attachment.ifname}`.slice(0, 127);
  return familiesOf(attachment).flatMap((family) => {
    const ips = attachment.ips.filter((ip) => familyOf(ip) === family);
    return [
      ...hairpin(attachment, family, ips, comment),
      ...leaving(attachment, family, ips, comment),
      ...ports(attachment, family, ips, comment),
    ];
  });
}

/** An answer to a neighbour would go there straight, past the translation: such a client gets the node's address. */
function hairpin(
  attachment: Attachment,
  family: Family,
  ips: readonly string[],
  comment: string,
): (NftChain | NftElement)[] {
  if (attachment.portMappings.length === 0) return [];
  const { saddr } = WORDS[family];
  const near = [...ips.map(hostPrefix), ...attachment.near.filter((cidr) => familyOf(cidr) === family)];
  const chain = chainName('near', attachment);
  const rules = [...new Set(near)].map(
    (cidr): NftRule => ({
      statements: [{ kind: 'match', left: saddr, right: withoutHostLength(cidr) }, { kind: 'masquerade' }],
    }),
  );
  return [{ kind: 'chain', ...placeOf(family), chain, rules }, ...verdicts('hairpin', family, ips, chain, comment)];
}

function leaving(
  attachment: Attachment,
  family: Family,
  ips: readonly string[],
  comment: string,
): (NftChain | NftElement)[] {
  if (attachment.unmasqueraded === undefined) return [];
  const { daddr, groups } = WORDS[family];
  const inside = [...attachment.unmasqueraded.filter((cidr) => familyOf(cidr) === family), groups];
  const chain = chainName('from', attachment);
  const rules = inside.map(
    (cidr): NftRule => ({
      statements: [
        { kind: 'match', left: daddr, right: withoutHostLength(cidr) },
        { kind: 'verdict', verdict: 'return' },
      ],
    }),
  );
  const item: NftChain = {
    kind: 'chain',
    ...placeOf(family),
    chain,
    rules: [...rules, { statements: [{ kind: 'masquerade' }] }],
  };
  return [item, ...verdicts('leaving', family, ips, chain, comment)];
}

function verdicts(set: string, family: Family, ips: readonly string[], chain: string, comment: string): NftElement[] {
  return ips.map((ip) => ({
    kind: 'element',
    ...placeOf(family),
    set,
    key: [ip],
    data: { verdict: 'jump', chain },
    comment,
  }));
}

function ports({ portMappings }: Attachment, family: Family, ips: readonly string[], comment: string): NftElement[] {
  const to = ips[0]!;
  return portMappings
    .filter(({ hostIP }) => hostIP === undefined || familyOf(hostIP) === family)
    .map(({ hostIP, protocol, hostPort, containerPort }) => ({
      kind: 'element',
      ...placeOf(family),
      set: hostIP === undefined ? 'ports' : 'address-ports',
      key: [...(hostIP === undefined ? [] : [hostIP]), protocol, hostPort],
      data: [to, containerPort],
      comment,
    }));
}

/** nft writes a single address without its length. */
function withoutHostLength(cidr: string): string {
  return cidr.replace(familyOf(cidr) === 4 ? /\/32$/ : /\/128$/, '');
}

function chainName(role: string, { network, containerID, ifname }: Attachment): string {
  const digest = createHash('sha256').update(`${network}/${containerID}/${ifname}`).digest('hex').slice(0, 16);
  return `${role}-${digest}`;
}
