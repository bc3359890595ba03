// Room cli: `podwire cni agent | install | show | uninstall`.
import { existsSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { constants, setPriority } from 'node:os';
import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { isPrefix } from '../addr/prefix.ts';
import { knownCluster, nameFlag } from '../cluster/known.ts';
import { knownClusters, nodeDir } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { type Attachment, Attachments, networksIn, nodeDataDir } from '../cni/attachment.ts';
import { lossOf } from '../cni/audit.ts';
import { nodeSocket } from '../cni/call.ts';
import { DATA_DIR } from '../cni/config.ts';
import {
  checkNetwork,
  conflistPath,
  installConflist,
  installedNetwork,
  installProgram,
  networksBeside,
  nodeConflist,
  removeProgram,
  standaloneConflist,
} from '../cni/install.ts';
import { startResident } from '../cni/resident.ts';
import { tookText } from '../cni/steps.ts';
import { Fault } from '../observe/fault.ts';
import { installed } from '../observe/install.ts';
import { makeFolder } from '../sys/folder.ts';
import { nodesOf } from './ipam.ts';
import { formatTable } from './table.ts';

interface PlaceFlags {
  readonly binDir: string;
  readonly confDir: string;
  readonly network: string;
}

interface InstallFlags extends PlaceFlags {
  /** The cluster. */
  readonly name: string;
  readonly node?: string;
  readonly socket: string;
  readonly subnet: readonly string[];
  readonly conflist: boolean;
}

export function runCniInstall(flags: InstallFlags): void {
  requireRoot();
  const { binDir, confDir, network, node, conflist, subnet } = flags;
  const dir = node === undefined ? undefined : nodeDir(knownCluster(flags.name), node);
  if (dir !== undefined && !existsSync(dir)) {
    throw new Fault(`cluster ${flags.name} has no node ${node}`, {
      mend: `podwire status${nameFlag(flags.name)}, which lists the nodes`,
    });
  }
  if (conflist) requireSameNetwork(flags, dir);
  for (const cidr of subnet) if (!isPrefix(cidr)) throw new Fault(`--subnet: ${cidr} is no prefix`, { exitCode: 2 });
  const content =
    dir === undefined ? standaloneConflist({ name: network, subnets: subnet }) : nodeConflist(network, dir);
  if (conflist) checkNetwork(content);
  const socket = dir === undefined ? flags.socket : nodeSocket(dir);
  const fallback = installed('bin', 'podwire-cni');
  const written = installProgram({ binDir, socket, fallback, architecture: process.arch });
  if (conflist) written.push(installConflist(confDir, network, content));
  for (const path of written) console.log(path);
  if (dir === undefined) console.log("Works as it is; ten times faster while 'podwire cni agent' runs.");
}

/** A network keeps its name for as long as it is there: containers on it are taken away under that name. */
function requireSameNetwork({ confDir, network, node }: InstallFlags, dir: string | undefined): void {
  const there = installedNetwork(confDir, network);
  if (!there || (there.ours && there.nodeDir === dir)) return;
  const whose = there.ours
    ? there.nodeDir
      ? `of the node in ${there.nodeDir}`
      : 'of this machine alone'
    : 'not podwire’s';
  throw new Fault(`${conflistPath(confDir, network)} is there already, a network ${whose}`, {
    mend: `--network ${node && node !== network ? node : 'NAME'} makes one beside it; podwire cni uninstall --network ${network} takes it away`,
  });
}

export function runCniUninstall({ binDir, confDir, network, force }: PlaceFlags & { readonly force?: boolean }): void {
  requireRoot();
  if (!force) requireNobody(confDir, network);
  const others = networksBeside(confDir, network);
  const removed = others.length > 0 ? [] : removeProgram(binDir);
  const conflist = conflistPath(confDir, network);
  if (existsSync(conflist)) {
    rmSync(conflist);
    removed.push(conflist);
  }
  for (const path of removed) console.log(`Removed ${path}.`);
  if (removed.length === 0) console.log('There was nothing.');
  if (others.length > 0) console.log(`The plugin stays, for ${others.join(', ')} in ${confDir}.`);
}

/** A runtime that finds no plugin for its DEL leaves the container's rules and its address behind. */
function requireNobody(confDir: string, network: string): void {
  const there = installedNetwork(confDir, network);
  const attached = there?.ours ? new Attachments(there.dataDir, network).all() : [];
  const alive = attached.filter(({ netns, pin = netns }) => lossOf(pin) === undefined);
  if (alive.length === 0) return;
  const names = alive.map(
    ({ containerID, ifname, ips }) => `${containerID.slice(0, 12)}/${ifname} (${ips.join(', ')})`,
  );
  throw new Fault(`containers are attached to network ${network}: ${names.join(', ')}`, {
    mend: 'remove them first, for which their runtime needs the plugin; --force takes it away all the same, and podwire ipam release --leaked what they leave',
  });
}

/** Until SIGTERM or SIGINT. */
export async function runCniAgent({ socket }: { readonly socket: string }): Promise<void> {
  requireRoot();
  if (statSync(socket, { throwIfNoEntry: false })?.isSocket() === false)
    throw new Fault(`${socket} is there and no socket`, { mend: 'choose another with --socket' });
  if (await isTaken(socket)) {
    throw new Fault(`an agent takes calls at ${socket} already`, { mend: 'one is enough; --socket starts another' });
  }
  try {
    makeFolder(dirname(socket), 0o700);
  } catch (cause) {
    const why = `the folder of ${socket} cannot be made: ${(cause as Error).message}`;
    throw new Fault(why, { mend: 'choose another with --socket', cause });
  }
  goFirst();
  optimizeLater();
  const agent = startResident(socket);
  console.log(`podwire cni agent: taking calls at ${socket}`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void agent.close().finally(() => process.exit(0)));
  }
}

