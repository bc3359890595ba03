// Room cni: what one ADD has made, kept in a file until DEL: one for each (network, container, interface).
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import { type Holder, holderKey } from '../ipam/file-leases.ts';
import { replaceFile } from '../ipam/state-file.ts';
import type { Bandwidth } from '../plan/bandwidth.ts';
import type { HostPort } from '../plan/host-ports.ts';

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
  /** Destinations that see the container's own address; absent: no masquerading. */
  readonly unmasqueraded?: readonly CIDR[];
  /** RFC 3339. */
  readonly attachedAt: string;
  /** Of a node's agent: under what name it holds the lease, and which namespace it is (an inode's number). */
  readonly sandboxId?: string;
  readonly inode?: string;
  /** Of a node's agent: where it pinned the namespace, when the path that it was told is not to be seen from where it stands. */
  readonly pin?: string;
  /** Of a node's agent: `namespace/name`. */
  readonly pod?: string;
  /** Of a node's agent: the one that was asked for. */
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

export function lockPath(dataDir: string): string {
  return join(dataDir, 'lock');
}

export class Attachments {
  readonly #dir: string;

  constructor(dataDir: string, network: string) {
    this.#dir = join(networkDir(dataDir, network), 'attachments');
  }

  prepare(): void {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
  }

  put(attachment: Attachment): void {
    replaceFile(this.#path(attachment), JSON.stringify(attachment));
  }

  /** What must be on the disk for the attachment to be there. */
  pathsOf(holder: Holder): readonly string[] {
    const path = this.#path(holder);
    return [path, dirname(path)];
  }

  /** Undefined also when the file is torn: what it would tell is of an earlier boot. */
  get(holder: Holder): Attachment | undefined {
    try {
      return JSON.parse(readFileSync(this.#path(holder), 'utf8')) as Attachment;
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  drop(holder: Holder): void {
    rmSync(this.#path(holder), { force: true });
    rmSync(this.#grave(holder), { force: true });
  }

  /** A DEL that its agent has yet to hear of. */
  bury(holder: Holder): void {
    mkdirSync(this.#graves, { recursive: true, mode: 0o700 });
    replaceFile(this.#grave(holder), '');
  }

  isBuried(holder: Holder): boolean {
    return existsSync(this.#grave(holder));
  }

  all(): Attachment[] {
    return [...this.#each()];
  }

  some(test: (attachment: Attachment) => boolean): boolean {
    for (const attachment of this.#each()) if (test(attachment)) return true;
    return false;
  }

  *#each(): Generator<Attachment> {
    if (!existsSync(this.#dir)) return;
    for (const name of readdirSync(this.#dir)) {
      const [containerID, ifname] = name.split('@');
      if (!containerID || !ifname || name.endsWith('.new')) continue;
      const attachment = this.get({ containerID, ifname });
      if (attachment) yield attachment;
    }
  }

  #path(holder: Holder): string {
    return join(this.#dir, holderKey(holder));
  }

  /** Every DEL has been heard of. */
  clearGraves(): void {
    rmSync(this.#graves, { recursive: true, force: true });
  }

  get #graves(): string {
    return join(dirname(this.#dir), 'deleted');
  }

  #grave(holder: Holder): string {
    return join(this.#graves, holderKey(holder));
  }
}

/** Names of the networks that have files. */
export function networksIn(dataDir: string): string[] {
  const dir = join(dataDir, 'networks');
  return existsSync(dir) ? readdirSync(dir).sort() : [];
}
