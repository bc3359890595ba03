// Room cluster: picks CIDRs and a port that no other cluster and no route of the machine uses.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { bigIntToIP } from '../addr/ip.ts';
import { type CIDR, prefixesOverlap } from '../addr/prefix.ts';
import { Fault } from '../observe/fault.ts';
import { replaceFile } from '../sys/durable-file.ts';
import { makeFolder } from '../sys/folder.ts';
import { type ClusterConfig, defaultConfig, mergeConfig, type PartialConfig, SLOTS } from './config.ts';
import { requireFit } from './fit.ts';
import { clusterPaths, knownClusters } from './paths.ts';

/** Decides every field: what the user said, else the first slot of defaults that is free. Throws a Fault naming the clash. */
export async function decideConfig(name: string, ...said: readonly PartialConfig[]): Promise<ClusterConfig> {
  const taken = takenCIDRs(name);
  const wishedPort = said.findLast((part) => part.api?.port !== undefined)?.api?.port;
  if (wishedPort !== undefined) await requirePort(wishedPort, 'choose another with --api-port or api.port');
  let clash = '';
  for (let slot = 0; slot < SLOTS; slot++) {
    const config = mergeConfig(defaultConfig(name, slot), ...said, { name });
    requireFit(config);
    const found = clashOf(config, taken);
    clash ||= found ?? '';
    if (found || (wishedPort === undefined && !(await portIsFree(config.api.port)))) continue;
    return config;
  }
  throw new Fault(clash || 'no port from 6443 on is free on 127.0.0.1', {
    mend: 'choose other CIDRs in the config file (network.nodeCIDRs, podCIDRs, serviceCIDRs)',
  });
}

function cidrsOf(config: ClusterConfig): CIDR[] {
  const { nodeCIDRs, podCIDRs, serviceCIDRs } = config.network;
  return [...nodeCIDRs, ...podCIDRs, ...serviceCIDRs, ...(config.furtherCIDRs ?? [])];
}

function clashOf(config: ClusterConfig, taken: readonly { cidr: CIDR; by: string }[]): string | undefined {
  const own = cidrsOf(config);
  for (const [i, cidr] of own.entries()) {
    const twin = own.slice(0, i).find((other) => prefixesOverlap(cidr, other));
    if (twin) return `${cidr} and ${twin} of the cluster overlap`;
    const other = taken.find((each) => prefixesOverlap(each.cidr, cidr));
    if (other) return `${cidr} overlaps ${other.cidr} of ${other.by}`;
  }
  return undefined;
}

function takenCIDRs(self: string, counts: (route: MachineRoute) => boolean = () => true): { cidr: CIDR; by: string }[] {
  const routes = machineRoutes()
    .filter(counts)
    .map(({ cidr }) => ({ cidr, by: "the machine's routes" }));
  const clusters = knownClusters().filter((name) => name !== self);
  return [
    ...routes,
    ...clusters.flatMap((name) => clusterCIDRs(name).map((cidr) => ({ cidr, by: `cluster ${name}` }))),
  ];
}

function clusterCIDRs(name: string): CIDR[] {
  try {
    const config = storedConfig(name);
    return config ? cidrsOf(config) : [];
  } catch {
    // Damaged: what it has in the machine's routes is seen there.
    return [];
  }
}

/** The effective config of a cluster that has been started before. Throws a Fault when it is damaged. */
export function storedConfig(name: string): ClusterConfig | undefined {
  const file = clusterPaths(name).config;
  try {
    const config = JSON.parse(readFileSync(file, 'utf8')) as ClusterConfig;
    // Fields that were not there yet when it was written have their defaults.
    if (config.network.nodeCIDRs.length > 0 && config.api.port > 0) return mergeConfig(defaultConfig(name, 0), config);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code !== undefined) throw error;
  }
  throw new Fault(`${file} is damaged`, { mend: `podwire down --name ${name}, which takes down what runs` });
}

/** What is written is whole and stays, even when the disk fills up, we are killed, or the machine crashes. */
export function storeConfig(config: ClusterConfig): void {
  const { dir, config: file } = clusterPaths(config.name);
  try {
    makeFolder(dir, 0o755);
    replaceFile(file, `${JSON.stringify(config, undefined, 2)}\n`);
  } catch (cause) {
    throw new Fault(`the state of cluster ${config.name} cannot be written: ${(cause as Error).message}`, {
      mend: 'make room there, or set PODWIRE_STATE to another folder',
      cause,
    });
  }
}

/** Who on this machine has addresses of the prefix, other than by its default route and the cluster `self`, whose link is `link`. */
export function strangerOf(prefix: CIDR, self: string, link: string): string | undefined {
  const others = takenCIDRs(self, (route) => route.link !== link && !route.isRefused);
  return others.find(({ cidr }) => prefixesOverlap(cidr, prefix))?.by;
}

interface MachineRoute {
  readonly cidr: CIDR;
  readonly link: string;
  /** It leads nowhere, as a cluster's do when its nodes are away. */
  readonly isRefused: boolean;
}

const RTF_REJECT = 0x200;

/** IPv4 routes of the machine but the default route, from /proc/net/route (hexadecimal in host order). */
function machineRoutes(): MachineRoute[] {
  const lines = readFileSync('/proc/self/net/route', 'utf8').split('\n').slice(1);
  return lines.flatMap((line) => {
    const [link = '', destination, , flags = '0', , , , mask] = line.split('\t');
    if (!destination || !mask) return [];
    const length = swap(mask).toString(2).replaceAll('0', '').length;
    const isRefused = (Number.parseInt(flags, 16) & RTF_REJECT) !== 0;
    const cidr = `${bigIntToIP(BigInt(swap(destination)), 4)}/${length}`;
    return length === 0 ? [] : [{ cidr, link, isRefused }];
  });
}

function swap(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE(0);
}

/** Throws a Fault when somebody listens on the port. */
export async function requirePort(port: number, mend: string): Promise<void> {
  if (await portIsFree(port)) return;
  throw new Fault(`port ${port} on 127.0.0.1 is busy`, {
    mend: `${mend}; 'ss -ltnp sport = :${port}' names who has it`,
  });
}

function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
