// Room cni: nftables rules of attachments: published ports, and the node's address for what leaves the network.
import { createHash } from 'node:crypto';
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { NftChain, NftElement, NftFamily, NftItem, NftRule, NftStatement } from '../kernel/nft-items.ts';
import { areOnLoopback, hostPortBase, hostPortElements, LOOPBACK_SOURCE, loopbackPorts } from '../plan/host-ports.ts';
import type { Attachment } from './attachment.ts';

/** One table a family, shared by all networks; there as long as an attachment needs it. */
export const TABLE = 'podwire-cni';
const SRCNAT = 100;

const WORDS = {
  4: { saddr: 'ip saddr', daddr: 'ip daddr', address: 'ipv4_addr', groups: '224.0.0.0/4' },
  6: { saddr: 'ip6 saddr', daddr: 'ip6 daddr', address: 'ipv6_addr', groups: 'ff00::/8' },
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

/** What several attachments share. */
export interface SharedPart {
  /** Two of one name are the same. */
  readonly name: string;
  items(): NftItem[];
}

export function sharedParts(attachment: Attachment): SharedPart[] {
  const bases = familiesOf(attachment).map((family) => ({ name: `base ${family}`, items: () => baseRules(family) }));
  return [...bases, ...leavingParts(attachment)];
}

/** Of one network. */
export function leavingParts(attachment: Attachment): SharedPart[] {
  return familiesOf(attachment).flatMap((family) => {
    const inside = insideOf(attachment, family);
    return inside ? [{ name: inside.join(' '), items: () => [leavingChain(family, inside)] }] : [];
  });
}

function baseRules(family: Family): NftItem[] {
  const place = placeOf(family);
  const { address } = WORDS[family];
  return [
    ...hostPortBase(family, place, 'some'),
    { kind: 'set', ...place, set: 'itself', key: [address, address] },
    { kind: 'set', ...place, set: 'hairpin', key: [address], data: ['verdict'] },
    { kind: 'set', ...place, set: 'leaving', key: [address], data: ['verdict'] },
    sources(family),
  ];
}

function sources(family: Family): NftChain {
  const { saddr, daddr } = WORDS[family];
  const published: NftStatement = { kind: 'match', left: 'ct status', right: 'dnat' };
  return {
    kind: 'chain',
    ...placeOf(family),
    chain: 'postrouting',
    base: { type: 'nat', hook: 'postrouting', priority: SRCNAT },
    rules: [
      { statements: [published, { kind: 'lookup', key: [saddr, daddr], set: 'itself' }, { kind: 'masquerade' }] },
      { statements: [published, { kind: 'vmap', key: [daddr], map: 'hairpin' }] },
      { statements: [{ kind: 'vmap', key: [saddr], map: 'leaving' }] },
    ],
  };
}

/** What is there for this attachment alone. Chains first: elements hold them. */
export function ownRules(attachment: Attachment): (NftChain | NftElement)[] {
  const comment = `${attachment.network}/${attachment.containerID}/${attachment.ifname}`.slice(0, 127);
  return familiesOf(attachment).flatMap((family) => {
    const ips = attachment.ips.filter((ip) => familyOf(ip) === family);
    return [
      ...hairpin(attachment, family, ips, comment),
      ...leaving(attachment, family, ips, comment),
      ...hostPortElements(placeOf(family), ips[0]!, attachment.portMappings, comment),
      ...(family === 4 ? fromLoopback(attachment, ips[0]!, comment) : []),
    ];
  });
}

/** What 127.0.0.1 asks of a veth of ours, which lets it through. Another's link does not, and is not ours to change. */
function fromLoopback({ ownsLink, portMappings }: Attachment, ip: IP, comment: string): NftElement[] {
  if (!ownsLink || !areOnLoopback(portMappings)) return [];
  const place = placeOf(4);
  const source: NftElement = { kind: 'element', ...place, set: 'itself', key: [LOOPBACK_SOURCE, ip], comment };
  return [source, ...loopbackPorts(place, portMappings, comment)];
}

/** An answer to itself or to a neighbour would go there straight, past the translation: such a client gets the node's address. */
function hairpin(
  attachment: Attachment,
  family: Family,
  ips: readonly string[],
  comment: string,
): (NftChain | NftElement)[] {
  if (attachment.portMappings.length === 0) return [];
  const itself = ips.map(
    (ip): NftElement => ({ kind: 'element', ...placeOf(family), set: 'itself', key: [ip, ip], comment }),
  );
  const near = new Set(attachment.near.filter((cidr) => familyOf(cidr) === family));
  if (near.size === 0) return itself;
  const { saddr } = WORDS[family];
  const chain = nearName(attachment);
  const rules = [...near].map(
    (cidr): NftRule => ({
      statements: [{ kind: 'match', left: saddr, right: withoutHostLength(cidr) }, { kind: 'masquerade' }],
    }),
  );
  const item: NftChain = { kind: 'chain', ...placeOf(family), chain, rules };
  return [item, ...itself, ...verdicts('hairpin', family, ips, chain, comment)];
}

function leaving(attachment: Attachment, family: Family, ips: readonly string[], comment: string): NftElement[] {
  const inside = insideOf(attachment, family);
  return inside ? verdicts('leaving', family, ips, leavingName(inside), comment) : [];
}

/** Destinations that see the container's own address; undefined: no masquerading. */
function insideOf({ unmasqueraded }: Attachment, family: Family): CIDR[] | undefined {
  return unmasqueraded && [...unmasqueraded.filter((cidr) => familyOf(cidr) === family), WORDS[family].groups];
}

function leavingChain(family: Family, inside: readonly CIDR[]): NftChain {
  const { daddr } = WORDS[family];
  const rules = inside.map(
    (cidr): NftRule => ({
      statements: [
        { kind: 'match', left: daddr, right: withoutHostLength(cidr) },
        { kind: 'verdict', verdict: 'return' },
      ],
    }),
  );
  const chain = leavingName(inside);
  return { kind: 'chain', ...placeOf(family), chain, rules: [...rules, { statements: [{ kind: 'masquerade' }] }] };
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

/** nft writes a single address without its length. */
function withoutHostLength(cidr: string): string {
  return cidr.replace(familyOf(cidr) === 4 ? /\/32$/ : /\/128$/, '');
}

function nearName({ network, containerID, ifname }: Attachment): string {
  return chainName('near', `${network}/${containerID}/${ifname}`);
}

/** By what it does: one for all attachments of a network. */
function leavingName(inside: readonly CIDR[]): string {
  return chainName('from', inside.join(' '));
}

function chainName(role: string, of: string): string {
  return `${role}-${createHash('sha256').update(of).digest('hex').slice(0, 16)}`;
}
