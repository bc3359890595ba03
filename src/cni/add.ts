// Room cni: ADD: an interface with addresses, routes and rules; or, further down a chain, rules for an interface that is there.
import { familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, hostPrefix, networkOf, parsePrefix } from '../addr/prefix.ts';
import { isLoopback } from '../plan/host-ports.ts';
import { GATEWAY_MAC, GATEWAYS, podMac } from '../plan/pods.ts';
import { type Attachment, Attachments, withSharedLock } from './attachment.ts';
import type { NetConfig } from './config.ts';
import { detach } from './del.ts';
import { CniError, CODE } from './error.ts';
import { type Ipam, ipamOf } from './ipam.ts';
import { OUR_IPAM } from './ipam-config.ts';
import { checkNamespace } from './namespace.ts';
import type { Request } from './request.ts';
import { EMPTY_RESULT, type Result, type ResultDns } from './result.ts';
import { needsRules } from './rules.ts';
import { linkNameOf, refuseTaken, type Wires, Wiring } from './wiring.ts';

export async function add(config: NetConfig, request: Request): Promise<Result> {
  const netns = request.netns!;
  request.host.steps.measure('namespace', () => checkNamespace(netns));
  const ipam = ipamOf(config, request);
  if (ipam) return addInterface(config, request, netns, ipam);
  const previous = config.prevResult;
  if (!previous) return config.reader.fail('ipam', 'must say where addresses come from, as there is no prevResult');
  refuseLoopback(config);
  const ips = addressesOf(previous, request.ifname);
  const attachment: Attachment = {
    ...attachmentOf(config, request, netns),
    ownsLink: false,
    ips: ips.map(({ ip }) => ip),
    near: ips.map(({ address }) => networkOf(address)),
    ...(config.ipMasq && {
      unmasqueraded: [...ips.map(({ address }) => networkOf(address)), ...config.nonMasqueradeCIDRs],
    }),
  };
  await connect(config, request, attachment, undefined);
  return withDns(previous, config.dns);
}

/** For it the link's end on the node would have to be set to let it through, and that is not ours. */
function refuseLoopback({ portMappings }: NetConfig): void {
  for (const { hostIP } of portMappings) {
    if (hostIP === undefined || !isLoopback(hostIP)) continue;
    throw new CniError(
      CODE.unsupportedField,
      `runtimeConfig.portMappings: hostIP "${hostIP}" is supported where podwire-cni makes the interface, which is another plugin's here`,
      'publish the port on another address of the node, or let portmap publish it behind podwire-cni',
    );
  }
}

async function addInterface(config: NetConfig, request: Request, netns: string, ipam: Ipam): Promise<Result> {
  const { steps } = request.host;
  const known = attachmentsOf(config, request).get(request);
  // What fails later takes back what is its own, and that would be of the ADD before.
  if (known) steps.measure('namespace', () => refuseTaken(request.host.kernel(), { ...request, netns }));
  const leased = steps.measure('ipam', () => ipam.add());
  try {
    if (leased.ips.length === 0)
      throw new CniError(CODE.invalidConfig, `ipam.type: "${config.ipamType}" gave no address`);
    const ips = leased.ips.map(({ address }) => parsePrefix(address).ip);
    const mac = config.mac ?? podMac(ips[0]!);
    const attachment: Attachment = {
      ...attachmentOf(config, request, netns),
      ownsLink: true,
      ips,
      near: [],
      ...(config.mac !== undefined && { mac: config.mac }),
      ...(config.ipamType !== OUR_IPAM && { gateways: gatewaysOf(leased) }),
      ...(config.ipMasq && { unmasqueraded: [...ipam.inside(leased), ...config.nonMasqueradeCIDRs] }),
    };
    const routes = leased.routes.map(({ dst, priority, mtu }) => ({
      dst,
      ...(priority !== undefined && { metric: priority }),
      ...(mtu !== undefined && { mtu }),
    }));
    const wires = {
      mtu: config.mtu,
      mac,
      routes: routes.length > 0 ? routes : undefined,
    };
    const mtu = await connect(config, request, attachment, wires);
    return joined(config, leased, interfaceResult(attachment, { mtu: mtu!, mac }, leased));
  } catch (error) {
    quietly(() => ipam.del());
    throw error;
  }
}

