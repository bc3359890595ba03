// Room cni: what one ADD has made, on record until DEL: one for each (network, container, interface).
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import { type Holder, holderKey } from '../ipam/file-leases.ts';
import { type RecordFile, RecordFiles } from '../ipam/record-file.ts';
import type { Bandwidth } from '../plan/bandwidth.ts';
import type { HostPort } from '../plan/host-ports.ts';
import { withFileLock } from '../sys/flock.ts';
import { makeFolder } from '../sys/folder.ts';
import type { Took } from './steps.ts';

export interface Attachment extends Holder {
  readonly network: string;
  readonly netns: string;
  /** Whether the veth is ours; otherwise an earlier plugin of the chain made the interface. */
  readonly ownsLink: boolean;
  readonly ips: readonly IP[];
  /** The prefixes in which the container sees neighbours: its own address alone where it is routed. */
  readonly near: readonly CIDR[];
  readonly portMappings: readonly HostPort[];
  readonly bandwidth: Bandwidth;
  /** By address, what an IPAM plugin of others named as its gateway: its CHECK wants to find it again. */
  readonly gateways?: Readonly<Record<IP, IP>>;
  /** Destinations that see the container's own address; absent: no masquerading. */
  readonly unmasqueraded?: readonly CIDR[];
  /** RFC 3339. */
  readonly attachedAt: string;
  /** What its ADD spent its time on; absent while it is at it. */
  readonly took?: Took;
  /** Of a node's agent: under what name it holds the lease, and which namespace it is (an inode's number). */
  readonly sandboxId?: string;
  readonly inode?: string;
  /** Of a node's agent: where it pinned the namespace, when the path that it was told is not to be seen from where it stands. */
  readonly pin?: string;
  /** Of a node's agent: `namespace/name`. */
  readonly pod?: string;
  /** The one that was asked for. */
  readonly mac?: string;
}

const SANDBOX = 'cni-';

/** Unlike those of a node's own pods, which begin with a UID. */
export function cniSandboxId(network: string, { containerID, ifname }: Holder): string {
  return `${SANDBOX}${createHash('sha1').update(`${network}/${containerID}/${ifname}`).digest('hex').slice(0, 20)}`;
}

export function isCniSandbox(sandboxId: string): boolean {
  return sandboxId.startsWith(SANDBOX);
}

/** Where a node's agent keeps the attachments of other runtimes, in its directory of state. */
export function nodeDataDir(nodeDir: string): string {
  return join(nodeDir, 'cni');
}

/** Where a network keeps its files. */
export function networkDir(dataDir: string, network: string): string {
  return join(dataDir, 'networks', network);
}

/** Where a network keeps its leases. */
export function leasesDir(dataDir: string, network: string): string {
  return join(networkDir(dataDir, network), 'ipam');
}

/** By holder; `deleted <holder>`: a DEL that its agent has yet to hear of. */
type AttachmentRecord = Attachment | true;

const GRAVE = 'deleted ';

/** In `attachments.jsonl` of the network's directory. */
export class Attachments {
  readonly path: string;
  readonly #file: RecordFile<AttachmentRecord>;

  constructor(dataDir: string, network: string, files = new RecordFiles()) {
    this.path = join(networkDir(dataDir, network), 'attachments.jsonl');
    this.#file = files.at(this.path);
  }

  put(attachment: Attachment): void {
    this.#file.locked((_, write) => write({ [holderKey(attachment)]: attachment }));
  }

  /** What ADDs spent their time on; of those that are gone meanwhile nothing is written. */
  note(took: readonly (readonly [Holder, Took])[]): void {
    // Nor is a network that is gone made anew for that.
    if (this.#file.read().size === 0) return;
    this.#file.locked((records, write) => {
      const changes = took.flatMap(([holder, steps]) => {
        const known = records.get(holderKey(holder));
        return known && known !== true ? [[holderKey(holder), { ...known, took: steps }] as const] : [];
      });
      if (changes.length > 0) write(Object.fromEntries(changes));
    });
  }

  get(holder: Holder): Attachment | undefined {
    const record = this.#file.read().get(holderKey(holder));
    return record === true ? undefined : record;
  }

  drop(holder: Holder): void {
    const names = [holderKey(holder), graveOf(holder)];
    if (!names.some((name) => this.#file.read().has(name))) return;
    this.#file.locked((records, write) => {
      const there = names.filter((name) => records.has(name));
      if (there.length > 0) write(Object.fromEntries(there.map((name) => [name, null])));
    });
  }

  /** A DEL that its agent has yet to hear of. */
  bury(holder: Holder): void {
    this.#file.locked((_, write) => write({ [graveOf(holder)]: true }));
  }

  isBuried(holder: Holder): boolean {
    return this.#file.read().has(graveOf(holder));
  }

  /** Every DEL has been heard of. */
  clearGraves(): void {
    const isGrave = (name: string) => name.startsWith(GRAVE);
    if (![...this.#file.read().keys()].some(isGrave)) return;
    this.#file.locked((records, write) => {
      write(Object.fromEntries([...records.keys()].filter(isGrave).map((name) => [name, null])));
    });
  }

  all(): Attachment[] {
    return [...this.#file.read().values()].filter((record) => record !== true);
  }

  /** Stops at the first. */
  some(test: (attachment: Attachment) => boolean): boolean {
    for (const record of this.#file.read().values()) if (record !== true && test(record)) return true;
    return false;
  }
}

function graveOf(holder: Holder): string {
  return `${GRAVE}${holderKey(holder)}`;
}

/** Runs `work` while nobody else changes what all networks share. */
export function withSharedLock<T>(dataDir: string, work: () => T): T {
  const path = join(dataDir, 'lock');
  if (!existsSync(path)) makeFolder(dataDir, 0o700);
  return withFileLock(path, work);
}

/** Names of the networks that have files. */
export function networksIn(dataDir: string): string[] {
  const dir = join(dataDir, 'networks');
  return existsSync(dir) ? readdirSync(dir).sort() : [];
}
