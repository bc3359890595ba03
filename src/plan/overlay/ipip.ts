// Room plan: pods of other nodes through IP in IP (RFC 2003): 20 bytes, no ports, no entries: the route names the far node.
import { networkOf } from '../../addr/prefix.ts';
import type { OverlayBackend } from './backend.ts';

export const IPIP_LINK = 'pw-ipip';

export const ipip: OverlayBackend = {
  overhead: () => 20,
  // The protocol has IPv4 outside and inside.
  carries: (pods, underlay) => pods === 4 && underlay === 4,
  own: ({ nodeIPs, mtu }) => [
    { kind: 'link', name: IPIP_LINK, mtu: mtu - 20, up: true, type: { kind: 'ipip', local: nodeIPs[0]! } },
    // As with VXLAN: what comes from a node itself has its way back over the fabric.
    { kind: 'sysctl', key: `net/ipv4/conf/${IPIP_LINK}/rp_filter`, value: '0' },
  ],
  peer: () => [],
  // A tunnel without a far end of its own sends each packet to the gateway of its route.
  way: (_, { podCIDR, remote, src }) => [
    {
      kind: 'route',
      dst: networkOf(podCIDR),
      type: 'unicast',
      via: remote,
      link: IPIP_LINK,
      onlink: true,
      ...(src && { src }),
    },
  ],
};
