// Room plan: pods of other nodes by plain routes over the segment that all nodes share: the far node is the gateway.
import { networkOf } from '../../addr/prefix.ts';
import type { OverlayBackend } from './backend.ts';

export const hostGw: OverlayBackend = {
  overhead: () => 0,
  carries: () => true,
  own: () => [],
  peer: () => [],
  way: ({ nodeLink }, { podCIDR, gateway, src }) =>
    gateway === undefined
      ? []
      : [
          {
            kind: 'route',
            dst: networkOf(podCIDR),
            type: 'unicast',
            via: gateway,
            link: nodeLink,
            ...(src && { src }),
          },
        ],
};
