// Room node: what a node says of itself in its Node object.

import { readFileSync, statfsSync } from 'node:fs';
import os from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import { timestamp } from '../objects/time.ts';
import type { Node } from '../objects/types.ts';
import type { ImageSummary } from '../runtime/runtime.ts';
import type { NodeOptions } from './agent.ts';

export type NodeStatus = NonNullable<Node['status']>;
type NodeCondition = NonNullable<NodeStatus['conditions']>[number];

/** The API that this agent was written against, as `kubectl get nodes` shows it. */
export const KUBELET_VERSION = 'v1.36.0+podwire';
const MAX_PODS = '110';
const MAX_IMAGES = 50;

/** What the machine has. Nodes of one machine share it: each says the whole. */
export function machineCapacity(stateDir: string): {
  cpu: string;
  memory: string;
  'ephemeral-storage': string;
  pods: string;
} {
  const { bsize, blocks } = statfsSync(stateDir);
  return {
    cpu: `${os.availableParallelism()}`,
    memory: `${Math.floor(os.totalmem() / 1024)}Ki`,
    'ephemeral-storage': `${Math.floor((bsize * blocks) / 1024)}Ki`,
    pods: MAX_PODS,
  };
}

export interface NodeReport {
  readonly options: NodeOptions;
  readonly capacity: Readonly<Record<string, string>>;
  readonly nodeInfo: NonNullable<NodeStatus['nodeInfo']>;
  readonly images: readonly ImageSummary[];
  /** Parts that are not yet in force; Ready when there are none. */
  readonly waitingFor: readonly string[];
  readonly now: number;
}

export function nodeStatus(report: NodeReport, base: NodeStatus): NodeStatus {
  const { options, capacity, nodeInfo, images, waitingFor, now } = report;
  const old = new Map((base.conditions ?? []).map((condition) => [condition.type, condition]));
  const ready: Verdict =
    waitingFor.length === 0
      ? ['True', 'KubeletReady', 'kubelet is posting ready status']
      : ['False', 'KubeletNotReady', `waiting for ${waitingFor.join(', ')}`];
  return {
    ...base,
    capacity: { ...capacity },
    allocatable: { ...capacity },
    addresses: [
      ...options.nodeIPs.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: options.nodeName },
    ],
    conditions: [
      condition(
        'MemoryPressure',
        ['False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
        old,
        now,
      ),
      condition('DiskPressure', ['False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'], old, now),
      condition('PIDPressure', ['False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'], old, now),
      condition('Ready', ready, old, now),
    ],
    nodeInfo,
    ...(images.length > 0 && { images: images.slice(0, MAX_IMAGES).map(imageOf) }),
  };
}

type Verdict = readonly [status: string, reason: string, message: string];

/** The heartbeat moves with the whole status, so that an unchanged node is not written for it alone. */
function condition(
  type: string,
  [status, reason, message]: Verdict,
  old: Map<string, NodeCondition>,
  now: number,
): NodeCondition {
  const before = old.get(type);
  const same = before?.status === status;
  return {
    type,
    status,
    lastHeartbeatTime: before?.lastHeartbeatTime ?? timestamp(now),
    lastTransitionTime: (same && before.lastTransitionTime) || timestamp(now),
    reason,
    message,
  };
}

function imageOf({ names, size }: ImageSummary): { names: string[]; sizeBytes: number } {
  return { names: [...names], sizeBytes: size };
}

export function machineInfo(): NonNullable<NodeStatus['nodeInfo']> {
  return {
    machineID: line('/etc/machine-id'),
    systemUUID: line('/sys/class/dmi/id/product_uuid') || line('/etc/machine-id'),
    bootID: line('/proc/sys/kernel/random/boot_id'),
    kernelVersion: os.release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(line('/etc/os-release'))?.[1] ?? 'Linux',
    containerRuntimeVersion: `podwire://${packageJson.version}`,
    kubeletVersion: KUBELET_VERSION,
    kubeProxyVersion: '',
    operatingSystem: 'linux',
    architecture: goArchitecture(),
  };
}

/** As Go and so Kubernetes name it. */
export function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

function line(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
