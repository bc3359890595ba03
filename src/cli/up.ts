// Room cli: `podwire up`.
import { parsePrefix } from '../addr/prefix.ts';
import type { DatapathName, PartialConfig, ProxyMode } from '../cluster/config.ts';
import { clusterPaths } from '../cluster/paths.ts';
import type { UpResult } from '../cluster/up.ts';
import { Fault } from '../observe/fault.ts';

interface UpFlags {
  readonly name: string;
  readonly nodes?: string;
  readonly config?: string;
  readonly apiPort?: string;
  readonly overlay?: string;
  readonly datapath?: string;
  readonly proxyMode?: string;
  readonly directRouting?: boolean;
  readonly nonMasqueradeCidrs?: string;
  readonly racks?: string;
  readonly nodeportAddresses?: string;
  readonly demo?: boolean;
  readonly foreground?: boolean;
}

const QUIET_MS = 1000;

/** `nameIsDefault`: nobody said --name, so that the config file may. */
export async function runUp(flags: UpFlags, nameIsDefault: boolean): Promise<void> {
  const said = await saidConfig(flags);
  const name = (nameIsDefault && said[0]?.name) || flags.name;
  const demo = flags.demo ?? false;
  const options = { name, said, demo, onStep: progress(), signal: endOfWork() };
  const started = performance.now();
  const onReady = (result: UpResult) => {
    announce(name, (performance.now() - started) / 1000, result);
    if (flags.foreground) console.log('Ctrl-C takes it down.');
  };
  if (flags.foreground) {
    const { runForeground } = await import('../cluster/foreground.ts');
    await runForeground({ ...options, onReady });
    console.log(`Cluster ${name} is down.`);
  } else {
    const { up } = await import('../cluster/up.ts');
    onReady(await up(options));
  }
}

function announce(name: string, seconds: number, { adopted, datapath }: UpResult): void {
  const took = adopted ? 'is up again; what ran was taken up as it is' : `is up (${seconds.toFixed(2)} s)`;
  console.log(`Cluster ${name} ${took}.`);
  console.log(`  datapath ${datapath}`);
  console.log(`  export KUBECONFIG=${clusterPaths(name).kubeconfig}`);
}

/** Ctrl-C, or the terminal is gone, or whoever started us wants an end. */
function endOfWork(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

async function saidConfig(flags: UpFlags): Promise<PartialConfig[]> {
  const said: PartialConfig[] = [];
  if (flags.config) said.push((await import('../cluster/config-schema.ts')).readConfigFile(flags.config));
  if (flags.nodes !== undefined) said.push({ nodes: wholeNumber('--nodes', flags.nodes, 1, 200) });
  const network = {
    ...(flags.racks !== undefined && { racks: wholeNumber('--racks', flags.racks, 1, 16) }),
    ...(flags.datapath !== undefined && { datapath: flags.datapath as DatapathName }),
    ...(flags.nodeportAddresses !== undefined && { nodePortAddresses: prefixes(flags.nodeportAddresses) }),
    ...(flags.proxyMode !== undefined && { proxyMode: flags.proxyMode as ProxyMode }),
    ...(await saidOverlay(flags)),
  };
  if (flags.nonMasqueradeCidrs !== undefined) said.push(await saidPrefixes(flags.nonMasqueradeCidrs));
  if (Object.keys(network).length > 0) said.push({ network });
  if (flags.apiPort !== undefined) said.push({ api: { port: wholeNumber('--api-port', flags.apiPort, 1, 65535) } });
  return said;
}

function prefixes(text: string): string[] {
  const all = text.split(',').filter((each) => each !== '');
  if (all.length === 1 && all[0] === 'primary') return all;
  for (const each of all) {
    try {
      parsePrefix(each);
    } catch {
      throw new Fault(
        `--nodeport-addresses takes primary, or CIDRs with commas between them, 172.30.0.0/24 and the like, not "${text}"`,
      );
    }
  }
  return all;
}

async function saidOverlay({ overlay, directRouting }: UpFlags): Promise<NonNullable<PartialConfig['network']>> {
  if (overlay === undefined && directRouting === undefined) return {};
  const { overlayName } = await import('./overlay.ts');
  const backend = overlay === undefined ? {} : { backend: overlayName(overlay) };
  return { overlay: { ...backend, ...(directRouting && { directRouting }) } };
}

async function saidPrefixes(list: string): Promise<PartialConfig> {
  const { checkConfig } = await import('../cluster/config-schema.ts');
  const nonMasqueradeCIDRs = list.split(',').filter((cidr) => cidr !== '');
  return checkConfig({ network: { nonMasqueradeCIDRs } }, '--non-masquerade-cidrs');
}

function wholeNumber(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new Fault(`${flag} takes a whole number from ${least} to ${most}, not "${text}"`, { exitCode: 2 });
}

/** Says each step only once the work has taken over a second. */
function progress(): (step: string) => void {
  const started = performance.now();
  return (step) => {
    if (performance.now() - started > QUIET_MS) console.error(`  ${step}`);
  };
}
