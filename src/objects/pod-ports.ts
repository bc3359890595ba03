// Room objects: the ports that a pod's containers ask for on their node.
import type { Pod } from './types.ts';

export interface PodHostPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** As the spec has it; absent: every address of the node. */
  readonly hostIP?: string;
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
