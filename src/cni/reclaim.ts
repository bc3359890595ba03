// Room cni: what containers hold that are gone, taken back by hand: addresses, records, published ports.
import type { IP } from '../addr/ip.ts';
import { type FileLease, FileLeases, type Holder } from '../ipam/file-leases.ts';
import { Fault } from '../observe/fault.ts';
import { type Attachment, Attachments, leasesDir, networksIn } from './attachment.ts';
import { lossOf, REST } from './audit.ts';
import { remove } from './del.ts';
import type { Host } from './host.ts';

export interface Released {
  readonly network: string;
  /** `containerID/ifname` */
  readonly holder: string;
  /** They rest from now on. None: it had no address of ours any more, but rules or a record. */
  readonly ips: readonly IP[];
}

export interface ReclaimOptions {
  readonly dataDir: string;
  /** Of this network alone. */
  readonly network?: string | undefined;
  readonly host: Host;
}

/** Of every container whose network namespace is gone. */
export function releaseLost({ dataDir, network, host }: ReclaimOptions): Released[] {
  return networksIn(dataDir)
    .filter((each) => network === undefined || each === network)
    .flatMap((each) => {
      const leases = leasesOf(dataDir, each);
      const attachments = new Attachments(dataDir, each, host.files);
      const lost: (FileLease | Attachment)[] = [...leases.all(), ...attachments.all()].filter(
        ({ netns }) => lossOf(netns) !== undefined,
      );
      const holders = new Map(lost.map((holder) => [nameOf(holder), holder]));
      return [...holders].map(([holder, one]) => {
        detach(dataDir, host, attachments, one);
        return { network: each, holder, ips: leases.release(one) };
      });
    });
}

/**
 * Of whoever holds the address; undefined when nobody does. Throws a Fault when that is a container that lives, unless forced:
 * then the container keeps its interface, and the address can become another's too.
 */
export function releaseAddress(
  ip: IP,
  force: boolean,
  { dataDir, network, host }: ReclaimOptions,
): Released | undefined {
  for (const each of networksIn(dataDir)) {
    if (network !== undefined && each !== network) continue;
    const leases = leasesOf(dataDir, each);
    const lease = leases.holderOf(ip);
    if (!lease) continue;
    const lost = lossOf(lease.netns) !== undefined;
    if (!lost && lease.netns !== '' && !force) {
      throw new Fault(`${lease.pod || nameOf(lease)} holds ${ip} and lives`, {
        mend: 'stop the container, which gives it back; --force gives it to the next container all the same',
      });
    }
    if (lost) detach(dataDir, host, new Attachments(dataDir, each, host.files), lease);
    return { network: each, holder: nameOf(lease), ips: leases.release(lease) };
  }
  return undefined;
}

/** As DEL would have, had the runtime called it. */
function detach(dataDir: string, host: Host, attachments: Attachments, holder: Holder): void {
  const known = attachments.get(holder);
  if (known) remove(dataDir, host, attachments, known);
}

function leasesOf(dataDir: string, network: string): FileLeases {
  return new FileLeases({ dir: leasesDir(dataDir, network), rest: REST });
}

function nameOf({ containerID, ifname }: Holder): string {
  return `${containerID}/${ifname}`;
}
