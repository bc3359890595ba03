// Room cni: the plugin put where container runtimes look for it: the thin client, and a conflist that names it.
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../observe/fault.ts';
import { makeFolder } from '../sys/folder.ts';
import { isArchitecture } from '../wire/elf/executable.ts';
import { nodeDataDir } from './attachment.ts';
import { LONGEST_SOCKET_PATH } from './call.ts';
import { DATA_DIR, readConfig } from './config.ts';
import { CniError } from './error.ts';
import { readIpam } from './ipam-config.ts';
import { shimProgram } from './shim.ts';
import { NEWEST } from './version.ts';

/** Where runtimes look unless they are told otherwise. */
export const BIN_DIR = '/opt/cni/bin';
export const CONF_DIR = '/etc/cni/net.d';

export interface InstallOptions {
  readonly binDir: string;
  /** Of the agent that takes the calls. */
  readonly socket: string;
  /** The plugin that needs no agent. */
  readonly fallback: string;
  /** As process.arch has it. */
  readonly architecture: string;
}

const NAMES = { interface: 'podwire-cni', ipam: 'podwire' } as const;

/** What runtimes start: `podwire-cni`, and `podwire`, its IPAM alone. Returns the files. Throws a Fault. */
export function installProgram({ binDir, socket, fallback, architecture }: InstallOptions): string[] {
  const files = filesIn(binDir);
  requireFolder(binDir);
  for (const path of Object.values(files)) requireOurs(path);
  if (isArchitecture(architecture)) {
    if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
      throw new Fault(`the path ${socket} is longer than the ${LONGEST_SOCKET_PATH} bytes that a socket's can have`, {
        mend: 'choose another with --socket',
      });
    }
    replace(files.interface, (path) =>
      writeFileSync(path, shimProgram({ architecture, socket, fallback }), { mode: 0o755 }),
    );
  } else replace(files.interface, (path) => symlinkSync(fallback, path));
  replace(files.ipam, (path) => symlinkSync(NAMES.interface, path));
  return Object.values(files);
}

function requireFolder(path: string): void {
  try {
    makeFolder(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'EEXIST' || code === 'ENOTDIR' ? `${path} is no folder` : `${path} cannot be made: ${message}`;
    throw new Fault(why, { mend: 'choose another with --bin-dir or --conf-dir', cause });
  }
}

export function filesIn(binDir: string) {
  return { interface: join(binDir, NAMES.interface), ipam: join(binDir, NAMES.ipam) };
}

/** A program that is being run cannot be written to, but another can take its name. */
function replace(path: string, write: (path: string) => void): void {
  const fresh = `${path}.${process.pid}.new`;
  rmSync(fresh, { force: true });
  write(fresh);
  renameSync(fresh, path);
}

/** Whatever else is there is somebody's. */
function requireOurs(path: string): void {
  if (existsSync(path) && !isOurs(path)) {
    throw new Fault(`${path} is not podwire's`, { mend: 'remove it, or choose another folder with --bin-dir' });
  }
}

/** Both the thin client and the script name the plugin. */
function isOurs(path: string): boolean {
  return readFileSync(path).includes('podwire-cni');
}

/** Returns what was removed. */
export function removeProgram(binDir: string): string[] {
  const ours = Object.values(filesIn(binDir)).filter((path) => existsSync(path) && isOurs(path));
  for (const path of ours) rmSync(path);
  return ours;
}

export interface NetworkOptions {
  readonly name: string;
  /** One address of each. */
  readonly subnets: readonly string[];
}

const CAPABILITIES = { portMappings: true, bandwidth: true, ips: true, mac: true, ipRanges: true, dns: true };

/** A network of the plugin alone. Versions from 1.1.0 on bring GC and STATUS; older runtimes read `cniVersion`. */
export function standaloneConflist({ name, subnets }: NetworkOptions): Conflist {
  const ipam = { type: NAMES.ipam, ranges: subnets.map((subnet) => [{ subnet }]) };
  return conflist(name, { ipMasq: true, capabilities: CAPABILITIES, ipam });
}

/** A node's pod network. `nodeDir` is the node's directory of state. */
export function nodeConflist(name: string, nodeDir: string): Conflist {
  const { ipRanges: _, ...capabilities } = CAPABILITIES;
  return conflist(name, { nodeDir, capabilities });
}

export interface Conflist {
  readonly name: string;
  readonly plugins: readonly object[];
}

function conflist(name: string, plugin: object): Conflist {
  const versions = { cniVersion: '1.0.0', cniVersions: ['0.4.0', '1.0.0', '1.1.0'] };
  return { ...versions, name, plugins: [{ type: NAMES.interface, ...plugin }] };
}

/** Before anything is written: what the plugin would refuse at the first container. Throws a Fault. */
export function checkNetwork({ name, plugins }: Conflist): void {
  try {
    for (const plugin of plugins) {
      const { reader, nodeDir } = readConfig(JSON.stringify({ ...plugin, cniVersion: NEWEST, name }), {});
      if (nodeDir === undefined) readIpam(reader, {});
    }
  } catch (cause) {
    if (!(cause instanceof CniError)) throw cause;
    throw new Fault(`network "${name}": ${cause.message}`, { mend: 'see --network and --subnet', exitCode: 2, cause });
  }
}

export function conflistPath(confDir: string, network: string): string {
  return join(confDir, `10-${network}.conflist`);
}

export interface InstalledNetwork {
  /** Whether the plugin in it is ours. */
  readonly ours: boolean;
  /** Of a node's network. */
  readonly nodeDir: string | undefined;
  /** Where its attachments are on record. */
  readonly dataDir: string;
}

/** Undefined when there is none of that name. Throws a Fault when the file is damaged. */
export function installedNetwork(confDir: string, network: string): InstalledNetwork | undefined {
  const path = conflistPath(confDir, network);
  if (!existsSync(path)) return undefined;
  const plugin = pluginsIn(path).find(({ type }) => type === NAMES.interface);
  const { nodeDir, dataDir = DATA_DIR } = plugin ?? {};
  return { ours: plugin !== undefined, nodeDir, dataDir: nodeDir === undefined ? dataDir : nodeDataDir(nodeDir) };
}

interface PluginConfig {
  readonly type?: string;
  readonly nodeDir?: string;
  readonly dataDir?: string;
}

function pluginsIn(path: string): readonly PluginConfig[] {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { plugins?: PluginConfig[] }).plugins ?? [];
  } catch (cause) {
    throw new Fault(`${path} is damaged: ${(cause as Error).message}`, { mend: 'remove it', cause });
  }
}

/** Files of networks other than this one that name our plugin. Whoever wrote them may have written no JSON. */
export function networksBeside(confDir: string, network: string): string[] {
  if (!existsSync(confDir)) return [];
  return readdirSync(confDir)
    .filter((file) => /\.(conf|conflist|json)$/.test(file) && join(confDir, file) !== conflistPath(confDir, network))
    .filter((file) => /"type"\s*:\s*"podwire(-cni)?"/.test(readFileSync(join(confDir, file), 'utf8')));
}

export function installConflist(confDir: string, network: string, content: object): string {
  const path = conflistPath(confDir, network);
  requireFolder(confDir);
  replace(path, (fresh) => writeFileSync(fresh, `${JSON.stringify(content, undefined, 2)}\n`));
  return path;
}
