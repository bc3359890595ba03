// Room kernel: rules in a namespace that are not ours: packets of pods and Services pass them too.
import { readFileSync } from 'node:fs';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { inNetns } from '../sys/netns.ts';
import { decodeHook, dumpBody, type HookedChain } from '../wire/nft/dump.ts';
import { CHAIN, message } from '../wire/nft/message.ts';

const OURS = 'podwire';
const LEGACY = { ip_tables_names: 'iptables-legacy', ip6_tables_names: 'ip6tables-legacy' } as const;

/** As an operator would name them: `table inet firewall (forward, drops what it does not accept)`. `netns`: path of the namespace. */
export function foreignRules(netns: string): string[] {
  using socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
  const messages = socket.dump({ type: message(CHAIN.GET), flags: 0, body: dumpBody(undefined) });
  const chains = messages.map(({ body }) => decodeHook(body)).filter((each) => each !== undefined);
  const tables = Map.groupBy(
    chains.filter(({ table }) => !table.startsWith(OURS)),
    ({ family, table }) => `${family} ${table}`,
  );
  return [...[...tables].map(([name, hooks]) => describe(name, hooks)), ...legacyTables(netns)];
}

function describe(name: string, chains: readonly HookedChain[]): string {
  const hooks = [...new Set(chains.map(({ hook }) => hook))].join(', ');
  const drops = chains.some((chain) => chain.drops) ? '; drops what it does not accept' : '';
  return `table ${name} (${hooks}${drops})`;
}

/** A table is there as soon as somebody has looked at it. */
function legacyTables(netns: string): string[] {
  return Object.entries(LEGACY).flatMap(([file, program]) => {
    try {
      const names = inNetns(netns, () => readFileSync(`/proc/thread-self/net/${file}`, 'utf8'));
      const tables = names.split('\n').filter((name) => name !== '');
      return tables.length > 0 ? [`${program}: ${tables.join(', ')}`] : [];
    } catch {
      // This kernel has none.
      return [];
    }
  });
}