/** Each container that starts waits for it, just while those that started before it take all processors. */
function goFirst(): void {
  try {
    setPriority(constants.priority.PRIORITY_ABOVE_NORMAL);
  } catch {
    // Without CAP_SYS_NICE it takes its turn with the others.
  }
}

/**
 * Its first calls come fifty at once, each a millisecond of code that has hardly run before: to optimize that at the same moment takes
 * a fifth of the processors' time from them, and from the programs that call. Loops are optimized as ever.
 */
function optimizeLater(): void {
  for (const [tier, calls] of [
    ['maglev', 10_000],
    ['turbofan', 100_000],
  ] as const) {
    setFlagsFromString(`--invocation-count-for-${tier}=${calls}`);
  }
}

function isTaken(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', () => resolve(false));
  });
}

/** Of the stand-alone plugin, and of other runtimes on nodes of this machine's clusters. */
export function runCniShow({
  output,
  dataDir = DATA_DIR,
}: {
  readonly output: string;
  readonly dataDir?: string;
}): void {
  requireRoot();
  const nodes = knownClusters().flatMap((cluster) =>
    nodesOf(cluster).flatMap((node) => attachedIn(nodeDataDir(nodeDir(cluster, node)), `node ${cluster}/${node}`)),
  );
  const attached = [...attachedIn(dataDir, 'this machine'), ...nodes];
  if (output === 'json') console.log(JSON.stringify(attached, undefined, 2));
  else if (attached.length === 0) console.log('Nothing is attached.');
  else {
    const rows = attached.map(({ where, network, containerID, ifname, ips, attachedAt, took }) => [
      where,
      network,
      `${containerID.slice(0, 12)}/${ifname}`,
      ips.join(', '),
      attachedAt,
      took ? tookText(took) : 'not told yet',
    ]);
    console.log(formatTable([['WHERE', 'NETWORK', 'CONTAINER', 'ADDRESSES', 'ATTACHED', 'ADD TOOK'], ...rows]));
  }
}

function attachedIn(dataDir: string, where: string): (Attachment & { readonly where: string })[] {
  return networksIn(dataDir).flatMap((network) =>
    new Attachments(dataDir, network).all().map((attachment) => ({ where, ...attachment })),
  );
}
