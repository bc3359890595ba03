// Room cli: `podwire ipam show | check | release`.
import { readdirSync } from 'node:fs';
import { isIP } from '../addr/ip.ts';
import { clusterPaths, knownClusters, nodeDir } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import {
  type HeldAddress,
  heldByNode,
  heldInNetworks,
  type Released,
  releaseAddress,
  unmatched,
} from '../cni/audit.ts';
import { DATA_DIR } from '../cni/config.ts';
import { Fault } from '../observe/fault.ts';
import { formatTable } from './table.ts';

interface IpamFlags {
  readonly output: string;
  readonly dataDir?: string;
  readonly network?: string;
  readonly leaked?: boolean;
}

function allHeld(dataDir: string): HeldAddress[] {
  const nodes = knownClusters().flatMap((cluster) =>
    nodesOf(cluster).flatMap((node) => heldByNode(nodeDir(cluster, node), `${cluster}/${node}`)),
  );
  return [...nodes, ...heldInNetworks(dataDir)];
}

/** Names of a cluster's nodes that have state. */
export function nodesOf(cluster: string): string[] {
  try {
    return readdirSync(clusterPaths(cluster).nodes).sort();
  } catch {
    // A cluster that is just coming up, or going down.
    return [];
  }
}

export function runIpamShow({ output, dataDir = DATA_DIR, network }: IpamFlags): void {
  const wanted = network === undefined ? undefined : `network ${network}`;
  const held = allHeld(dataDir).filter(({ where }) => wanted === undefined || where === wanted);
  print(held, output, 'No address is held.');
}

/** Exit code 3 when something is leaked. */
export function runIpamCheck({ output, dataDir = DATA_DIR }: IpamFlags): void {
  const held = allHeld(dataDir);
  const leaked = held.filter(({ state }) => state === 'leaked');
  const strays = unmatched(dataDir);
  if (output === 'json') console.log(JSON.stringify({ held: held.length, leaked, strays }, undefined, 2));
  else if (leaked.length + strays.length === 0) console.log(`${held.length} addresses, no leak.`);
  else {
    if (leaked.length > 0) print(leaked, output, '');
    for (const stray of strays) console.log(stray);
    console.log('\nTry: podwire ipam release --leaked');
  }
  if (leaked.length + strays.length > 0) process.exitCode = 3;
}

export function runIpamRelease(ips: readonly string[], flags: IpamFlags): void {
  const { output, dataDir = DATA_DIR, network, leaked } = flags;
  requireRoot();
  const lost = leaked ? heldInNetworks(dataDir).filter(({ state }) => state === 'leaked') : [];
  const wanted = [
    ...ips.map((ip) => ({ ip, from: network })),
    ...lost.map(({ ip, where }) => ({ ip, from: where.slice(8) })),
  ];
  if (wanted.length === 0 && !leaked) {
    throw new Fault('which addresses?', {
      mend: 'podwire ipam release 10.22.0.7, or podwire ipam release --leaked',
      exitCode: 2,
    });
  }
  const done: Released[] = [];
  for (const { ip, from } of wanted) {
    if (!isIP(ip)) throw new Fault(`${ip} is not an IP address`, { exitCode: 2 });
    const released = releaseAddress(dataDir, ip, from);
    // A lease of two addresses is released with the first.
    if (released) done.push(released);
    else if (!leaked && !done.some((each) => each.ips.includes(ip)))
      throw new Fault(`nobody holds ${ip}`, { mend: 'see who holds what: podwire ipam show' });
  }
  if (output === 'json') console.log(JSON.stringify(done, undefined, 2));
  else
    for (const each of done) console.log(`Released network ${each.network}: ${each.ips.join(', ')} of ${each.holder}.`);
}

function print(held: readonly HeldAddress[], output: string, none: string): void {
  if (output === 'json') console.log(JSON.stringify(held, undefined, 2));
  else if (held.length === 0) console.log(none);
  else {
    const rows = held.map((each) => [
      each.ip,
      each.state,
      each.where,
      each.pod || each.holder || '-',
      each.since,
      each.why ?? '',
    ]);
    console.log(formatTable([['ADDRESS', 'STATE', 'WHERE', 'HOLDER', 'SINCE', ''], ...rows]));
  }
}
