// Room objects: the ports that a pod's containers ask for on their node.
import type { Pod } from './types.ts';

export interface PodHostPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** As the spec has it; absent: every address of the node. */
  readonly hostIP?: string;
}

/** Whether one address of a node would have to answer for both. */
export function hostPortsCollide(a: PodHostPort, b: PodHostPort): boolean {
  const every = (ip: string | undefined) => ip === undefined || ip === '0.0.0.0';
  const sameIP = every(a.hostIP) || every(b.hostIP) || a.hostIP === b.hostIP;
  return sameIP && a.hostPort === b.hostPort && a.protocol === b.protocol;
}

/** Of containers and of init containers that run on (KEP-753); the others are gone before anybody could ask them. */
export function podHostPorts({ spec }: Pick<Pod, 'spec'>): PodHostPort[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const ports = [...sidecars, ...spec.containers].flatMap((container) => container.ports ?? []);
  return ports.flatMap(({ hostPort, containerPort, hostIP, protocol = 'TCP' }) =>
    hostPort
      ? [{ hostPort, containerPort, protocol: protocol as PodHostPort['protocol'], ...(hostIP && { hostIP }) }]
      : [],
  );
}
