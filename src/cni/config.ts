// Room cni: the configuration on standard input, read into what our plugin does with it.
import { formatIP, ipBytes, isIP } from '../addr/ip.ts';
import { type CIDR, isPrefix } from '../addr/prefix.ts';
import type { Holder } from '../ipam/file-leases.ts';
import type { Bandwidth, Shape } from '../plan/bandwidth.ts';
import type { HostPort } from '../plan/host-ports.ts';
import { nodeDataDir } from './attachment.ts';
import { CniError, CODE } from './error.ts';
import { isObject, Reader } from './reader.ts';
import { type Environment, NAME } from './request.ts';
import { type Result, type ResultDns, readDns, readResult } from './result.ts';
import { type CniVersion, requireVersion } from './version.ts';

export interface NetConfig {
  readonly cniVersion: CniVersion;
  /** Of the network. */
  readonly name: string;
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  /** A node's directory of state: its agent does the work, with the node's addresses. Absent: the plugin stands alone. */
  readonly nodeDir: string | undefined;
  /** Undefined: that of the node's way out. */
  readonly mtu: number | undefined;
  readonly ipMasq: boolean;
  /** Destinations for which the container's own address stands, besides its network. */
  readonly nonMasqueradeCIDRs: readonly CIDR[];
  readonly mac: string | undefined;
  readonly portMappings: readonly HostPort[];
  readonly bandwidth: Bandwidth;
  readonly dns: ResultDns;
  readonly prevResult: Result | undefined;
  /** Of GC: what is alive. */
  readonly validAttachments: readonly Holder[] | undefined;
  /** The whole, for what others read from it. */
  readonly reader: Reader;
  /** As it came, for delegates. */
  readonly text: string;
}

export const DATA_DIR = '/var/lib/cni/podwire';

