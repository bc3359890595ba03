// Room node: the CNI verbs on a node's own network: its addresses, its plan, and a record of each container for the next agent.
import type { IP } from '../addr/ip.ts';
import { interfaceResult, joined } from '../cni/add.ts';
import { type Attachment, Attachments, cniSandboxId, networksIn, nodeDataDir } from '../cni/attachment.ts';
import { differences, interfaceDrift, toCheck } from '../cni/check.ts';
import { type NetConfig, requireValidAttachments } from '../cni/config.ts';
import { CniError, CODE } from '../cni/error.ts';
import type { Host } from '../cni/host.ts';
import { readRequested } from '../cni/ipam-config.ts';
import { Leaving } from '../cni/leaving.ts';
import { environment, podOf, type Request } from '../cni/request.ts';
import { EMPTY_RESULT, type Result } from '../cni/result.ts';
import { type Outcome, type Plugin, runVerb } from '../cni/run.ts';
import type { Call } from '../cni/serve.ts';
import { Steps } from '../cni/steps.ts';
import type { Holder } from '../ipam/file-leases.ts';
import { RecordFiles } from '../ipam/record-file.ts';
import { isLinkItem } from '../kernel/identity.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { Fault } from '../observe/fault.ts';
import { logger } from '../observe/log.ts';
import { podMac } from '../plan/pods.ts';
import { removeNamespace } from '../sys/netns.ts';
import type { NodeOptions } from './agent.ts';
import { inodeAt, pinPathOf, placeOf } from './cni-namespace.ts';
import type { RoutedPods } from './network.ts';

const log = logger('cni');

export interface CniParts {
  readonly options: NodeOptions;
  readonly network: RoutedPods;
  readonly kernel: Kernel;
  /** What the node still waits for; empty: it is ready. */
  readonly missing: () => readonly string[];
}

/** A runtime that dies calls no DEL: how often we look whether its containers are still there. */
const LOOK_MS = 5000;

export function openVerbs(parts: CniParts): CniVerbs {
  return new CniVerbs(parts);
}

export class CniVerbs {
  readonly #parts: CniParts;
  readonly #dataDir: string;
  #host: Host;
  readonly #leaving = new Leaving();
  readonly #attached = new Map<string, Attachment>();
  readonly #looking: NodeJS.Timeout;

  constructor(parts: CniParts) {
    this.#parts = parts;
    this.#dataDir = nodeDataDir(parts.options.stateDir);
    // Leases and records count in this boot only: nobody waits for the disk.
    // What an ADD spent its time on is written with what it made.
    const files = new RecordFiles();
    this.#host = { kernel: () => parts.kernel, sync: () => {}, note: () => {}, files, steps: new Steps() };
    this.#adopt();
    this.#looking = setInterval(() => this.#forgetLost(), LOOK_MS).unref();
  }

  async answer({ env, stdin, containerFd, steps }: Call): Promise<Outcome> {
    const begun = performance.now();
    await this.#leaving.wait(env);
    steps.add('the interface before', performance.now() - begun);
    this.#host = { ...this.#host, steps };
    const outcome = await runVerb(
      () => this.#plugin(containerFd),
      env,
      () => stdin,
      this.#host,
    );
    this.#leaving.note(env, this.#parts.kernel);
    return outcome;
  }

