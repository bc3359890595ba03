// Room plan: IP in IP for kernels without the tunnel device: routes to the next hop, and a program on the leg that wraps on the way out.
import { familyOf } from '../../addr/ip.ts';
import { networkOf, prefixContains } from '../../addr/prefix.ts';
import type { OverlayBackend } from './backend.ts';
import { ipip } from './ipip.ts';

export const ipipEbpf: OverlayBackend = {
  overhead: ipip.overhead,
  carries: ipip.carries,
  own: ({ nodeLink, nodeIPs }) => [{ kind: 'ipip', link: nodeLink, local: nodeIPs[0]! }],
  peer: () => [],
  receive: ({ nodeLink }, { podCIDR, remote }) => [
    { kind: 'ipip-peer', link: nodeLink, dst: networkOf(podCIDR), remote, receiveOnly: true },
  ],
  way: ({ nodeLink, segmentCIDRs, routers, mtu }, { podCIDR, remote, src }) => {
    const dst = networkOf(podCIDR);
    const near = segmentCIDRs.some((cidr) => prefixContains(cidr, remote));
    const via = near ? remote : routers.find((ip) => familyOf(ip) === 4);
    if (via === undefined) return [];
    return [
      { kind: 'ipip-peer', link: nodeLink, dst, remote },
      // What the node itself sends, from a link with the whole MTU, must have room for the outer header too.
      { kind: 'route', dst, type: 'unicast', via, link: nodeLink, mtu: mtu - ipip.overhead(4), ...(src && { src }) },
    ];
  },
};
