// Room node: the ports of the node that a pod asks for, in the words of the plan.
import { formatIP, ipBytes } from '../addr/ip.ts';
import { podHostPorts } from '../objects/pod-ports.ts';
import type { Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import type { HostPort } from '../plan/host-ports.ts';

const LOOPBACK = '::1';

/** Throws a Fault for the one address at which no pod can be reached. */
export function publishedPorts(pod: Pick<Pod, 'spec'>): HostPort[] {
  const ports = possiblePorts(pod);
  const all = podHostPorts(pod);
  if (ports.length === all.length) return ports;
  const { hostPort } = all.find(isOnLoopback)!;
  const why = 'Linux lets no packet to it leave the node';
  throw new Fault(`hostPort ${hostPort} cannot be published on hostIP ${LOOPBACK}: ${why}; 127.0.0.1 can be had`);
}

/** Without those that cannot be. */
export function possiblePorts(pod: Pick<Pod, 'spec'>): HostPort[] {
  return podHostPorts(pod)
    .filter((port) => !isOnLoopback(port))
    .map(({ hostIP, ...port }) => ({
      ...port,
      protocol: port.protocol.toLowerCase() as HostPort['protocol'],
      ...(hostIP && { hostIP: canonical(hostIP) }),
    }));
}

function isOnLoopback({ hostIP }: { readonly hostIP?: string }): boolean {
  return hostIP !== undefined && canonical(hostIP) === LOOPBACK;
}

function canonical(ip: string): string {
  return formatIP(ipBytes(ip));
}
