// Room cni: who holds which address on this machine, since when, and what is held by nobody who lives.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { IP } from '../addr/ip.ts';
import { FileLeases } from '../ipam/file-leases.ts';
import { leasesAt, nodeLeasesPath } from '../ipam/leases.ts';
import { isPinned } from '../sys/netns.ts';
import { type Attachment, Attachments, leasesDir, networksIn, nodeDataDir } from './attachment.ts';

export interface HeldAddress {
  readonly ip: IP;
  /** `network net1`, or `node demo/node-1` of a cluster. */
  readonly where: string;
  readonly holder: string;
  /** `namespace/name`, where it is known. */
  readonly pod: string;
  /** RFC 3339. */
  readonly since: string;
  readonly state: 'held' | 'resting' | 'leaked';
  /** Of a leak: how it shows. */
  readonly why?: string;
}

/** How long a released address is counted as resting when nobody says: the default of `restSeconds`. */
export const REST = 30_000;

/** Addresses that the stand-alone plugin gave. */
export function heldInNetworks(dataDir: string): HeldAddress[] {
  return networksIn(dataDir).flatMap((network) => {
    const leases = new FileLeases({ dir: leasesDir(dataDir, network), rest: REST });
    const where = `network ${network}`;
    const held = leases.all().flatMap((lease) => {
      const why = lossOf(lease.netns);
      const common = { where, holder: `${lease.containerID}/${lease.ifname}`, pod: lease.pod, since: lease.leasedAt };
      return lease.ips.map(
        (ip): HeldAddress => ({ ip, ...common, state: why ? 'leaked' : 'held', ...(why && { why }) }),
      );
    });
    const resting = leases.resting().map(
      ({ ip, since }): HeldAddress => ({
        ip,
        where,
        holder: '',
        pod: '',
        since: new Date(since).toISOString(),
        state: 'resting',
      }),
    );
    return [...held, ...resting];
  });
}

/** How it shows that a container is gone; undefined when it lives, or nobody said where. */
export function lossOf(netns: string): string | undefined {
  if (netns === '') return undefined;
  const alive = netns.startsWith('/proc/') ? existsSync(netns) : existsSync(netns) && isPinned(netns);
  return alive ? undefined : `its network namespace ${netns} is gone`;
}

/** Addresses that a node's agent gave. `stateDir` is the node's; `name` tells it apart. */
export function heldByNode(stateDir: string, name: string): HeldAddress[] {
  const guests = guestsOf(stateDir);
  return leasesAt(nodeLeasesPath(stateDir)).flatMap((lease) => {
    const guest = guests.get(lease.sandboxId);
    const holder = guest ? `${guest.containerID}/${guest.ifname}` : lease.sandboxId;
    const why = guest ? lossOf(guest.pin ?? guest.netns) : lossOfSandbox(stateDir, lease.sandboxId);
    const common = { where: `node ${name}`, holder, pod: lease.pod, since: lease.leasedAt };
    const state = why === undefined ? ({ state: 'held' } as const) : ({ state: 'leaked', why } as const);
    return lease.ips.map((ip): HeldAddress => ({ ip, ...common, ...state }));
  });
}

/** Containers that other runtimes attached to the node by CNI, by the name of their lease. */
function guestsOf(stateDir: string): Map<string, Attachment> {
  const dataDir = nodeDataDir(stateDir);
  const all = networksIn(dataDir).flatMap((network) => new Attachments(dataDir, network).all());
  return new Map(all.map((attachment) => [attachment.sandboxId ?? '', attachment]));
}

function lossOfSandbox(stateDir: string, sandboxId: string): string | undefined {
  return existsSync(join(stateDir, 'runtime', 'sandboxes', sandboxId)) ? undefined : 'its sandbox is gone';
}

/** What is on record of containers that are gone, beside their leases. */
export function unmatched(dataDir: string): string[] {
  return networksIn(dataDir).flatMap((network) => {
    const leases = new FileLeases({ dir: leasesDir(dataDir, network), rest: REST });
    const attachments = new Attachments(dataDir, network).all();
    return attachments
      .filter((attachment) => lossOf(attachment.netns) !== undefined && !leases.get(attachment))
      .map(
        ({ containerID, ifname }) =>
          `network ${network}: ${containerID}/${ifname} is on record and its namespace is gone`,
      );
  });
}
