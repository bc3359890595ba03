// Bench of the DNS server: queries a second, CPU per query and latency with 10,000 Services, asked by dnsperf (Debian).
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import type { NodeData, NodeMessage } from '../test/dns/node.worker.ts';
import { printMachine } from './measure.ts';

const SERVICES = 10_000;
const NAMES = 5_000;
const SECONDS = 4;
const DNS = '10.96.0.10';

const run = promisify(execFile);
const meta = (name: string, labels: Record<string, string> = {}) => {
  return { namespace: 'bench', name, labels, uid: name, resourceVersion: '1', creationTimestamp: '' };
};
const ip = (i: number, j: number) => `10.${100 + j}.${i >> 8}.${i & 255}`;

/** Every tenth Service is headless; all have ten endpoints. */
function* objects(): Generator<NodeMessage> {
  const namespace = { ...meta('bench'), name: 'bench' };
  yield { set: 'Namespace', object: { apiVersion: 'v1', kind: 'Namespace', metadata: namespace } };
  for (let i = 0; i < SERVICES; i++) {
    const name = `svc-${i}`;
    const clusterIP = i % 10 === 0 ? 'None' : `10.97.${i >> 8}.${i & 255}`;
    const spec = { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] };
    yield { set: 'Service', object: { apiVersion: 'v1', kind: 'Service', metadata: meta(name), spec } };
    yield {
      set: 'EndpointSlice',
      object: {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: meta(`${name}-1`, { 'kubernetes.io/service-name': name }),
        addressType: 'IPv4',
        endpoints: Array.from({ length: 10 }, (_, j) => ({ addresses: [ip(i, j)], conditions: { ready: true } })),
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
    };
  }
}

const random = (step: number, offset: number) => offset + step * Math.floor((Math.random() * SERVICES) / step);
const MIXES: readonly [label: string, line: () => string][] = [
  ['ClusterIP A', () => `svc-${Math.min(SERVICES - 1, random(10, 1))}.bench.svc.cluster.local A`],
  ['headless A, 10 addresses', () => `svc-${random(10, 0)}.bench.svc.cluster.local A`],
  ['SRV', () => `_http._tcp.svc-${Math.min(SERVICES - 1, random(10, 1))}.bench.svc.cluster.local SRV`],
  ['PTR', () => `${random(1, 0) & 255}.${random(1, 0) >> 8}.97.10.in-addr.arpa PTR`],
  ['NXDOMAIN of a search list', () => `www.example.com.bench.svc.cluster.local ${Math.random() < 0.5 ? 'A' : 'AAAA'}`],
];

/** dnsperf's figures: queries a second, mean latency in ms, what was lost. */
async function dnsperf(
  netns: string,
  file: string,
  ...limits: string[]
): Promise<[qps: number, mean: number, lost: number]> {
  const args = ['-s', DNS, '-d', file, '-l', String(SECONDS), '-c', '8', ...limits];
  const { stdout } = await run('nsenter', [`--net=${netns}`, 'dnsperf', ...args]);
  const figure = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1]);
  return [
    figure(/Queries per second:\s+([\d.]+)/),
    figure(/Average Latency \(s\):\s+([\d.]+)/) * 1000,
    figure(/Queries lost:\s+(\d+)/),
  ];
}

async function startServer(netns: string): Promise<Worker> {
  const workerData: NodeData = {
    netns,
    options: {
      nodeName: 'bench',
      clusterDomain: 'cluster.local',
      dnsIPs: [DNS],
      dnsUpstreams: [],
      clusterPodCIDRs: ['10.244.0.0/16'],
      serviceCIDRs: ['10.96.0.0/12'],
      nodeCIDRs: [],
    },
  };
  const worker = new Worker(new URL('../test/dns/node.worker.ts', import.meta.url), { workerData });
  await once(worker, 'message');
  const began = performance.now();
  for (const message of objects()) worker.postMessage(message satisfies NodeMessage);
  worker.postMessage({ sync: true });
  await once(worker, 'message');
  console.log(`${SERVICES} Services x 10 endpoints taken in: ${(performance.now() - began).toFixed(0)} ms`);
  return worker;
}

async function bench(netns: string, directory: string): Promise<void> {
  const worker = await startServer(netns);
  for (const [label, line] of MIXES) {
    const file = join(directory, 'names');
    writeFileSync(file, `${Array.from({ length: NAMES }, line).join('\n')}\n`);
    await dnsperf(netns, file, '-n', '1');
    const before = process.cpuUsage();
    const [qps, , lost] = await dnsperf(netns, file);
    const { user, system } = process.cpuUsage(before);
    const cpu = (user + system) / (qps * SECONDS);
    const [, mean] = await dnsperf(netns, file, '-Q', String(Math.floor(qps / 2)));
    console.log(
      `${label}: ${Math.round(qps)} queries/s, ${cpu.toFixed(1)} us CPU each, ${lost} lost; ${mean.toFixed(3)} ms mean at half of that`,
    );
  }
  await worker.terminate();
}

printMachine();
const netns = netnsPath(`pwt-dnsbench-${process.pid}`);
const directory = mkdtempSync(join(tmpdir(), 'podwire-dns-'));
try {
  execFileSync('dnsperf', ['-h'], { stdio: 'ignore' });
  createNetns(netns);
  execFileSync('nsenter', [`--net=${netns}`, 'ip', 'link', 'set', 'lo', 'up']);
  execFileSync('nsenter', [`--net=${netns}`, 'ip', 'address', 'add', `${DNS}/32`, 'dev', 'lo']);
  await bench(netns, directory);
} catch (error) {
  if ((error as { code?: string }).code !== 'ENOENT') throw error;
  console.log('skipped: needs root and dnsperf (apt-get install dnsperf)');
} finally {
  removeNamespace(netns);
  rmSync(directory, { recursive: true });
}
