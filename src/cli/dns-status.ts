// Room cli: `podwire dns`: what each node's DNS server has done, and who answers it.
import type { DnsStatus } from '../dns/start.ts';
import { readStatus } from './status.ts';
import { formatTable } from './table.ts';

interface Row {
  readonly node: string;
  /** Absent: the node's agent does not answer. */
  readonly dns?: DnsStatus;
}

export async function runDnsStatus({
  name,
  output,
}: {
  readonly name: string;
  readonly output: string;
}): Promise<void> {
  const { nodes } = await readStatus(name);
  const rows = nodes.map(({ name: node, agent }): Row => ({ node, ...(agent && { dns: agent.dns }) }));
  if (output === 'json') {
    console.log(JSON.stringify(rows, undefined, 2));
    return;
  }
  const head = ['NODE', 'READY', 'QUERIES', 'NXDOMAIN', 'SERVFAIL', 'P50', 'P99', 'CACHED', 'HITS', 'RESOLVERS'];
  console.log(formatTable([head, ...rows.map(cells)]));
}

function cells({ node, dns }: Row): string[] {
  if (!dns) return [node, 'no answer', ...new Array<string>(8).fill('-')];
  const { queries, rcodes, latency, cache, upstreams } = dns;
  const all = queries.udp + queries.tcp;
  return [
    node,
    dns.synced ? 'yes' : 'no',
    String(all),
    share(rcodes['NXDOMAIN'], all),
    share(rcodes['SERVFAIL'], all),
    `${latency.p50.toFixed(3)} ms`,
    `${latency.p99.toFixed(3)} ms`,
    String(cache.entries),
    share(cache.hits, cache.hits + cache.misses),
    upstreams
      .map(
        ({ address, healthy, looping }) => `${address} ${looping ? 'leads back here' : healthy ? 'answers' : 'silent'}`,
      )
      .join(', ') || 'none',
  ];
}

function share(count = 0, all: number): string {
  return all === 0 ? '-' : `${Math.round((count / all) * 100)} %`;
}
