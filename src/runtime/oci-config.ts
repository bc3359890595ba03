// Room runtime: a container as the OCI runtime specification words it (config.md, config-linux.md). Pure.
import type { ContainerSpec } from './runtime.ts';

export interface OciUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

export interface OciProcess {
  readonly terminal: boolean;
  readonly user: OciUser;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: Record<'bounding' | 'effective' | 'permitted', readonly string[]>;
  readonly noNewPrivileges: boolean;
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface Namespaces {
  /** Undefined: the one in which the runtime is called. */
  readonly network: string | undefined;
  readonly uts: string;
  readonly ipc: string;
}

export interface ConfigInput {
  readonly spec: ContainerSpec;
  readonly user: OciUser;
  readonly hostname: string;
  readonly capabilities: readonly string[];
  readonly rootfs: string;
  readonly namespaces: Namespaces;
  readonly shm: string;
  /** Before those of the spec. */
  readonly extraMounts: readonly OciMount[];
  readonly hiddenPaths: readonly string[];
}

const MASKED = [
  ...['/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list'],
  ...['/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
];
const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Kubernetes' rule: `command` replaces the image's entrypoint and cmd, `args` alone replaces cmd. */
export function containerArgs(spec: ContainerSpec): string[] {
  if (spec.command && spec.command.length > 0) return [...spec.command, ...(spec.args ?? [])];
  return [...spec.image.entrypoint, ...(spec.args && spec.args.length > 0 ? spec.args : spec.image.cmd)];
}

/** `held` are the capabilities of its bounding set. */
export function ociProcess(spec: ContainerSpec, user: OciUser, hostname: string, held: readonly string[]): OciProcess {
  // A user other than root starts without effective capabilities, as execve(2) would have it.
  const effective = user.uid === 0 ? held : [];
  return {
    terminal: spec.tty,
    user,
    args: containerArgs(spec),
    env: environment(spec, hostname),
    cwd: spec.workingDir || spec.image.workingDir || '/',
    capabilities: { bounding: held, effective, permitted: effective },
    noNewPrivileges: false,
  };
}

/** Later ones win; each name once, because programs differ in which of two they take. */
function environment(spec: ContainerSpec, hostname: string): string[] {
  const byName = new Map<string, string>();
  const put = (line: string) => byName.set(line.slice(0, line.indexOf('=')), line);
  for (const line of [DEFAULT_PATH, `HOSTNAME=${hostname}`, ...(spec.tty ? ['TERM=xterm'] : [])]) put(line);
  for (const line of spec.image.env) put(line);
  for (const { name, value } of spec.env) put(`${name}=${value}`);
  return [...byName.values()];
}

function systemMounts(input: ConfigInput): OciMount[] {
  const access = input.spec.privileged ? 'rw' : 'ro';
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    { destination: '/dev/shm', type: 'bind', source: input.shm, options: ['rbind', 'rprivate'] },
  ];
}

export function bindMount(source: string, destination: string, readOnly: boolean): OciMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] };
}

export function ociConfig(input: ConfigInput): Record<string, unknown> {
  const { spec, namespaces } = input;
  const network = namespaces.network === undefined ? [] : [{ type: 'network', path: namespaces.network }];
  return {
    ociVersion: '1.0.0',
    process: ociProcess(spec, input.user, input.hostname, input.capabilities),
    root: { path: input.rootfs, readonly: spec.readOnlyRoot ?? false },
    mounts: [
      ...systemMounts(input),
      ...input.extraMounts,
      ...spec.mounts.map(({ source, target, readOnly }) => bindMount(source, target, readOnly)),
    ],
    linux: {
      namespaces: [
        { type: 'pid' },
        { type: 'mount' },
        { type: 'uts', path: namespaces.uts },
        { type: 'ipc', path: namespaces.ipc },
        ...network,
      ],
      maskedPaths: [...(spec.privileged ? [] : MASKED), ...input.hiddenPaths],
      readonlyPaths: spec.privileged ? [] : READONLY,
      rootfsPropagation: 'rslave',
    },
  };
}
