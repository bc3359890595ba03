// Bench of the DNS server: queries a second, CPU per query and latency with 10,000 Services, against unbound with the same names.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { MIXES, type Mix } from './dns/names.ts';
import { DNS, type Server, startOurs, startUnbound, startUpstream } from './dns/servers.ts';
import { median, printMachine, quantile } from './measure.ts';

const NAMES = 5_000;
const SECONDS = 3;
const ROUNDS = 3;
const HALF_ROUNDS = 3;
/** Where what dnsperf writes waits for no disk. */
const SHARED_MEMORY = '/dev/shm';

interface Run {
  readonly qps: number;
  readonly lost: number;
  /** Milliseconds; only when asked for. */
  readonly latencies: readonly number[];
}

async function dnsperf(netns: string, file: string, seconds: number, ...more: string[]): Promise<Run> {
  const args = ['-s', DNS, '-d', file, '-l', String(seconds), '-c', '8', ...more];
  // Read when all is over: a line a query through a pipe would have this process run beside the servers while they are timed.
  const path = `${file}.out`;
  const output = openSync(path, 'w');
  const [code] = await once(
    spawn('nsenter', [`--net=${netns}`, 'dnsperf', ...args], { stdio: ['ignore', output, 'ignore'] }),
    'exit',
  );
  closeSync(output);
  const stdout = readFileSync(path, 'latin1');
  rmSync(path);
  if (code !== 0) throw new Error(`dnsperf ended with ${code}: ${stdout.slice(-500)}`);
  const figure = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1]);
  return {
    qps: figure(/Queries per second:\s+([\d.]+)/),
    lost: figure(/Queries lost:\s+(\d+)/),
    latencies: Array.from(stdout.matchAll(/^> .* ([\d.]+)$/gm), ([, seconds]) => Number(seconds) * 1000),
  };
}

interface Figures {
  readonly qps: number[];
  /** Microseconds of CPU a query. */
  readonly cpu: number[];
  /** Milliseconds at half of the rate: one of each round. */
  readonly medians: number[];
  readonly p99s: number[];
  lost: number;
}

async function compare(mix: Mix, servers: readonly Server[], directory: string): Promise<void> {
  const file = join(directory, 'names');
  writeFileSync(file, `${Array.from({ length: NAMES }, mix.line).join('\n')}\n`);
  const figures = servers.map((): Figures => ({ qps: [], cpu: [], medians: [], p99s: [], lost: 0 }));
  for (const { netns } of servers) await dnsperf(netns, file, SECONDS, '-n', '1');
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, server] of servers.entries()) {
      const before = server.cpu();
      const { qps, lost } = await dnsperf(server.netns, file, SECONDS);
      figures[i]!.qps.push(qps);
      figures[i]!.cpu.push((server.cpu() - before) / (qps * SECONDS));
      figures[i]!.lost += lost;
    }
  }
  // In turn, so that what else the machine does falls on all of them; long enough that dnsperf's own start, a burst of as many as
  // may be outstanding, is less than one query in a hundred.
  for (let round = 0; round < HALF_ROUNDS; round++) {
    for (const [i, { netns }] of servers.entries()) {
      const half = await dnsperf(netns, file, SECONDS, '-v', '-Q', String(Math.floor(median(figures[i]!.qps) / 2)));
      figures[i]!.medians.push(median(half.latencies));
      figures[i]!.p99s.push(quantile(half.latencies, 0.99));
    }
  }
  for (const [i, { name }] of servers.entries()) {
    const { qps, cpu, lost, medians, p99s } = figures[i]!;
    console.log(
      `${mix.label}: ${name} ${Math.round(median(qps))} queries/s, ${median(cpu).toFixed(2)} us CPU each, ${lost} lost; ` +
        `at half of that median ${median(medians).toFixed(3)} ms, p99 ${median(p99s).toFixed(3)} ms, ` +
        `in the quietest of ${HALF_ROUNDS} rounds ${Math.min(...p99s).toFixed(3)} ms`,
    );
  }
  const [ours, peer] = figures;
  if (peer) {
    const [rate, perCpu] = [median(ours!.qps) / median(peer.qps), median(peer.cpu) / median(ours!.cpu)];
    console.log(`${mix.label}: ratio to unbound: ${rate.toFixed(2)} queries/s, ${perCpu.toFixed(2)} per CPU second`);
  }
}

function namespace(label: string): string {
  const netns = netnsPath(`pwt-dnsbench-${label}-${process.pid}`);
  createNetns(netns);
  execFileSync('nsenter', [`--net=${netns}`, 'ip', 'link', 'set', 'lo', 'up']);
  execFileSync('nsenter', [`--net=${netns}`, 'ip', 'address', 'add', `${DNS}/32`, 'dev', 'lo']);
  return netns;
}

function has(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch (error) {
    return (error as { code?: string }).code !== 'ENOENT';
  }
}

printMachine();
if (process.getuid?.() !== 0 || !has('dnsperf', '-h')) {
  console.log('skipped: needs root and dnsperf (apt-get install dnsperf)');
} else {
  const directory = mkdtempSync(join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), 'podwire-dns-'));
  const namespaces: string[] = [];
  const servers: Server[] = [];
  const inOwn = (label: string) => {
    namespaces.push(namespace(label));
    return namespaces.at(-1)!;
  };
  try {
    const wanted = process.argv[2];
    const peers = has('unbound', '-V') ? ['ours', 'unbound'] : ['ours'];
    if (peers.length === 1) console.log('without a peer: unbound is not installed (apt-get install unbound)');
    for (const label of peers) {
      const netns = inOwn(label);
      servers.push(await startUpstream(netns));
      servers.push(await (label === 'ours' ? startOurs(netns) : startUnbound(netns, directory)));
    }
    const answering = servers.filter(({ name }) => name !== 'upstream');
    for (const mix of MIXES) if (!wanted || mix.label.includes(wanted)) await compare(mix, answering, directory);
  } finally {
    for (const server of servers) await server.stop();
    for (const netns of namespaces) removeNamespace(netns);
    rmSync(directory, { recursive: true });
  }
}
