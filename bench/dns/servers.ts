// Bench of DNS: the servers that are compared, each in a namespace of its own, and the resolver that they forward to.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { listenUdp } from '../../src/dns/listen-udp.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { RCODE, TYPE } from '../../src/wire/dns/message.ts';
import { decodeMessage } from '../../src/wire/dns/reader.ts';
import { encodeMessage } from '../../src/wire/dns/writer.ts';
import type { NodeData, NodeMessage } from '../../test/dns/node.worker.ts';
import { threadMilliseconds } from '../measure.ts';
import { objects, SERVICES, zoneLines } from './names.ts';

export const DNS = '10.96.0.10';
const UPSTREAM = { ip: '127.0.0.1', port: 5300 };
const run = promisify(execFile);

export interface Server {
  readonly name: string;
  readonly netns: string;
  /** Microseconds of CPU since its start. */
  cpu(): number;
  stop(): Promise<unknown>;
}

/** Knows every name; in this thread, which has nothing to do while others are measured. */
export async function startUpstream(netns: string): Promise<Server> {
  const respond = (packet: Uint8Array) => {
    const query = decodeMessage(packet);
    if ('malformed' in query) return undefined;
    const [question] = query.questions;
    const address = { name: question!.name, class: 1, ttl: 300, type: 'A' as const, address: '192.0.2.1' };
    const answers = question!.type === TYPE.A ? [address] : [];
    return encodeMessage({ ...query, response: true, recursionAvailable: true, rcode: RCODE.NOERROR, answers });
  };
  const listener = inNetns(netns, () => listenUdp(UPSTREAM.ip, UPSTREAM.port, respond));
  return { name: 'upstream', netns, cpu: () => 0, stop: async () => listener.close() };
}

export async function startOurs(netns: string): Promise<Server> {
  const workerData: NodeData = {
    netns,
    upstreamNetns: netns,
    options: {
      nodeName: 'bench',
      clusterDomain: 'cluster.local',
      dnsIPs: [DNS],
      dnsUpstreams: [`${UPSTREAM.ip}#${UPSTREAM.port}`],
      clusterPodCIDRs: ['10.244.0.0/16'],
      serviceCIDRs: ['10.96.0.0/12'],
      nodeCIDRs: [],
    },
  };
  const file = new URL('../../test/dns/node.worker.ts', import.meta.url);
  const worker = new Worker(file, { workerData, trackUnmanagedFds: false });
  await once(worker, 'message');
  const began = performance.now();
  for (const message of objects()) worker.postMessage(message satisfies NodeMessage);
  worker.postMessage({ sync: true });
  await once(worker, 'message');
  console.log(`${SERVICES} Services x 10 endpoints taken in: ${(performance.now() - began).toFixed(0)} ms`);
  return {
    name: 'podwire',
    netns,
    // The server's thread and what V8 does for it on the side: all of the process but the bench's own thread.
    cpu() {
      const { user, system } = process.cpuUsage();
      return user + system - threadMilliseconds() * 1000;
    },
    stop: () => worker.terminate(),
  };
}

export async function startUnbound(netns: string, directory: string): Promise<Server> {
  const config = join(directory, 'unbound.conf');
  writeFileSync(config, unboundConfig());
  const server = spawn('nsenter', [`--net=${netns}`, 'unbound', '-d', '-c', config], { stdio: 'ignore' });
  for (let attempt = 0; attempt < 100; attempt++) {
    const dig = ['dig', `@${DNS}`, '+short', '+tries=1', '+time=1', 'svc-1.bench.svc.cluster.local'];
    const answer = await run('nsenter', [`--net=${netns}`, ...dig]).catch(() => undefined);
    if (answer?.stdout.startsWith('10.97.')) return { name: 'unbound', netns, cpu: cpuOf(server), stop: end(server) };
  }
  throw new Error('unbound does not answer');
}

/** One thread, no more in an answer than we give, and room for a burst: as it is set up where speed counts. */
function unboundConfig(): string {
  const lines = [...zoneLines()].map((line) => `  local-data: "${line}"`);
  return `server:
  interface: ${DNS}
  num-threads: 1
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 0
  chroot: ""
  username: ""
  pidfile: ""
  access-control: 0.0.0.0/0 allow
  minimal-responses: yes
  so-rcvbuf: 1m
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "cluster.local." static
  local-data: "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"
  local-zone: "97.10.in-addr.arpa." static
  local-zone: "test." nodefault
${lines.join('\n')}
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: ${UPSTREAM.ip}@${UPSTREAM.port}
`;
}

/** From the kernel's own count in nanoseconds. */
function cpuOf({ pid }: ChildProcess): () => number {
  return () => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
}

function end(child: ChildProcess): () => Promise<unknown> {
  return () => {
    const exited = once(child, 'exit');
    child.kill();
    return exited;
  };
}
