// Room plan: no overlay: the fabric's own router knows every node's pods, and all that leaves the node goes there.
import { familyOf } from '../../addr/ip.ts';
import { networkOf, parsePrefix } from '../../addr/prefix.ts';
import type { OverlayBackend } from './backend.ts';

export const none: OverlayBackend = {
  overhead: () => 0,
  carries: () => true,
  own: () => [],
  peer: () => [],
  way: ({ nodeLink, routers }, { podCIDR, src }) => {
    const dst = networkOf(podCIDR);
    const via = routers.find((ip) => familyOf(ip) === parsePrefix(dst).family);
    return via === undefined ? [] : [{ kind: 'route', dst, type: 'unicast', via, link: nodeLink, ...(src && { src }) }];
  },
};
