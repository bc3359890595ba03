// Room trace: the way out of a node in words: the route that matched, and what is put around the packet.
import { familyOf, type IP } from '../addr/ip.ts';
import { refText } from '../objects/types.ts';
import { IPIP_LINK } from '../plan/overlay/ipip.ts';
import { UDP_LINK, UDP_PORT } from '../plan/overlay/udp.ts';
import { VXLAN_LINK } from '../plan/overlay/vxlan.ts';
import type { Hop } from './hop.ts';
import type { NodeView, RouteFound } from './node-view.ts';

export function overlayWords(view: NodeView, { route, cause }: RouteFound): Pick<Hop, 'says' | 'by' | 'stage'> {
  const { overlay } = view.knows;
  const by = [refText(cause)];
  const way = `route ${route.dst}${route.via ? ` via ${route.via}` : ''} dev ${route.link}`;
  const ends = outerEnds(view, { route, cause });
  const wrapped = (header: string) => ({ stage: 'overlay', says: `${way}, in ${header}: ${ends}`, by }) as const;
  if (route.link === VXLAN_LINK) return wrapped(`VXLAN ${overlay.vxlan.vni}, UDP port ${overlay.vxlan.port}`);
  if (route.link === IPIP_LINK) return wrapped('IP in IP');
  if (route.link === UDP_LINK) return wrapped(`UDP port ${UDP_PORT}`);
  const isWrapped = view.items.some((item) => item.kind === 'ipip-peer' && !item.receiveOnly && item.dst === route.dst);
  if (isWrapped) return wrapped('IP in IP (eBPF)');
  return { stage: 'route', says: `${way}, as it is`, by };
}

/** Addresses of the outer header. */
function outerEnds(view: NodeView, { cause }: RouteFound): string {
  const [local] = view.knows.facts.nodeIPs;
  const remote = view.knows.remotes.find(({ name }) => name === cause.name);
  const far = remote && sameUnderlay(remote.ips, local!);
  return `${local} -> ${far ?? cause.name}`;
}

function sameUnderlay(ips: readonly IP[], local: IP): IP | undefined {
  return ips.find((ip) => familyOf(ip) === familyOf(local));
}
