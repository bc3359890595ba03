// The same Services as iptables has them: kube-proxy's chains in its iptables mode, loaded and changed by iptables-restore.
import { spawnSync } from 'node:child_process';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';

interface Addresses {
  readonly clusterIP: (n: number) => string;
  readonly endpointIP: (n: number) => string;
}

/** What takes longer than this is told as that. */
const PATIENCE_MS = 20_000;
const TOOLS = ['iptables-restore', 'iptables-legacy-restore'] as const;

export function printKubeProxy(): void {
  const found = spawnSync('kube-proxy', ['--version'], { encoding: 'utf8' });
  if (found.error) console.log('kube-proxy is not on PATH: iptables-restore stands in for its iptables mode');
  else console.log(`${found.stdout.trim()} is on PATH; not run here: it wants an API server and the root namespace`);
}

export function iptablesPeer(services: number, size: number, addresses: Addresses): void {
  for (const tool of TOOLS) {
    if (spawnSync(tool, ['--version']).error) {
      console.log(`  ${tool}: not installed`);
      continue;
    }
    const netns = netnsPath(`pwt-bench-ipt${process.pid}`);
    createNetns(netns);
    try {
      const load = restore(tool, netns, rules(services, size, addresses));
      console.log(`  ${tool}: first load ${load}`);
      if (load.includes('more than')) continue;
      // As kube-proxy does for one Service that changed: its chains and the list of Services.
      console.log(`  ${tool}: one endpoint exchanged ${restore(tool, netns, change(size))}`);
    } finally {
      removeNamespace(netns);
    }
  }
}

function restore(tool: string, netns: string, input: string): string {
  const start = performance.now();
  const result = inNetns(netns, () =>
    spawnSync(tool, ['--noflush', '--counters'], { input, timeout: PATIENCE_MS, maxBuffer: 2 ** 28, encoding: 'utf8' }),
  );
  if (result.error) return `more than ${PATIENCE_MS / 1000} s`;
  if (result.status !== 0) return `failed: ${result.stderr.split('\n')[0]}`;
  return `${Math.round(performance.now() - start)} ms`;
}

function rules(services: number, size: number, { clusterIP, endpointIP }: Addresses): string {
  const chains = [':PREROUTING ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':KUBE-SERVICES - [0:0]'];
  const lines = ['-A PREROUTING -j KUBE-SERVICES', '-A OUTPUT -j KUBE-SERVICES'];
  for (let n = 0; n < services; n++) {
    chains.push(`:KUBE-SVC-${n} - [0:0]`);
    const comment = `-m comment --comment "bench/s${n} cluster IP"`;
    lines.push(`-A KUBE-SERVICES ${comment} -m tcp -p tcp -d ${clusterIP(n)}/32 --dport 80 -j KUBE-SVC-${n}`);
    for (let i = 0; i < size; i++) {
      chains.push(`:KUBE-SEP-${n}-${i} - [0:0]`);
      lines.push(...endpoint(n, i, size, endpointIP(n * size + i)));
    }
  }
  return ['*nat', ...chains, ...lines, 'COMMIT', ''].join('\n');
}

function endpoint(n: number, i: number, size: number, ip: string): string[] {
  const chance = i === size - 1 ? '' : `-m statistic --mode random --probability ${(1 / (size - i)).toFixed(10)} `;
  return [
    `-A KUBE-SVC-${n} ${chance}-j KUBE-SEP-${n}-${i}`,
    `-A KUBE-SEP-${n}-${i} -m tcp -p tcp -j DNAT --to-destination ${ip}:8080`,
  ];
}

function change(size: number): string {
  const chains = [':KUBE-SVC-7 - [0:0]', ...Array.from({ length: size }, (_, i) => `:KUBE-SEP-7-${i} - [0:0]`)];
  const lines = Array.from({ length: size }, (_, i) =>
    endpoint(7, i, size, i === 2 ? '10.200.0.1' : `10.101.0.${i}`),
  ).flat();
  return ['*nat', ...chains, ...lines, 'COMMIT', ''].join('\n');
}
