// One change at a time in a large cluster, each until every node that must know it does: for fabric.bench.ts.
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { CIDR } from '../src/addr/prefix.ts';
import type { Client } from '../src/client/client.ts';
import type { Kernel } from '../src/kernel/kernel.ts';
import { watchLinks } from '../src/kernel/link-watch.ts';
import { openKernel } from '../src/kernel/linux.ts';
import { timestamp } from '../src/objects/time.ts';
import type { Node, Pod } from '../src/objects/types.ts';
import { socketIn } from '../src/sys/netns.ts';

const LOOK_MS = 2;
const namespace = 'default';
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves with the moment in which the last of these namespaces knows the way to the prefix: route, neighbour, FDB entry. */
export function untilAllKnow(
  paths: readonly string[],
  prefix: CIDR,
): { readonly done: Promise<number>; close(): void } {
  const done = Promise.withResolvers<number>();
  let missing = paths.length;
  const watches = paths.map((netns) => {
    const kinds = new Set<string>();
    const onItem = (item: { kind: string; dst?: string; ip?: string }, gone: boolean) => {
      if (gone || kinds.size === 3) return;
      if (item.kind === 'route' && item.dst === prefix) kinds.add('route');
      if (item.kind === 'neighbour' && item.ip === prefix.slice(0, -3)) kinds.add('neighbour');
      if (item.kind === 'fdb') kinds.add('fdb');
      if (kinds.size === 3 && --missing === 0) done.resolve(performance.now());
    };
    return watchLinks({ onItem, onUnclear: () => {} }, { netns });
  });
  const close = () => {
    for (const watch of watches) watch.close();
  };
  return { done: done.promise, close };
}

/** When the API tells of the Node for the first time. */
export async function nodeTold(client: Client, name: string): Promise<{ at(): number; close(): void }> {
  const { metadata } = await client.list('Node');
  let told = 0;
  const stream = client.watch('Node', { resourceVersion: metadata.resourceVersion }, ({ object }) => {
    if ((object as Node).metadata.name === name) told ||= performance.now();
  });
  // What fails here is told by who waits for it.
  stream.done.catch(() => {});
  return { at: () => told, close: () => stream.stop() };
}

/** What an agent writes every five minutes. */
export async function heartbeat(client: Client, node: string, secondsAhead: number): Promise<void> {
  const found = await client.get('Node', node);
  const lastHeartbeatTime = timestamp(Date.now() + secondsAhead * 1000);
  const conditions = (found.status?.conditions ?? []).map((each) => ({ ...each, lastHeartbeatTime }));
  await client.patch('Node', { name: node, subresource: 'status' }, { status: { conditions } }, 'strategic');
}

/** From the write to the API until a connection from another node's namespace is there. Milliseconds. */
export async function podReached(client: Client, name: string, nodeName: string, from: string): Promise<number> {
  const container = { name: 'web', image: 'podwire.io/agnhost', args: ['netexec', '--http-port=8080'] };
  const ip = Promise.withResolvers<string>();
  const { metadata } = await client.list('Pod', { namespace });
  const stream = client.watch('Pod', { namespace, resourceVersion: metadata.resourceVersion }, ({ object }) => {
    const { metadata: its, status } = object as Pod;
    if (its.name === name && status?.podIP && status.phase === 'Running') ip.resolve(status.podIP);
  });
  stream.done.catch(ip.reject);
  const began = performance.now();
  await client.create('Pod', {
    metadata: { name, namespace },
    spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [container] },
  });
  const host = await ip.promise;
  stream.stop();
  while (!(await connects(host, from))) await sleep(LOOK_MS);
  return performance.now() - began;
}

function connects(host: string, netns: string): Promise<boolean> {
  const fd = socketIn(netns, 'inet', 'stream');
  return new Promise((resolve) => {
    const socket = new Socket({ fd, manualStart: true } as SocketConstructorOpts);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
    socket.connect({ host, port: 8080 });
  });
}

/** A Service with one endpoint of its own, and how to give it another until every node's kernel has it. */
export class EndpointChange implements Disposable {
  readonly #client: Client;
  readonly #kernels: readonly Kernel[];

  private constructor(client: Client, kernels: readonly Kernel[]) {
    this.#client = client;
    this.#kernels = kernels;
  }

  static async begin(client: Client, paths: readonly string[]): Promise<EndpointChange> {
    const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
    await client.create('Service', { metadata: { name: 'web', namespace }, spec: { ports } });
    const labels = { 'kubernetes.io/service-name': 'web' };
    const endpoints = [{ addresses: ['10.200.0.9'], conditions: { ready: true } }];
    await client.create('EndpointSlice', {
      metadata: { name: 'web-1', namespace, labels },
      addressType: 'IPv4',
      ports,
      endpoints,
    });
    return new EndpointChange(
      client,
      paths.map((netns) => openKernel({ netns })),
    );
  }

  /** Milliseconds from the write to the moment in which the last node's rules are others than before. */
  async add(address: string): Promise<number> {
    for (const kernel of this.#kernels) kernel.nftDisturbed();
    const began = performance.now();
    const endpoints = ['10.200.0.9', address].map((each) => ({ addresses: [each], conditions: { ready: true } }));
    await this.#client.patch('EndpointSlice', { name: 'web-1', namespace }, { endpoints });
    let waiting = [...this.#kernels];
    for (;;) {
      waiting = waiting.filter((kernel) => !kernel.nftDisturbed());
      if (waiting.length === 0) return performance.now() - began;
      await sleep(LOOK_MS);
    }
  }

  [Symbol.dispose](): void {
    for (const kernel of this.#kernels) kernel.close();
  }
}
