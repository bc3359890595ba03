// Room dns (tests): a node's DNS server in a namespace of its own, its upstream resolvers in another, and dig as the witness.
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { DnsOptions } from '../../src/dns/start.ts';
import type { EndpointSlice, Service } from '../../src/objects/types.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { orUndo } from '../set-up.ts';
import type { NodeData, NodeMessage } from './node.worker.ts';

export const DNS = '10.96.0.10';

export function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces';
  try {
    execFileSync('dig', ['-v'], { stdio: 'ignore' });
  } catch {
    return 'needs dig (Debian: bind9-dnsutils)';
  }
  return undefined;
}

const run = promisify(execFile);

function ip(netns: string, ...args: string[]): void {
  execFileSync('nsenter', [`--net=${netns}`, 'ip', ...args]);
}

const meta = (name: string, labels: Record<string, string> = {}) => {
  return { namespace: 'shop', name, labels, uid: name, resourceVersion: '1', creationTimestamp: '' };
};

export const shop: NodeMessage = {
  set: 'Namespace',
  object: { apiVersion: 'v1', kind: 'Namespace', metadata: { ...meta('shop'), name: 'shop' } },
};

export function service(name: string, spec: Service['spec']): NodeMessage {
  return { set: 'Service', object: { apiVersion: 'v1', kind: 'Service', metadata: meta(name), spec } };
}

export function slice(of: string, endpoints: EndpointSlice['endpoints']): NodeMessage {
  const object: EndpointSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: meta(`${of}-1`, { 'kubernetes.io/service-name': of }),
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
  };
  return { set: 'EndpointSlice', object };
}

export class DnsWorld {
  readonly nodeNs: string;
  readonly outerNs: string;
  #worker: Worker | undefined;

  constructor(label: string) {
    this.nodeNs = netnsPath(`pwt-${label}-${process.pid}-node`);
    this.outerNs = netnsPath(`pwt-${label}-${process.pid}-outer`);
    const spaces = [this.nodeNs, this.outerNs];
    const undo = () => spaces.forEach(removeNamespace);
    orUndo(undo, () => {
      for (const netns of spaces) {
        createNetns(netns);
        ip(netns, 'link', 'set', 'lo', 'up');
      }
    });
  }

  get worker(): Worker {
    return this.#worker!;
  }

  /** The server is there first: an address that comes later is answered on as well. */
  async start(options: Partial<DnsOptions>, searches: NodeData['searches'] = {}): Promise<void> {
    const workerData: NodeData = {
      netns: this.nodeNs,
      upstreamNetns: this.outerNs,
      searches,
      options: {
        nodeName: 'worker-1',
        clusterDomain: 'cluster.local',
        dnsIPs: [DNS],
        dnsUpstreams: [],
        clusterPodCIDRs: ['10.244.0.0/16'],
        serviceCIDRs: ['10.96.0.0/16'],
        nodeCIDRs: ['172.30.0.0/24'],
        ...options,
      },
    };
    this.#worker = new Worker(new URL('./node.worker.ts', import.meta.url), { workerData, trackUnmanagedFds: false });
    await once(this.#worker, 'message');
    ip(this.nodeNs, 'address', 'replace', `${DNS}/32`, 'dev', 'lo');
  }

  send(message: NodeMessage): void {
    this.worker.postMessage(message);
  }

  /** Tells the server all there is. */
  async sync(...objects: readonly NodeMessage[]): Promise<void> {
    for (const message of objects) this.send(message);
    this.send({ sync: true });
    await once(this.worker, 'message');
  }

  /** A program in the node's namespace; its output, also when it fails. */
  async inNode(program: string, ...args: string[]): Promise<string> {
    const { stdout } = await run('nsenter', [`--net=${this.nodeNs}`, program, ...args]).catch(
      (error: { stdout: string }) => error,
    );
    return stdout;
  }

  /** dig's whole output: its exit code is not 0 when no server answered. */
  dig(...args: string[]): Promise<string> {
    return this.inNode('dig', `@${DNS}`, '+tries=1', '+time=5', '+nocookie', ...args);
  }

  /** The answers alone, sorted, with single blanks. */
  async answers(...args: string[]): Promise<string[]> {
    const text = await this.dig('+noall', '+answer', ...args);
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith(';'));
    return lines.map((line) => line.replaceAll(/\s+/g, ' ')).sort();
  }

  async status(...args: string[]): Promise<string> {
    const text = await this.dig(...args);
    return /status: (\w+)/.exec(text)?.[1] ?? text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    for (const netns of [this.nodeNs, this.outerNs]) removeNamespace(netns);
  }
}
