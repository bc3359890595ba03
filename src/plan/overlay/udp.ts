// Room plan: pods of other nodes through a TUN device that the agent reads: slow, and with nothing of the kernel but UDP.
import { familyOf } from '../../addr/ip.ts';
import { networkOf } from '../../addr/prefix.ts';
import type { OverlayBackend } from './backend.ts';

export const UDP_LINK = 'pw-udp';
/** Flannel's for the same. */
export const UDP_PORT = 8285;

export const udp: OverlayBackend = {
  // Outer IP and UDP.
  overhead: (underlay) => (underlay === 4 ? 20 : 40) + 8,
  carries: () => true,
  own: ({ nodeIPs, mtu }) => [
    { kind: 'link', name: UDP_LINK, mtu: mtu - udp.overhead(familyOf(nodeIPs[0]!)), up: true, type: { kind: 'tun' } },
    // As with VXLAN: what comes from a node itself has its way back over the fabric.
    { kind: 'sysctl', key: `net/ipv4/conf/${UDP_LINK}/rp_filter`, value: '0' },
  ],
  peer: () => [],
  way: (_, { podCIDR, src }) => [
    { kind: 'route', dst: networkOf(podCIDR), type: 'unicast', link: UDP_LINK, ...(src && { src }) },
  ],
};