function gatewaysOf({ ips }: Result): Record<IP, IP> {
  return Object.fromEntries(
    ips.flatMap(({ address, gateway }) => (gateway === undefined ? [] : [[parsePrefix(address).ip, gateway]])),
  );
}

function attachmentOf(config: NetConfig, { containerID, ifname }: Request, netns: string) {
  const { name: network, portMappings, bandwidth } = config;
  return { network, containerID, ifname, netns, portMappings, bandwidth, attachedAt: new Date().toISOString() };
}

/** Written down before it is done, so that DEL and GC know of all that can be there. */
async function connect(
  config: NetConfig,
  request: Request,
  attachment: Attachment,
  wires: Wires | undefined,
): Promise<number | undefined> {
  const attachments = attachmentsOf(config, request);
  const { host } = request;
  const put = () => attachments.put(attachment);
  host.steps.measure('record', () => {
    // With the lock: the last DEL of all takes the tables away unless it sees us.
    if (needsRules(attachment)) withSharedLock(config.dataDir, put);
    else put();
    host.sync([attachments.path]);
  });
  try {
    const mtu = await (host.connector ?? new Wiring(host)).connect(attachment, wires);
    host.note(attachments, attachment);
    return mtu;
  } catch (error) {
    quietly(() => detach(config, request));
    throw error;
  }
}

function attachmentsOf({ dataDir, name }: NetConfig, { host }: Request): Attachments {
  return new Attachments(dataDir, name, host.files);
}

function quietly(fn: () => void): void {
  try {
    fn();
  } catch {
    // What failed before is what the user must know; DEL and GC come after.
  }
}

/** Addresses of the container's interface in an earlier plugin's result. */
export function addressesOf(result: Result, ifname: string): { readonly ip: IP; readonly address: CIDR }[] {
  const inside = (at: number | undefined) => {
    if (at === undefined) return true;
    const owner = result.interfaces[at];
    return owner === undefined || (owner.sandbox !== undefined && owner.name === ifname);
  };
  return result.ips
    .filter(({ interface: at }) => inside(at))
    .map(({ address }) => ({ ip: parsePrefix(address).ip, address }));
}

export function interfaceResult(
  attachment: Attachment,
  { mtu, mac }: { readonly mtu: number; readonly mac: string },
  leased: Result,
): Result {
  const { ifname, netns, ips } = attachment;
  return {
    interfaces: [
      { name: linkNameOf(attachment), mac: GATEWAY_MAC, mtu },
      { name: ifname, mac, mtu, sandbox: netns },
    ],
    ips: ips.map((ip) => ({ interface: 1, address: hostPrefix(ip), gateway: GATEWAYS[familyOf(ip)] })),
    routes:
      leased.routes.length > 0
        ? leased.routes.map((route) => ({ ...route, gw: GATEWAYS[familyOf(route.dst)] }))
        : everything(ips),
    dns: leased.dns,
  };
}

function everything(ips: readonly IP[]) {
  return [...new Set(ips.map(familyOf))].map((family) => ({
    dst: family === 4 ? '0.0.0.0/0' : '::/0',
    gw: GATEWAYS[family],
  }));
}

/** After what earlier plugins of the chain have made. */
export function joined({ prevResult = EMPTY_RESULT, dns }: NetConfig, leased: Result, made: Result): Result {
  const shift = prevResult.interfaces.length;
  const result = {
    interfaces: [...prevResult.interfaces, ...made.interfaces],
    ips: [...prevResult.ips, ...made.ips.map((ip) => ({ ...ip, interface: ip.interface! + shift }))],
    routes: [...prevResult.routes, ...made.routes],
    dns: { ...prevResult.dns, ...definedOf(leased.dns) },
  };
  return withDns(result, dns);
}

function withDns(result: Result, dns: ResultDns): Result {
  return { ...result, dns: { ...result.dns, ...definedOf(dns) } };
}

function definedOf(dns: ResultDns): ResultDns {
  return Object.fromEntries(Object.entries(dns).filter(([, value]) => value !== undefined));
}
