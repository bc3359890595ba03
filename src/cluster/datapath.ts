// Room cluster: the datapath that a cluster may have on this machine's kernel.
import { probeFastPath } from '../kernel/fast-path.ts';
import type { Datapath } from '../node/agent.ts';
import { logger } from '../observe/log.ts';
import type { ClusterConfig } from './config.ts';

let probed: Datapath | undefined;

/** Where the kernel lacks what eBPF needs, nftables does it all, and the log says so once. */
export function settleDatapath({ network }: Pick<ClusterConfig, 'network'>): Datapath {
  if (network.datapath !== 'ebpf') return { kind: 'nftables' };
  probed ??= probeDatapath();
  return probed;
}

function probeDatapath(): Datapath {
  const answer = probeFastPath();
  if ('numbers' in answer) return { kind: 'ebpf', numbers: answer.numbers };
  logger('cluster').warn({ missing: answer.missing }, 'no eBPF fast path on this kernel: pods use nftables alone');
  return { kind: 'nftables', missing: answer.missing };
}

/** One line for people. */
export function datapathText(datapath: Datapath): string {
  if (datapath.kind === 'ebpf') return 'ebpf: known flows of pods go past the nodes\u2019 stacks';
  return datapath.missing ? `nftables; ebpf was asked for, but ${datapath.missing}` : 'nftables';
}
