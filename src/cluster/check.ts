// Room cluster: looks the machine over: privileges, programs, kernel features, limits; and says how to mend each.
import { spawnSync } from 'node:child_process';
import { closeSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { probeFastPath } from '../kernel/fast-path.ts';
import type { KernelItem } from '../kernel/items.ts';
import { openKernel } from '../kernel/linux.ts';
import { socketLbLacks } from '../kernel/socket-lb.ts';
import { createNetns, netnsPath, removeNamespace } from '../sys/netns.ts';
import { openSocket } from '../sys/socket.ts';
import { takesUp } from './known.ts';
import { fabricExists } from './namespaces.ts';
import type { PathReport } from './path-check.ts';
import { stateRoot } from './paths.ts';
import { runningDaemon } from './pidfile.ts';
import { findProgram } from './programs.ts';
import { CHROOT_MEND, isChroot } from './root.ts';
import { storedConfig } from './slot.ts';

/**
 * `missing`: podwire cannot work. `absent`: a part that some feature would use is not there. `low`: a limit that will bite.
 * `broken`: a running cluster does not do what it ought to.
 */
export type CheckState = 'ok' | 'low' | 'absent' | 'missing' | 'broken';

export interface CheckRow {
  readonly what: string;
  readonly state: CheckState;
  readonly detail: string;
  /** What to do about it: a command or a sentence. */
  readonly mend?: string;
  /** Of a path between two nodes that does not carry what it should. */
  readonly path?: PathReport;
}

/** The cluster as it runs; nothing when it does not. */
export async function checkCluster(clusterName: string): Promise<CheckRow[]> {
  if (process.getuid?.() !== 0 || !fabricExists(clusterName)) return [];
  const config = storedConfig(clusterName);
  if (!config) return [];
  const [{ checkPaths }, { checkForeignRules }, { checkNeighbours }] = await Promise.all([
    import('./path-check.ts'),
    import('./foreign-check.ts'),
    import('./neighbour-check.ts'),
  ]);
  return [
    checkDaemon(clusterName),
    ...(await checkPaths(config)),
    ...checkForeignRules(config),
    ...checkNeighbours(config),
  ];
}

function checkDaemon(name: string): CheckRow {
  const what = `daemon of ${name}`;
  if (runningDaemon(name)) return { what, state: 'ok', detail: 'runs' };
  const detail = 'is not running; pods and their traffic go on';
  return { what, state: 'broken', detail, mend: takesUp(name) };
}

export async function checkMachine(): Promise<CheckRow[]> {
  const root = process.getuid?.() === 0;
  return [
    root
      ? { what: 'privilege', state: 'ok', detail: 'root' }
      : { what: 'privilege', state: 'missing', detail: 'not root', mend: 'run podwire with sudo' },
    { what: 'Node.js', state: 'ok', detail: process.version },
    ...PROGRAMS.map(checkProgram),
    ...(root ? checkKernel() : []),
    checkOverlay(),
    ...(root ? [await checkRoot()] : []),
    checkCgroups(),
    checkReaper(),
    ...LIMITS.map(checkLimit),
    checkDisk(),
  ];
}

interface Program {
  readonly names: readonly string[];
  readonly package: string;
  readonly purpose: string;
  readonly optional?: boolean;
}

const PROGRAMS: readonly Program[] = [
  { names: ['crun', 'runc'], package: 'crun', purpose: 'runs containers' },
  { names: ['conmon'], package: 'conmon', purpose: 'holds a container while the daemon is away' },
  { names: ['ip'], package: 'iproute2', purpose: 'shows links and routes', optional: true },
  { names: ['nft'], package: 'nftables', purpose: 'shows rules', optional: true },
  { names: ['conntrack'], package: 'conntrack', purpose: 'shows flows', optional: true },
  { names: ['kubectl'], package: 'kubectl', purpose: 'talks to the cluster', optional: true },
];

function checkProgram({ names, package: debian, purpose, optional }: Program): CheckRow {
  const path = names.map((name) => findProgram(name)).find((found) => found !== undefined);
  const what = names.join(' or ');
  if (path) return { what, state: 'ok', detail: path };
  const mend =
    debian === 'kubectl' ? 'install kubectl 1.32 or later' : `apt-get install -y --no-install-recommends ${debian}`;
  return { what, state: optional ? 'absent' : 'missing', detail: `not installed; ${purpose}`, mend };
}

interface Feature {
  readonly what: string;
  readonly items: readonly KernelItem[];
  readonly mend: string;
}

const FEATURES: readonly Feature[] = [
  {
    what: 'veth',
    items: [{ kind: 'link', name: 'pwc0', mtu: 1500, up: true, type: { kind: 'veth', peer: { name: 'pwc1' } } }],
    mend: 'modprobe veth (CONFIG_VETH)',
  },
  {
    what: 'bridge',
    items: [{ kind: 'link', name: 'pwcbr', mtu: 1500, up: true, type: { kind: 'bridge' } }],
    mend: 'modprobe bridge (CONFIG_BRIDGE)',
  },
  {
    what: 'vxlan',
    items: [
      {
        kind: 'link',
        name: 'pwcvx',
        mtu: 1450,
        up: true,
        type: { kind: 'vxlan', vni: 1, local: '127.0.0.1', port: 8472 },
      },
    ],
    mend: 'modprobe vxlan (CONFIG_VXLAN)',
  },
  {
    what: 'nftables with NAT',
    items: [
      { kind: 'table', family: 'ip', table: 'podwire-check' },
      {
        kind: 'chain',
        family: 'ip',
        table: 'podwire-check',
        chain: 'c',
        base: { type: 'nat', hook: 'prerouting', priority: -100 },
        rules: [],
      },
    ],
    mend: 'modprobe nf_tables nft_chain_nat (CONFIG_NF_TABLES, CONFIG_NFT_NAT)',
  },
];

/** Each feature is tried for real in a namespace made for it. */
function checkKernel(): CheckRow[] {
  const path = netnsPath(`pw-check-${process.pid}`);
  try {
    createNetns(path);
  } catch (error) {
    const detail = `network namespaces: ${(error as Error).message}`;
    return [
      { what: 'network namespaces', state: 'missing', detail, mend: 'a kernel with CONFIG_NET_NS, and CAP_SYS_ADMIN' },
    ];
  }
  const kernel = openKernel({ netns: path });
  try {
    return [
      { what: 'network namespaces', state: 'ok', detail: 'made and removed one' },
      ...FEATURES.map(({ what, items, mend }) =>
        attempt({ what, detail: 'works', state: 'missing', mend }, () =>
          kernel.apply({ add: items, change: [], remove: [] }),
        ),
      ),
      attempt(
        { what: 'conntrack over netlink', detail: 'works', state: 'missing', mend: 'modprobe nf_conntrack_netlink' },
        () => kernel.flushConntrack([{ protocol: 'UDP', originalDst: '192.0.2.1', originalDstPort: 1 }]),
      ),
      checkFastPath(),
      checkSockets(),
      attempt({ what: 'SCTP', detail: 'works', state: 'absent', mend: 'modprobe sctp, for pods that speak SCTP' }, () =>
        closeSync(openSocket('inet', 'stream', IPPROTO_SCTP)),
      ),
    ];
  } finally {
    kernel.close();
    removeNamespace(path);
  }
}

function checkSockets(): CheckRow {
  const what = 'eBPF Services';
  const missing = socketLbLacks();
  if (!missing) return { what, state: 'ok', detail: 'works (podwire up --proxy-mode ebpf)' };
  const mend = 'Linux 5.18 or later and a cgroup2 tree; nftables does without';
  return { what, state: 'absent', detail: missing, mend };
}

function checkFastPath(): CheckRow {
  const what = 'eBPF fast path';
  const answer = probeFastPath();
  if ('numbers' in answer)
    return { what, state: 'ok', detail: 'works (podwire up takes it; --datapath nftables does without)' };
  const mend = 'Linux 5.18 or later with BTF and conntrack built in; nftables does without';
  return { what, state: 'absent', detail: answer.missing, mend };
}

const IPPROTO_SCTP = 132;

function attempt(row: { what: string; detail: string; state: CheckState; mend: string }, probe: () => void): CheckRow {
  try {
    probe();
    return { what: row.what, state: 'ok', detail: row.detail };
  } catch (error) {
    return { what: row.what, state: row.state, detail: (error as Error).message.split(' for {')[0]!, mend: row.mend };
  }
}

function checkOverlay(): CheckRow {
  const known = readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n');
  if (known) return { what: 'overlayfs', state: 'ok', detail: 'works' };
  return {
    what: 'overlayfs',
    state: 'missing',
    detail: 'not in /proc/filesystems',
    mend: 'modprobe overlay (CONFIG_OVERLAY_FS)',
  };
}

async function checkRoot(): Promise<CheckRow> {
  const what = 'root file system';
  if (!(await isChroot())) return { what, state: 'ok', detail: 'that of the mount namespace' };
  return { what, state: 'missing', detail: 'a chroot: no cluster can run in it', mend: CHROOT_MEND };
}

function checkCgroups(): CheckRow {
  const exists = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined;
  if (exists('/sys/fs/cgroup/cgroup.controllers')) return { what: 'cgroups', state: 'ok', detail: 'version 2' };
  if (exists('/sys/fs/cgroup/unified/cgroup.controllers')) {
    return { what: 'cgroups', state: 'ok', detail: 'hybrid; containers use version 2, without resource limits' };
  }
  const mend = 'mount -t cgroup2 none /sys/fs/cgroup/unified';
  return { what: 'cgroups', state: 'missing', detail: 'no cgroup2 tree', mend };
}

/** Ends a parent before its child, and looks whether anybody collects the child: in many a CI container nobody does, or does late. */
function checkReaper(): CheckRow {
  const what = 'process 1';
  const orphan = spawnSync('/bin/sh', ['-c', 'sleep 0.02 >/dev/null & echo $!'], { encoding: 'utf8' }).stdout.trim();
  const end = Date.now() + REAPER_LIMIT_MS;
  const isThere = () => statSync(`/proc/${orphan}`, { throwIfNoEntry: false }) !== undefined;
  while (isThere() && Date.now() < end) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  if (!isThere()) return { what, state: 'ok', detail: 'reaps orphans' };
  const detail = 'reaps no orphans: a pod in which a command could not be started will not end';
  return { what, state: 'low', detail, mend: 'an init as process 1 (docker run --init)' };
}

const REAPER_LIMIT_MS = 3000;

interface Limit {
  readonly what: string;
  readonly file: string;
  readonly least: number;
  readonly why: string;
}

const LIMITS: readonly Limit[] = [
  {
    what: 'fs.inotify.max_user_instances',
    file: '/proc/sys/fs/inotify/max_user_instances',
    least: 64,
    why: 'one a node',
  },
  { what: 'kernel.pid_max', file: '/proc/sys/kernel/pid_max', least: 32768, why: 'a few a pod' },
  { what: 'fs.file-max', file: '/proc/sys/fs/file-max', least: 100_000, why: 'some ten a pod' },
  {
    what: 'net.ipv4.neigh.default.gc_thresh3',
    file: '/proc/sys/net/ipv4/neigh/default/gc_thresh3',
    least: 1024,
    why: 'one for each two nodes that speak',
  },
];

function checkLimit({ what, file, least, why }: Limit): CheckRow {
  let value: number;
  try {
    value = Number(readFileSync(file, 'utf8'));
  } catch {
    return { what, state: 'absent', detail: 'cannot be read here' };
  }
  if (value >= least) return { what, state: 'ok', detail: String(value) };
  return { what, state: 'low', detail: `${value} (${why})`, mend: `sysctl -w ${what}=${least}` };
}

function checkDisk(): CheckRow {
  let path = stateRoot();
  while (!statSync(path, { throwIfNoEntry: false })) path = path.slice(0, path.lastIndexOf('/')) || '/';
  const { bavail, bsize } = statfsSync(path);
  const free = Math.round((bavail * bsize) / 2 ** 20);
  const what = `disk below ${stateRoot()}`;
  if (free >= 512) return { what, state: 'ok', detail: `${free} MiB free` };
  return { what, state: 'low', detail: `${free} MiB free`, mend: 'make room, or move the state with PODWIRE_STATE' };
}
