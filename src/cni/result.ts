// Room cni: a result, read from and written in every version of the specification.
import type { IP } from '../addr/ip.ts';
import { familyOf } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { Reader } from './reader.ts';
import { atLeast, type CniVersion } from './version.ts';

export interface ResultInterface {
  readonly name: string;
  readonly mac?: string | undefined;
  /** From 1.1.0 on, as the two below. */
  readonly mtu?: number | undefined;
  /** Path of the network namespace; absent for the node's side. */
  readonly sandbox?: string | undefined;
  readonly socketPath?: string | undefined;
  readonly pciID?: string | undefined;
}

export interface ResultIP {
  /** Index into interfaces. */
  readonly interface?: number | undefined;
  readonly address: CIDR;
  readonly gateway?: IP | undefined;
}

export interface ResultRoute {
  readonly dst: CIDR;
  readonly gw?: IP | undefined;
  /** From 1.1.0 on, as those below. */
  readonly mtu?: number | undefined;
  readonly advmss?: number | undefined;
  readonly priority?: number | undefined;
  readonly table?: number | undefined;
  readonly scope?: number | undefined;
}

export interface ResultDns {
  readonly nameservers?: readonly string[] | undefined;
  readonly domain?: string | undefined;
  readonly search?: readonly string[] | undefined;
  readonly options?: readonly string[] | undefined;
}

export interface Result {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultIP[];
  readonly routes: readonly ResultRoute[];
  readonly dns: ResultDns;
}

export const EMPTY_RESULT: Result = { interfaces: [], ips: [], routes: [], dns: {} };

/** A result of any version: a field that a version lacks is absent there. Throws a CniError (7) that names the field. */
export function readResult(reader: Reader): Result {
  const interfaces = reader.objects('interfaces').map(
    (each): ResultInterface => ({
      name: each.string('name') ?? each.fail('name', 'must be the name of an interface'),
      mac: each.string('mac') || undefined,
      mtu: each.integer('mtu', 0, 0xffff_ffff) || undefined,
      sandbox: each.string('sandbox') || undefined,
      socketPath: each.string('socketPath') || undefined,
      pciID: each.string('pciID') || undefined,
    }),
  );
  const ips = reader.objects('ips').map((each): ResultIP => {
    const at = each.integer('interface', 0, Math.max(0, interfaces.length - 1));
    return {
      interface: at !== undefined && interfaces.length === 0 ? undefined : at,
      address: each.cidr('address') ?? each.fail('address', 'must be an address with its prefix length'),
      gateway: each.ip('gateway'),
    };
  });
  return { interfaces, ips, routes: reader.objects('routes').map(readRoute), dns: readDns(reader.object('dns')) };
}

const U32 = 0xffff_ffff;

export function readRoute(reader: Reader): ResultRoute {
  return {
    dst: reader.cidr('dst') ?? reader.fail('dst', 'must be a prefix'),
    gw: reader.ip('gw'),
    mtu: reader.integer('mtu', 0, U32) || undefined,
    advmss: reader.integer('advmss', 0, U32) || undefined,
    priority: reader.integer('priority', 0, U32) || undefined,
    table: reader.integer('table', 0, U32) || undefined,
    scope: reader.integer('scope', 0, 255),
  };
}

export function readDns(reader: Reader | undefined): ResultDns {
  if (!reader) return {};
  const strings = (key: string) => {
    const list = reader.strings(key);
    return list.length > 0 ? list : undefined;
  };
  return {
    nameservers: strings('nameservers'),
    domain: reader.string('domain') || undefined,
    search: strings('search'),
    options: strings('options'),
  };
}

/** As JSON of that version. JSON.stringify leaves out what is undefined. */
export function resultJson(result: Result, version: CniVersion): object {
  const newest = atLeast(version, '1.1.0');
  const some = <T>(list: readonly T[]) => (list.length > 0 ? list : undefined);
  return {
    cniVersion: version,
    interfaces: some(
      result.interfaces.map(({ name, mac, mtu, sandbox, socketPath, pciID }) => ({
        name,
        mac,
        ...(newest && { mtu, socketPath, pciID }),
        sandbox,
      })),
    ),
    ips: some(
      result.ips.map((ip) => ({
        ...(!atLeast(version, '1.0.0') && { version: String(familyOf(ip.address)) }),
        interface: ip.interface,
        address: ip.address,
        gateway: ip.gateway,
      })),
    ),
    routes: some(
      result.routes.map(({ dst, gw, mtu, advmss, priority, table, scope }) => ({
        dst,
        gw,
        ...(newest && { mtu, advmss, priority, table, scope }),
      })),
    ),
    dns: result.dns,
  };
}
