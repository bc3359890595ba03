// Room cluster: the datapath that a cluster may have on this machine's kernel.
import { probeFastPath } from '../kernel/fast-path.ts';
import { socketLbLacks } from '../kernel/socket-lb.ts';
import type { Datapath } from '../node/agent.ts';
import { logger } from '../observe/log.ts';
import type { ClusterConfig, ProxyMode } from './config.ts';

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

let socketsLack: { readonly missing: string | undefined } | undefined;

/** What the kernel lacks for Services at the sockets of pods, where that was asked for; the log says so once. */
export function settleProxyMode({ network }: Pick<ClusterConfig, 'network'>): { mode: ProxyMode; missing?: string } {
  if (network.proxyMode !== 'ebpf') return { mode: 'nftables' };
  if (!socketsLack) {
    socketsLack = { missing: socketLbLacks() };
    const { missing } = socketsLack;
    if (missing)
      logger('cluster').warn({ missing }, 'no Services at the socket on this kernel: nftables translates all');
  }
  const { missing } = socketsLack;
  return missing ? { mode: 'nftables', missing } : { mode: 'ebpf' };
}

/** One line for people. */
export function proxyModeText({ mode, missing }: ReturnType<typeof settleProxyMode>): string {
  if (mode === 'ebpf') return 'ebpf: pods find Services at their sockets, all others by nftables';
  return missing ? `nftables; ebpf was asked for, but ${missing}` : 'nftables';
}

/** One line for people. */
export function datapathText(datapath: Datapath): string {
  if (datapath.kind === 'ebpf') return 'ebpf: known flows of pods go past the nodes\u2019 stacks';
  return datapath.missing ? `nftables; ebpf was asked for, but ${datapath.missing}` : 'nftables';
}
