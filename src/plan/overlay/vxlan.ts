// Room plan: pods of other nodes through VXLAN (RFC 7348) with every entry programmed: no flooding, no learning.
import { familyOf, type IP } from '../../addr/ip.ts';
import { type MAC, macFromIP } from '../../addr/mac.ts';
import { networkOf, parsePrefix } from '../../addr/prefix.ts';
import type { OverlayBackend } from './backend.ts';

export const VXLAN_LINK = 'pw-vxlan';
const VTEP_ROLE = 0x76;

/** Every node knows every other's tunnel end without asking: its MAC follows from the node's address. */
export function vtepMac(nodeIP: IP): MAC {
  return macFromIP(nodeIP, VTEP_ROLE);
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
    ];
  },
  peer: (_, remote) => [{ kind: 'fdb', link: VXLAN_LINK, mac: vtepMac(remote), dst: remote }],
  // The prefix's network address, which no pod has, stands for the node's tunnel end.
  way: (_, { podCIDR, remote, src }) => {
    const dst = networkOf(podCIDR);
    const { ip: via } = parsePrefix(dst);
    return [
      { kind: 'neighbour', link: VXLAN_LINK, ip: via, mac: vtepMac(remote) },
      { kind: 'route', dst, type: 'unicast', via, link: VXLAN_LINK, onlink: true, ...(src && { src }) },
    ];
  },
};
