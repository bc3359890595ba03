// Room plan: pods of other nodes through VXLAN (RFC 7348) with every entry programmed: no flooding, no learning.
import { familyOf, formatIP, type IP } from '../../addr/ip.ts';
import { type MAC, macBytes, macFromIP } from '../../addr/mac.ts';
import { networkOf, parsePrefix } from '../../addr/prefix.ts';
import type { NftItem } from '../../kernel/nft-items.ts';
import { placeOf, wordsOf } from '../proxy-names.ts';
import type { OverlayBackend } from './backend.ts';

export const VXLAN_LINK = 'pw-vxlan';
const VTEP_ROLE = 0x76;

/** Every node knows every other's tunnel end without asking: its MAC follows from the node's address. */
export function vtepMac(nodeIP: IP): MAC {
  return macFromIP(nodeIP, VTEP_ROLE);
}

/** RFC 4291, appendix A: the modified EUI-64. */
function linkLocal(mac: MAC): IP {
  const [a, b, c, d, e, f] = macBytes(mac) as unknown as [number, number, number, number, number, number];
  return formatIP(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f));
}

export const vxlan: OverlayBackend = {
  // Outer IP, UDP 8, VXLAN 8, the inner Ethernet header 14.
  overhead: (underlay) => (underlay === 4 ? 20 : 40) + 30,
  carries: () => true,
  own: ({ nodeIPs, mtu, vxlan: { vni, port } }) => {
    const local = nodeIPs[0]!;
    const overhead = vxlan.overhead(familyOf(local));
    return [
      {
        kind: 'link',
        name: VXLAN_LINK,
        mtu: mtu - overhead,
        mac: vtepMac(local),
        up: true,
        type: { kind: 'vxlan', vni, port, local },
      },
      // Other nodes speak to our pods under their own address, whose way back is the fabric. Without an address on the device
      // even the loose check (2) drops that: fib_validate_source.
      { kind: 'sysctl', key: `net/ipv4/conf/${VXLAN_LINK}/rp_filter`, value: '0' },
      ...untracked(local, port),
    ];
  },
  peer: (_, remote) => [{ kind: 'fdb', link: VXLAN_LINK, mac: vtepMac(remote), dst: remote }],
  way: (_, { podCIDR, remote, src }) => {
    const dst = networkOf(podCIDR);
    const mac = vtepMac(remote);
    const { ip, family } = parsePrefix(dst);
    // An address that no pod has stands for the node's tunnel end. For IPv4 the prefix's own; IPv6 takes no gateway to which
    // it knows a way over another link, as it does while the overlay is changed.
    const via = family === 4 ? ip : linkLocal(mac);
    return [
      { kind: 'neighbour', link: VXLAN_LINK, ip: via, mac },
      { kind: 'route', dst, type: 'unicast', via, link: VXLAN_LINK, onlink: true, ...(src && { src }) },
    ];
  },
};

const RAW = -300;

/**
 * The source port tells inner flows apart: tracked, each of them would be another flow outside, in four entries on the two nodes that
 * nobody ever asks for. Nothing but the tunnel's own packets: what pods send to this port elsewhere is translated as ever.
 */
function untracked(local: IP, port: number): NftItem[] {
  const family = familyOf(local);
  const { saddr, daddr } = wordsOf(family);
  const hooks = [
    ['prerouting', daddr],
    ['output', saddr],
  ] as const;
  return [
    { kind: 'table', ...placeOf(family) },
    ...hooks.map(
      ([hook, own]): NftItem => ({
        kind: 'chain',
        ...placeOf(family),
        chain: `vxlan-${hook}`,
        base: { type: 'filter', hook, priority: RAW },
        rules: [
          {
            statements: [
              { kind: 'match', left: own, right: local },
              { kind: 'match', left: 'meta l4proto', right: 'udp' },
              { kind: 'match', left: 'th dport', right: port },
              { kind: 'notrack' },
            ],
          },
        ],
      }),
    ),
  ];
}
