// Room dns (tests): a node's thread as the box makes it, with nothing in it but the DNS server; told its objects by messages.
import { parentPort, workerData } from 'node:worker_threads';
import { type DnsOptions, startDns } from '../../src/dns/start.ts';
import type { EndpointSlice, Namespace, Service } from '../../src/objects/types.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { MemoryInformer } from './memory-informer.ts';

export interface NodeData {
  readonly netns: string;
  readonly upstreamNetns?: string;
  readonly options: DnsOptions;
  /** Search list by the address of who asks. */
  readonly searches?: Readonly<Record<string, readonly string[]>>;
}

export type NodeMessage =
  | { readonly set: 'Service'; readonly object: Service }
  | { readonly set: 'EndpointSlice'; readonly object: EndpointSlice }
  | { readonly set: 'Namespace'; readonly object: Namespace }
  | { readonly sync: true }
  | { readonly close: true };

const { netns, upstreamNetns, options, searches } = workerData as NodeData;
enterNetns(netns);
const informers = {
  services: new MemoryInformer<Service>(),
  endpointSlices: new MemoryInformer<EndpointSlice>(),
  namespaces: new MemoryInformer<Namespace>(),
};
const server = startDns({
  informers,
  options,
  searchesOf: (ip) => searches?.[ip],
  ...(upstreamNetns !== undefined && { upstreamNetns }),
});

parentPort!.on('message', (message: NodeMessage) => {
  if ('close' in message) {
    parentPort!.postMessage({ status: server.status() });
    server.close();
    parentPort!.close();
  } else if ('sync' in message) for (const informer of Object.values(informers)) informer.sync();
  else if (message.set === 'Service') informers.services.set(message.object);
  else if (message.set === 'EndpointSlice') informers.endpointSlices.set(message.object);
  else informers.namespaces.set(message.object);
});
parentPort!.postMessage('listening');
void server.ready.then(() => parentPort!.postMessage('ready'));
