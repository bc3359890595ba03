// Room cluster: the datapath that a cluster may have on this machine's kernel.
import { socketLbLacks } from '../kernel/socket-lb.ts';
import type { Datapath } from '../node/agent.ts';
import { logger } from '../observe/log.ts';
import type { ClusterConfig, ProxyMode } from './config.ts';
import { askFastPath, askSwitch } from './known-kernel.ts';

let probed: Datapath | undefined;

/** Where the kernel lacks what eBPF needs, nftables does it all, and the log says so once. */
export function settleDatapath({ network }: Pick<ClusterConfig, 'network'>): Datapath {
  if (network.datapath === 'nftables') return { kind: 'nftables' };
  probed ??= probeDatapath(network.datapath === 'ebpf' ? 'warn' : 'info');
  return probed;
}

function probeDatapath(level: 'info' | 'warn'): Datapath {
  const answer = askFastPath();
  if ('numbers' in answer) return { kind: 'ebpf', numbers: answer.numbers };
  logger('cluster')[level]({ missing: answer.missing }, 'no eBPF fast path on this kernel: pods use nftables alone');
  return { kind: 'nftables', missing: answer.missing };
}

let switched: boolean | undefined;

/** Whether frames between nodes go past the fabric's bridges. A kernel without the fast path may have that. */
export function settleSwitch(config: Pick<ClusterConfig, 'network'>): boolean {
  const datapath = settleDatapath(config);
  if (datapath.kind === 'ebpf') return true;
  if (!datapath.missing) return false;
  switched ??= askSwitch();
  return switched;
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

/** Which is in force and why: one line for people. */
export function datapathText(config: Pick<ClusterConfig, 'network'>): string {
  const isAsked = config.network.datapath === 'ebpf';
  const datapath = settleDatapath(config);
  if (datapath.kind === 'ebpf') return 'ebpf: known flows of pods go past the nodes\u2019 stacks';
  if (datapath.missing) {
    const instead = `nftables${settleSwitch(config) ? ', and eBPF between the nodes' : ''}`;
    return `${instead}${isAsked ? '; ebpf was asked for' : ''}: no eBPF fast path here: ${datapath.missing}`;
  }
  return 'nftables: all packets of pods go through the nodes\u2019 stacks';
}
