// Room cni: the `ipam` part of a configuration, with host-local's keys and some of our own.
import { readFileSync } from 'node:fs';
import { isIP } from '../addr/ip.ts';
import { type CIDR, hostPrefix, isPrefix, parsePrefix } from '../addr/prefix.ts';
import { type AddressRange, addressRange } from '../ipam/range.ts';
import { Reader } from './reader.ts';
import type { Environment } from './request.ts';
import { type ResultDns, type ResultRoute, readRoute } from './result.ts';

export const OUR_IPAM = 'podwire';

export interface IpamConfig {
  readonly rangeSets: readonly (readonly AddressRange[])[];
  readonly reserved: readonly CIDR[];
  readonly routes: readonly ResultRoute[];
  readonly dns: ResultDns;
  /** Addresses that this container is to have. */
  readonly requested: readonly string[];
  /** Milliseconds. */
  readonly rest: number;
}

const REST_SECONDS = 30;

/** `config` is the whole configuration; `args` those of CNI_ARGS. Throws a CniError (7) that names the key. */
export function readIpam(config: Reader, args: Environment): IpamConfig {
  const ipam = config.object('ipam') ?? config.fail('ipam', 'must say where addresses come from');
  const rangeSets = [
    ...(ipam.string('subnet') === undefined ? [] : [[readRange(ipam)]]),
    ...readRangeSets(ipam, 'ranges'),
    ...readRangeSets(config.object('runtimeConfig'), 'ipRanges'),
  ];
  if (rangeSets.length === 0) ipam.fail('ranges', 'must be given, or subnet, or the capability ipRanges');
  for (const [i, set] of rangeSets.entries()) checkSet(ipam, set, i);
  const reserved = ipam.strings('reserved').map((text) => {
    if (isPrefix(text)) return text;
    return isIP(text)
      ? hostPrefix(text)
      : ipam.fail('reserved', `must be addresses and prefixes, and "${text}" is neither`);
  });
  return {
    rangeSets,
    reserved,
    routes: ipam.objects('routes').map(readRoute),
    dns: readResolvConf(ipam),
    requested: readRequested(config, args),
    rest: (ipam.integer('restSeconds', 0, 86_400) ?? REST_SECONDS) * 1000,
  };
}

function readRangeSets(reader: Reader | undefined, key: string): AddressRange[][] {
  return (reader?.list(key) ?? []).map((set, i) => {
    if (!Array.isArray(set)) return reader!.fail(key, 'must be a list of lists of ranges');
    return set.map((each, k) => readRange(new Reader(each, `${reader!.name(key)}[${i}][${k}]`)));
  });
}

function readRange(reader: Reader): AddressRange {
  const subnet = reader.cidr('subnet') ?? reader.fail('subnet', 'must be a prefix');
  const choice = {
    subnet,
    rangeStart: reader.ip('rangeStart'),
    rangeEnd: reader.ip('rangeEnd'),
    gateway: reader.ip('gateway'),
  };
  try {
    return addressRange(choice);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const [key, ...why] = error.message.split(': ');
    return reader.fail(key!, `cannot be: ${why.join(': ')}`);
  }
}

function checkSet(ipam: Reader, set: readonly AddressRange[], i: number): void {
  if (set.length === 0) ipam.fail('ranges', `has an empty set at ${i}`);
  if (new Set(set.map(({ subnet }) => parsePrefix(subnet).family)).size > 1)
    ipam.fail('ranges', `mixes IPv4 and IPv6 in the set at ${i}: each set gives one address`);
}

/** The conventions, in their order: the capability `ips`, `args.cni.ips`, and IP= in CNI_ARGS. */
export function readRequested(config: Reader, args: Environment): string[] {
  const runtime = config.object('runtimeConfig');
  const cni = config.object('args')?.object('cni');
  const found = [
    ...(runtime?.strings('ips') ?? []).map((text) => [runtime!, 'ips', text] as const),
    ...(cni?.strings('ips') ?? []).map((text) => [cni!, 'ips', text] as const),
    ...(args['IP'] ?? '')
      .split(',')
      .filter(Boolean)
      .map((text) => [new Reader({ IP: text }, 'CNI_ARGS'), 'IP', text] as const),
  ];
  const ips = found.map(([reader, key, text]) => {
    const ip = text.split('/')[0]!;
    if (!isIP(ip)) reader.fail(key, `must be addresses, and "${text}" is none`);
    return ip;
  });
  return [...new Set(ips)];
}

/** resolv.conf(5) of the network, as host-local reads it. */
function readResolvConf(ipam: Reader): ResultDns {
  const path = ipam.string('resolvConf');
  if (!path) return {};
  const words = readText(ipam, path)
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const of = (key: string) => words.filter(([first]) => first === key).flatMap(([, ...rest]) => rest);
  const some = (list: string[]) => (list.length > 0 ? list : undefined);
  return {
    nameservers: some(of('nameserver')),
    domain: of('domain').at(-1),
    search: some(of('search')),
    options: some(of('options')),
  };
}

function readText(ipam: Reader, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return ipam.fail('resolvConf', `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
