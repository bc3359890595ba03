// Room cni: where an interface's addresses come from: our files, or any IPAM plugin on CNI_PATH.
import type { IP } from '../addr/ip.ts';
import { type CIDR, hostPrefix, networkOf, parsePrefix, prefixContains } from '../addr/prefix.ts';
import { FileLeases, NoAddress } from '../ipam/file-leases.ts';
import { type Attachment, leasesDir } from './attachment.ts';
import { type NetConfig, requireValidAttachments } from './config.ts';
import { delegate } from './delegate.ts';
import { CniError, CODE } from './error.ts';
import { type IpamConfig, OUR_IPAM, readIpam } from './ipam-config.ts';
import { podOf, type Request } from './request.ts';
import { EMPTY_RESULT, type Result } from './result.ts';

/** The verbs as an IPAM plugin has them; each throws a CniError. */
export interface Ipam {
  add(): Result;
  /** The network's prefixes: its containers see each other's own address. */
  inside(leased: Result): CIDR[];
  del(): void;
  check(attachment: Attachment): void;
  gc(): void;
  status(): void;
}

export function ipamOf(config: NetConfig, request: Request): Ipam | undefined {
  if (config.ipamType === undefined) return undefined;
  return config.ipamType === OUR_IPAM
    ? new OurIpam(config, request)
    : new DelegatedIpam(config, request, config.ipamType);
}

export class OurIpam implements Ipam {
  readonly #config: NetConfig;
  readonly #request: Request;
  #ipam: IpamConfig | undefined;

  constructor(config: NetConfig, request: Request) {
    this.#config = config;
    this.#request = request;
  }

  #read(): IpamConfig {
    this.#ipam ??= readIpam(this.#config.reader, this.#request.args);
    return this.#ipam;
  }

  #leases(rest: number): FileLeases {
    const { dataDir, name, reader } = this.#config;
    const dir = leasesDir(reader.object('ipam')?.string('dataDir') || dataDir, name);
    const { host } = this.#request;
    return new FileLeases({ dir, rest, files: host.files, sync: (paths) => host.sync(paths) });
  }

  add(): Result {
    const ipam = this.#read();
    const { containerID, ifname, netns } = this.#request;
    try {
      const holder = { containerID, ifname, pod: podOf(this.#request), netns: netns ?? '' };
      const { ips } = this.#leases(ipam.rest).lease(holder, ipam);
      return {
        ...EMPTY_RESULT,
        ips: ips.map((ip) => {
          const range = ipam.rangeSets.flat().find(({ subnet }) => prefixContains(subnet, ip));
          const length = range ? parsePrefix(range.subnet).length : parsePrefix(hostPrefix(ip)).length;
          return { address: `${ip}/${length}`, gateway: range?.gateway };
        }),
        routes: ipam.routes,
        dns: ipam.dns,
      };
    } catch (error) {
      if (!(error instanceof NoAddress)) throw error;
      // Whoever asks for what is not to be had waits in vain.
      const code = error.later === undefined && ipam.requested.length > 0 ? CODE.invalidConfig : CODE.tryLater;
      throw new CniError(code, `ipam of network ${this.#config.name}: ${error.message}`, error.mend);
    }
  }

  inside(): CIDR[] {
    const ranges = this.#read().rangeSets.flat();
    return [...new Set(ranges.map(({ subnet }) => subnet))];
  }

  /** Reads as little of the configuration as can be: what is wrong with it must not keep addresses. */
  del(): void {
    this.#leases(0).release(this.#request);
  }

  check(): void {
    if (this.#leases(0).get(this.#request)) return;
    const { containerID, ifname } = this.#request;
    throw new CniError(CODE.drifted, `the lease of container ${containerID}, ${ifname} is gone`);
  }

  gc(): void {
    const valid = requireValidAttachments(this.#config);
    this.#leases(this.#read().rest).collect((lease) =>
      valid.some(({ containerID, ifname }) => containerID === lease.containerID && ifname === lease.ifname),
    );
  }

  status(): void {
    const ipam = this.#read();
    if (this.#leases(ipam.rest).hasFree(ipam)) return;
    throw new CniError(CODE.notAvailable, `ipam: no free address in network ${this.#config.name}`);
  }
}

class DelegatedIpam implements Ipam {
  readonly #config: NetConfig;
  readonly #request: Request;
  readonly #type: string;

  constructor(config: NetConfig, request: Request, type: string) {
    this.#config = config;
    this.#request = request;
    this.#type = type;
  }

  add(): Result {
    return this.#run('ADD') ?? EMPTY_RESULT;
  }
  inside({ ips }: Result): CIDR[] {
    return ips.map(({ address }) => networkOf(address));
  }
  del(): void {
    this.#run('DEL');
  }
  check({ gateways }: Attachment): void {
    this.#run('CHECK', gateways && withGateways(this.#config, gateways));
  }
  gc(): void {
    this.#run('GC');
  }
  status(): void {
    this.#run('STATUS');
  }

  #run(command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS', input: string = this.#config.text): Result | undefined {
    return delegate({ command, type: this.#type, request: this.#request, input });
  }
}

/** The configuration with the gateways as the plugin itself gave them: static compares them with those that it was told. */
function withGateways({ reader }: NetConfig, gateways: Readonly<Record<IP, IP>>): string {
  const previous = reader.value['prevResult'] as { readonly ips?: readonly { readonly address: CIDR }[] };
  const ips = previous.ips?.map(({ address, ...rest }) => {
    const { gateway: _, ...others } = rest as { gateway?: IP };
    const gateway = gateways[parsePrefix(address).ip];
    return { address, ...others, ...(gateway !== undefined && { gateway }) };
  });
  return JSON.stringify({ ...reader.value, prevResult: { ...previous, ips } });
}
