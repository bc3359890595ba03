// Room cli: `podwire ipam show | check | release`.
import { readdirSync } from 'node:fs';
import { isIP } from '../addr/ip.ts';
import { knownCluster } from '../cluster/known.ts';
import { clusterPaths, knownClusters, nodeDir } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { type HeldAddress, heldByNode, heldInNetworks, unmatched } from '../cni/audit.ts';
import { DATA_DIR } from '../cni/config.ts';
import { OneCall } from '../cni/host.ts';
import { type ReclaimOptions, type Released, releaseAddress, releaseLost } from '../cni/reclaim.ts';
import { Fault } from '../observe/fault.ts';
import { formatTable } from './table.ts';

interface IpamFlags {
  readonly output: string;
  readonly dataDir?: string;
  readonly network?: string;
  /** Of this cluster's nodes alone. */
  readonly name?: string;
}

interface ReleaseFlags extends IpamFlags {
  readonly leaked?: boolean;
  readonly force?: boolean;
}

function heldByNodes(clusters: readonly string[]): HeldAddress[] {
  return clusters.flatMap((cluster) =>
    nodesOf(cluster).flatMap((node) => heldByNode(nodeDir(cluster, node), `${cluster}/${node}`)),
  );
}

function allHeld(dataDir: string): HeldAddress[] {
  return [...heldByNodes(knownClusters()), ...heldInNetworks(dataDir)];
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

export function runIpamShow({ output, dataDir = DATA_DIR, network, name }: IpamFlags): void {
  // Who may not look would see nothing.
  requireRoot();
  const wanted = network === undefined ? undefined : `network ${network}`;
  const all = name === undefined ? allHeld(dataDir) : heldByNodes([knownCluster(name)]);
  print(
    all.filter(({ where }) => wanted === undefined || where === wanted),
    output,
    'No address is held.',
  );
}

/** Exit code 3 when something is leaked. */
export function runIpamCheck({ output, dataDir = DATA_DIR }: IpamFlags): void {
  requireRoot();
  const held = allHeld(dataDir).filter(({ state }) => state !== 'resting');
  const leaked = held.filter(({ state }) => state === 'leaked');
  const strays = unmatched(dataDir);
  if (output === 'json') console.log(JSON.stringify({ held: held.length, leaked, strays }, undefined, 2));
  else if (leaked.length + strays.length === 0) console.log(`${counted(held.length)}, no leak.`);
  else {
    if (leaked.length > 0) print(leaked, output, '');
    for (const stray of strays) console.log(stray);
    console.log(`\n${mends(leaked, strays).join('\n')}`);
  }
  if (leaked.length + strays.length > 0) process.exitCode = 3;
}

function counted(addresses: number): string {
  return addresses === 1 ? '1 address' : `${addresses} addresses`;
}

function mends(leaked: readonly HeldAddress[], strays: readonly string[]): string[] {
  const nodes = [...new Set(leaked.map(({ where }) => where).filter((where) => where.startsWith('node ')))];
  const clusters = [...new Set(nodes.map((where) => where.slice('node '.length).split('/')[0]))];
  return [
    ...(strays.length > 0 || leaked.some(({ where }) => where.startsWith('network '))
      ? [`Try: ${RELEASE_LEAKED}`]
      : []),
    ...clusters.map(
      (name) => `The agents of cluster ${name} take back theirs; if none runs: podwire up --name ${name}`,
    ),
  ];
}

const RELEASE_LEAKED = 'podwire ipam release --leaked';

export function runIpamRelease(ips: readonly string[], flags: ReleaseFlags): void {
  const { output, dataDir = DATA_DIR, network, leaked, force = false } = flags;
  requireRoot();
  if (ips.length === 0 && !leaked) {
    throw new Fault('which addresses?', { mend: `podwire ipam release 10.22.0.7, or ${RELEASE_LEAKED}`, exitCode: 2 });
  }
  const wrong = ips.find((ip) => !isIP(ip));
  if (wrong !== undefined) throw new Fault(`${wrong} is not an IP address`, { exitCode: 2 });
  using host = new OneCall();
  const options = { dataDir, network, host };
  const done = leaked ? releaseLost(options) : [];
  // A lease of two addresses is released with the first.
  for (const ip of ips) if (!done.some((each) => each.ips.includes(ip))) done.push(releaseOne(ip, force, options));
  if (output === 'json') console.log(JSON.stringify(done, undefined, 2));
  else if (done.length === 0) console.log('Nothing is leaked.');
  else for (const { network, ips, holder } of done) console.log(releasedText(network, ips, holder));
}

function releaseOne(ip: string, force: boolean, options: ReclaimOptions): Released {
  const released = releaseAddress(ip, force, options);
  if (released) return released;
  const pod = heldByNodes(knownClusters()).find((held) => held.ip === ip);
  if (!pod) throw new Fault(`nobody holds ${ip}`, { mend: 'see who holds what: podwire ipam show' });
  throw new Fault(`${ip} is of ${pod.pod || pod.holder} on ${pod.where}, no CNI network's`, {
    mend: 'the node’s agent takes it back when the pod or container is gone',
  });
}

function releasedText(network: string, ips: readonly string[], holder: string): string {
  if (ips.length > 0) return `Released network ${network}: ${ips.join(', ')} of ${holder}.`;
  return `Released network ${network}: what was on record of ${holder}.`;
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
