// Room cli: `podwire up`.
import type { PartialConfig } from '../cluster/config.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { Fault } from '../observe/fault.ts';

interface UpFlags {
  readonly name: string;
  readonly nodes?: string;
  readonly config?: string;
  readonly apiPort?: string;
  readonly demo?: boolean;
  readonly foreground?: boolean;
}

const QUIET_MS = 1000;

export async function runUp(flags: UpFlags): Promise<void> {
  const said = await saidConfig(flags);
  const options = { name: flags.name, said, demo: flags.demo ?? false, onStep: progress() };
  if (flags.foreground) {
    const { runForeground } = await import('../cluster/foreground.ts');
    return runForeground({ ...options, onReady: (seconds) => announce(flags.name, seconds, false) });
  }
  const { up } = await import('../cluster/up.ts');
  const started = performance.now();
  const { adopted } = await up(options);
  announce(flags.name, (performance.now() - started) / 1000, adopted);
}

function announce(name: string, seconds: number, adopted: boolean): void {
  const took = adopted ? 'is up again; what ran was taken up as it is' : `is up (${seconds.toFixed(2)} s)`;
  console.log(`Cluster ${name} ${took}.`);
  console.log(`  export KUBECONFIG=${clusterPaths(name).kubeconfig}`);
}

async function saidConfig(flags: UpFlags): Promise<PartialConfig[]> {
  const said: PartialConfig[] = [];
  if (flags.config) said.push((await import('../cluster/config-schema.ts')).readConfigFile(flags.config));
  if (flags.nodes !== undefined) said.push({ nodes: wholeNumber('--nodes', flags.nodes, 1, 200) });
  if (flags.apiPort !== undefined) said.push({ api: { port: wholeNumber('--api-port', flags.apiPort, 1, 65535) } });
  return said;
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