/** Code 6 when it is no JSON object. */
export function decodeConfig(text: string): Reader {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CniError(CODE.decoding, `the configuration on stdin is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CniError(CODE.decoding, 'the configuration on stdin is not a JSON object');
  return new Reader(value);
}

/** Throws a CniError: 1 for the version, 2 for what we cannot do, 7 for what is wrong; the message names the key. */
export function readConfig(text: string, args: Environment): NetConfig {
  return configOf(decodeConfig(text), text, args);
}

/** All that DEL needs. What else is wrong is why the ADD failed, or came later: it must keep nothing, and no runtime in a loop. */
const TO_REMOVE = ['cniVersion', 'name', 'nodeDir', 'dataDir', 'ipam'] as const;

export function readConfigToRemove(text: string): NetConfig {
  const { value } = decodeConfig(text);
  const isNeeded = (key: (typeof TO_REMOVE)[number]) => {
    if (key === 'ipam') return !value['nodeDir'] && isObject(value['ipam']);
    return value[key] !== undefined && (key !== 'dataDir' || !value['nodeDir']);
  };
  const needed = TO_REMOVE.filter(isNeeded).map((key) => [key, value[key]]);
  return configOf(new Reader(Object.fromEntries(needed)), text, {});
}

function configOf(reader: Reader, text: string, args: Environment): NetConfig {
  const cniVersion = requireVersion(reader.value['cniVersion']);
  const name = reader.string('name');
  if (!name || !NAME.test(name))
    reader.fail('name', 'must be letters, digits, "_", "." and "-", first a letter or digit');
  refuseUnsupported(reader);
  const nodeDir = reader.string('nodeDir') || undefined;
  if (nodeDir !== undefined) refuseOfNode(reader);
  const runtime = reader.object('runtimeConfig');
  const valid = reader.value['cni.dev/valid-attachments'] === undefined ? undefined : readAttachments(reader);
  return {
    cniVersion,
    name,
    ipamType: reader.object('ipam')?.string('type') || undefined,
    dataDir: nodeDir === undefined ? reader.string('dataDir') || DATA_DIR : nodeDataDir(nodeDir),
    nodeDir,
    mtu: reader.integer('mtu', 0, 65_535) || undefined,
    ipMasq: reader.boolean('ipMasq') ?? false,
    nonMasqueradeCIDRs: reader.strings('nonMasqueradeCIDRs').map((cidr) => {
      if (!isPrefix(cidr)) reader.fail('nonMasqueradeCIDRs', `must be prefixes, and "${cidr}" is none`);
      return cidr;
    }),
    mac: readMac(reader, runtime, args),
    portMappings: readPortMappings(runtime),
    bandwidth: readBandwidth(runtime ?? reader),
    dns: readRuntimeDns(runtime) ?? readDns(reader.object('dns')),
    prevResult: readPrevious(reader),
    validAttachments: valid,
    reader,
    text,
  };
}

function readPrevious(reader: Reader): Result | undefined {
  const previous = reader.object('prevResult');
  return previous && readResult(previous);
}

/** Keys of the bridge plugin and its like that would change what the container can reach: passing over them would be a lie. */
function refuseUnsupported(reader: Reader): void {
  const refuse = (key: string, why: string): never => {
    throw new CniError(
      CODE.unsupportedField,
      `${reader.name(key)}: ${JSON.stringify(reader.value[key])} is not supported: ${why}`,
    );
  };
  for (const key of ['vlan', 'vlanTrunk']) {
    const value = reader.value[key];
    if (value !== undefined && value !== 0 && value !== null) refuse(key, 'containers are routed, there is no bridge');
  }
  const backend = reader.value['ipMasqBackend'];
  if (backend !== undefined && backend !== 'nftables') refuse('ipMasqBackend', 'rules are kept in nftables');
}

function refuseOfNode(reader: Reader): void {
  for (const key of ['ipam', 'mtu', 'ipMasq', 'nonMasqueradeCIDRs', 'dataDir']) {
    if (reader.value[key] !== undefined) reader.fail(key, "must be absent where nodeDir is given: it is the cluster's");
  }
}

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** The conventions, in their order: the capability `mac`, `args.cni.mac`, MAC= in CNI_ARGS, and the key `mac`. */
function readMac(reader: Reader, runtime: Reader | undefined, args: Environment): string | undefined {
  const cni = reader.object('args')?.object('cni');
  const mac = runtime?.string('mac') || cni?.string('mac') || args['MAC'] || reader.string('mac') || undefined;
  if (mac === undefined) return undefined;
  const where = runtime?.string('mac') ? runtime.name('mac') : args['MAC'] === mac ? 'CNI_ARGS: MAC' : 'mac';
  // The lowest bit of the first byte is that of groups.
  if (!MAC.test(mac) || Number.parseInt(mac.slice(0, 2), 16) & 1)
    throw new CniError(CODE.invalidConfig, `${where}: "${mac}" is not the Ethernet address of one interface`);
  return mac.toLowerCase();
}

const LOOPBACK_6 = '::1';

function readPortMappings(runtime: Reader | undefined): HostPort[] {
  return (runtime?.objects('portMappings') ?? []).flatMap((each): HostPort[] => {
    const protocol = (each.string('protocol') || 'tcp').toLowerCase();
    if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
      throw new CniError(
        CODE.unsupportedField,
        `${each.name('protocol')}: "${protocol}" is not supported`,
        'tcp, udp and sctp are',
      );
    }
    const containerPort = each.integer('containerPort', 1, 65_535) ?? each.fail('containerPort', 'must be a port');
    const hostPort = each.integer('hostPort', 0, 65_535) ?? 0;
    const hostIP = each.ip('hostIP');
    if (hostIP !== undefined && formatIP(ipBytes(hostIP)) === LOOPBACK_6) {
      throw new CniError(
        CODE.unsupportedField,
        `${each.name('hostIP')}: "${hostIP}" is not supported: Linux lets no packet to it leave the node`,
        'publish the port on 127.0.0.1 or on another address of the node',
      );
    }
    // Kubernetes hands every port on, also those that are not published.
    if (hostPort === 0) return [];
    return [{ hostPort, containerPort, protocol, ...(hostIP !== undefined && { hostIP }) }];
  });
}

const MOST_BITS = 2 ** 50;

/** The capability, or the bandwidth plugin's keys in the configuration itself. */
function readBandwidth(reader: Reader): Bandwidth {
  const from = reader.object('bandwidth') ?? reader;
  const shape = (direction: 'ingress' | 'egress'): Shape | undefined => {
    const rate = from.integer(`${direction}Rate`, 0, MOST_BITS) ?? 0;
    const burst = from.integer(`${direction}Burst`, 0, MOST_BITS) ?? 0;
    if (rate > 0 && burst === 0) from.fail(`${direction}Burst`, `must be given with ${direction}Rate`);
    if (rate === 0 && burst > 0) from.fail(`${direction}Rate`, `must be given with ${direction}Burst`);
    return rate > 0 ? { rate, burst } : undefined;
  };
  const ingress = shape('ingress');
  const egress = shape('egress');
  return { ...(ingress && { ingress }), ...(egress && { egress }) };
}

function readRuntimeDns(runtime: Reader | undefined): ResultDns | undefined {
  const dns = runtime?.object('dns');
  if (!dns) return undefined;
  const some = (list: string[]) => (list.length > 0 ? list : undefined);
  for (const server of dns.strings('servers')) if (!isIP(server)) dns.fail('servers', 'must be IP addresses');
  return {
    nameservers: some(dns.strings('servers')),
    search: some(dns.strings('searches')),
    options: some(dns.strings('options')),
  };
}

/** Of GC. Without the list nothing is collected: an absent one must not mean that none is alive. */
export function requireValidAttachments({ validAttachments, reader }: NetConfig): readonly Holder[] {
  return validAttachments ?? reader.fail('cni.dev/valid-attachments', 'must say which attachments are alive');
}

function readAttachments(reader: Reader) {
  return reader.objects('cni.dev/valid-attachments').map((each) => ({
    containerID: each.string('containerID') ?? each.fail('containerID', 'must name a container'),
    ifname: each.string('ifname') ?? each.fail('ifname', 'must name an interface'),
  }));
}