  #plugin(containerFd: number | undefined): Plugin {
    return {
      ADD: (config, request) => this.#add(config, request, containerFd),
      DEL: (config, request) => this.#remove(config.name, request),
      CHECK: (config, request) => this.#check(config, request),
      GC: (config) => this.#collect(config),
      STATUS: () => this.#status(),
    };
  }

  #add(config: NetConfig, request: Request, fd: number | undefined): Result {
    const sandboxId = cniSandboxId(config.name, request);
    const netns = request.netns!;
    const { steps } = this.#host;
    const pinPath = pinPathOf(this.#parts.options.clusterName, sandboxId);
    const place = steps.measure('namespace', () => placeOf({ path: netns, fd, pinPath }));
    try {
      if (this.#parts.kernel.hasLink(place.pin ?? netns, request.ifname))
        throw environment('CNI_IFNAME', `${request.ifname} exists already in ${netns}`);
      const wanted = wantedBy(config, request, { ...place, sandboxId, netns });
      const requested = readRequested(config.reader, request.args);
      const attachment = { ...wanted, ips: this.#attach(wanted, requested) };
      this.#record({ ...attachment, took: steps.took });
      return this.#result(config, attachment);
    } catch (error) {
      if (place.pin && !this.#attached.has(sandboxId)) removeNamespace(place.pin);
      throw error;
    }
  }

  /** Throws a CniError: 11 when there is no address, 7 when a requested one cannot be had. */
  #attach(attachment: Attachment, requested: readonly IP[]): readonly IP[] {
    const { network } = this.#parts;
    const { sandboxId = '', containerID, pod = '', ifname, mac, portMappings: hostPorts, bandwidth } = attachment;
    const [podNamespace = '', podName = ''] = pod.split('/');
    try {
      const wishes = { hostPorts, bandwidth, ...(mac !== undefined && { mac }) };
      const names = { sandboxId, podUid: containerID, podNamespace, podName, netns: placeIn(attachment), ifname };
      const ips = network.attach(
        { ...names, ...wishes, earlierIPs: [...requested, ...attachment.ips] },
        this.#host.steps,
      );
      const stray = requested.find((ip) => !ips.includes(ip));
      if (stray === undefined) return ips;
      network.detach(sandboxId);
      throw new CniError(CODE.invalidConfig, `the requested address ${stray} is not free, or not one of this node's`);
    } catch (error) {
      throw error instanceof Fault ? new CniError(CODE.tryLater, error.message, error.mend) : error;
    }
  }

  #record(attachment: Attachment): void {
    const attachments = this.#attachments(attachment.network);
    attachments.put(attachment);
    this.#attached.set(attachment.sandboxId!, attachment);
  }

  #attachments(network: string): Attachments {
    return new Attachments(this.#dataDir, network, this.#host.files);
  }

  #result(config: NetConfig, attachment: Attachment): Result {
    const { network, options } = this.#parts;
    const wires = { mtu: network.mtu, mac: attachment.mac ?? podMac(attachment.ips[0]!), routes: undefined };
    const search = [`svc.${options.clusterDomain}`, options.clusterDomain];
    const leased: Result = { ...EMPTY_RESULT, dns: { nameservers: options.dnsIPs, search } };
    return joined(config, leased, interfaceResult(attachment, wires, leased));
  }

  #check(config: NetConfig, request: Request): void {
    const { attachment, previous } = toCheck(config, request);
    const { network, options, kernel } = this.#parts;
    const sandboxId = attachment.sandboxId!;
    const rules = network.planned(sandboxId)?.items.filter((item) => !isLinkItem(item)) ?? [];
    const drift = [
      ...(network.hasLease(sandboxId) ? [] : [`the lease of container ${attachment.containerID} is gone`]),
      ...interfaceDrift({ ...attachment, netns: placeIn(attachment) }, previous, options.netns),
      ...(rules.length > 0 ? differences(kernel.read('nft'), rules) : []),
    ];
    if (drift.length > 0) throw new CniError(CODE.drifted, drift.join('; '));
  }

  #collect(config: NetConfig): void {
    const valid = requireValidAttachments(config);
    for (const attachment of this.#attachments(config.name).all()) {
      const { containerID, ifname } = attachment;
      if (!valid.some((each) => each.containerID === containerID && each.ifname === ifname))
        this.#remove(config.name, attachment);
    }
  }

  #status(): void {
    const missing = this.#parts.missing();
    if (missing.length > 0)
      throw new CniError(
        CODE.notAvailable,
        `node ${this.#parts.options.nodeName} is starting: no ${missing.join(', ')} yet`,
      );
    if (!this.#parts.network.hasFreeAddress)
      throw new CniError(CODE.notAvailable, `no free address in ${this.#parts.options.podCIDRs.join(', ')}`);
  }

  /** Succeeds when it is gone already. The record goes last: whatever interrupts us is done again by the next agent. */
  #remove(network: string, holder: Holder): void {
    const sandboxId = cniSandboxId(network, holder);
    const attachments = this.#attachments(network);
    const { pin } = attachments.get(holder) ?? {};
    this.#parts.network.detach(sandboxId);
    if (pin) removeNamespace(pin);
    this.#attached.delete(sandboxId);
    attachments.drop(holder);
  }

  /** What an agent before us attached and is still there is wired as before; what has gone meanwhile is taken back. */
  #adopt(): void {
    for (const network of networksIn(this.#dataDir)) {
      const attachments = this.#attachments(network);
      for (const attachment of attachments.all()) {
        if (attachments.isBuried(attachment) || isLost(attachment)) this.#remove(network, attachment);
        else this.#readopt(attachment);
      }
      attachments.clearGraves();
    }
    this.#parts.network.retainCni(new Set(this.#attached.keys()));
  }

  #readopt(attachment: Attachment): void {
    try {
      this.#attach(attachment, []);
      this.#attached.set(attachment.sandboxId!, attachment);
    } catch (error) {
      log.warn(
        { err: error, container: attachment.containerID },
        'a container of another runtime could not be adopted',
      );
    }
  }

  #forgetLost(): void {
    for (const attachment of this.#attached.values()) {
      if (!isLost(attachment)) continue;
      log.info(
        { container: attachment.containerID },
        'its network namespace is gone and no DEL came: address taken back',
      );
      try {
        this.#remove(attachment.network, attachment);
      } catch (error) {
        // It is tried again at the next look.
        log.warn({ err: error, container: attachment.containerID }, 'its address could not be taken back');
      }
    }
  }

  close(): void {
    clearInterval(this.#looking);
  }
}

function wantedBy(
  { name: network, portMappings, bandwidth, mac }: NetConfig,
  request: Request,
  place: Pick<Attachment, 'sandboxId' | 'netns' | 'inode' | 'pin'>,
): Attachment {
  const { containerID, ifname } = request;
  return {
    ...{ network, containerID, ifname, ...place, ownsLink: true, ips: [], near: [], portMappings, bandwidth },
    attachedAt: new Date().toISOString(),
    pod: podOf(request) || `${network}/${containerID}`,
    ...(mac !== undefined && { mac }),
  };
}

/** Where we find its namespace. */
function placeIn({ netns, pin = netns }: Attachment): string {
  return pin;
}

function isLost(attachment: Attachment): boolean {
  return inodeAt(placeIn(attachment)) !== attachment.inode;
}
