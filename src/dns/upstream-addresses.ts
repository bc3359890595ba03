// Room dns: the upstream resolvers of a config: which addresses they are, and from which namespace they are reached.
import { isIP } from '../addr/ip.ts';
import { type CIDR, prefixContains } from '../addr/prefix.ts';
import type { UpstreamAddress } from './upstream-socket.ts';

export interface UpstreamPolicy {
  /** Our own addresses: a question sent there would come back. */
  readonly dnsIPs: readonly string[];
  /** Ranges that are reached from the node's own namespace: nodes, pods, Services. */
  readonly nearCIDRs: readonly CIDR[];
  /** The namespace for all other upstreams; absent: the thread's own. */
  readonly netns?: string | undefined;
}

/** `address` or `address#port` as configured; what is no address, or is ourselves, is left out and reported. */
export function parseUpstreams(
  texts: readonly string[],
  policy: UpstreamPolicy,
): { upstreams: UpstreamAddress[]; refused: string[] } {
  const upstreams: UpstreamAddress[] = [];
  const refused: string[] = [];
  for (const text of texts) {
    const [ip = '', portText = '53'] = text.split('#');
    const port = Number(portText);
    const valid = isIP(ip) && Number.isInteger(port) && port > 0 && port < 65536;
    if (!valid || (policy.dnsIPs.includes(ip) && port === 53)) {
      refused.push(text);
      continue;
    }
    const near = policy.nearCIDRs.some((cidr) => prefixContains(cidr, ip));
    upstreams.push({ ip, port, ...(policy.netns !== undefined && !near && { netns: policy.netns }) });
  }
  return { upstreams, refused };
}
