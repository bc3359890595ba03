// The whole way of a change, at 10,000 Services and 1,000 policies: from a request to the API, over watch and plan, to the kernel of a node.
import { Client } from '../src/client/client.ts';
import { openKubeconfig } from '../src/client/kubeconfig.ts';
import type { Draft, EndpointSlice, NetworkPolicy, Pod, Service } from '../src/objects/types.ts';
import { NETLINK, NetlinkSocket } from '../src/sys/netlink-socket.ts';
import { enterNetns } from '../src/sys/netns.ts';
import { Machine } from '../test/cluster/machine.ts';
import { printMachine, printSamples } from './measure.ts';

const SERVICES = Number(process.env['SERVICES'] ?? 10_000);
const ENDPOINTS = 10;
const CHANGES = 500;
const AT_ONCE = 64;
const NODE = 'node-2';
const NFNLGRP_NFTABLES = 7;

const serviceName = (n: number) => `s${n}`;

function serviceAt(n: number): Draft<Service> {
  const metadata = { name: serviceName(n), namespace: 'default' };
  return { metadata, spec: { ports: [{ port: 80 }] } } as Draft<Service>;
}

/** Addresses that are nobody's: what is measured sends no packets. The third one is told by `variant`. */
function sliceAt(n: number, variant = 2): Draft<EndpointSlice> {
  const at = (i: number) => n * 16 + i;
  const address = (i: number) => `10.${100 + (at(i) >> 16)}.${(at(i) >> 8) & 255}.${at(i) & 255}`;
  const indexes = Array.from({ length: ENDPOINTS }, (_, i) => (i === 2 ? variant : i));
  return {
    metadata: {
      name: `${serviceName(n)}-a`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': serviceName(n) },
      annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': new Date().toISOString() },
    },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: indexes.map((i) => ({ addresses: [address(i)], conditions: { ready: true } })),
  } as Draft<EndpointSlice>;
}

async function fill(client: Client): Promise<void> {
  const started = performance.now();
  for (let first = 0; first < SERVICES; first += AT_ONCE) {
    const numbers = Array.from({ length: Math.min(AT_ONCE, SERVICES - first) }, (_, i) => first + i);
    await Promise.all(numbers.map((n) => client.create('Service', serviceAt(n))));
    await Promise.all(numbers.map((n) => client.create('EndpointSlice', sliceAt(n))));
  }
  const took = (performance.now() - started) / 1000;
  console.log(`${SERVICES} Services x ${ENDPOINTS} endpoints written through the API in ${took.toFixed(1)} s`);
}

/** Calls back whenever the node's rules were changed. */
class Commits implements Disposable {
  readonly #socket: NetlinkSocket;
  #seen: () => void = () => {};

  constructor(netns: string) {
    this.#socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
    const tell = () => this.#seen();
    this.#socket.subscribe([NFNLGRP_NFTABLES], tell, tell);
  }

  /** When the next one was, or undefined when there is none for so many milliseconds. */
  next(patience: number): Promise<number | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), patience);
      this.#seen = () => {
        clearTimeout(timer);
        resolve(performance.now());
      };
    });
  }

  async quiet(): Promise<void> {
    while ((await this.next(1000)) !== undefined);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

async function changes(client: Client, commits: Commits): Promise<void> {
  const whole: number[] = [];
  const written: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const n = (i * 37) % SERVICES;
    const metadata = sliceAt(n).metadata;
    const body = { metadata: { annotations: metadata.annotations }, endpoints: sliceAt(n, 10 + (i % 5)).endpoints };
    const committed = commits.next(10_000);
    const sent = performance.now();
    const answered = client
      .patch('EndpointSlice', { name: metadata.name!, namespace: 'default' }, body)
      .then(() => performance.now());
    const at = await committed;
    written.push((await answered) - sent);
    if (at === undefined) throw new Error(`the change of ${metadata.name} did not come to ${NODE}`);
    whole.push(at - sent);
  }
  printSamples(`an endpoint exchanged, from the request to the kernel of ${NODE}`, whole);
  printSamples('  of that, the API: from the request to its answer', written);
}

const METRIC = 'kubeproxy_network_programming_duration_seconds';

/** What the node itself counted: how many changes, of these within 10 ms, and the sum of seconds. */
async function metric(machine: Machine): Promise<Record<'count' | 'within' | 'sum', number>> {
  const command = ['node', 'exec', NODE, '--', 'curl', '-s', '127.0.0.1:10249/metrics'];
  const text = await machine.mustPodwire(...command);
  const value = (series: string) => {
    const line = text.split('\n').find((each) => each.startsWith(`${METRIC}_${series} `));
    return Number(line?.slice(`${METRIC}_${series} `.length));
  };
  return { count: value('count'), within: value('bucket{le="0.01"}'), sum: value('sum') };
}

const POLICIES = 1000;
const POLICY_CHANGES = 200;

function policyAt(name: string, app: string): Draft<NetworkPolicy> {
  const podSelector = { matchLabels: { app } };
  const from = [{ podSelector: { matchLabels: { app: 'friend' } } }];
  return { metadata: { name, namespace: 'default' }, spec: { podSelector, ingress: [{ from }] } };
}

/** A pod that runs on the node. */
async function startPod(client: Client, name: string): Promise<void> {
  const containers = [{ name: 'c', image: 'podwire.io/agnhost', args: ['pause'] }];
  const metadata = { name, namespace: 'default', labels: { app: name } };
  await client.create('Pod', { metadata, spec: { nodeName: NODE, containers } } as unknown as Draft<Pod>);
  const isReady = async () => {
    const { status } = await client.get('Pod', name, 'default');
    return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  };
  while (!(await isReady())) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function policyChanges(client: Client, commits: Commits): Promise<void> {
  await startPod(client, 'guarded');
  await startPod(client, 'friend');
  for (let n = 0; n < POLICIES; n++) await client.create('NetworkPolicy', policyAt(`p${n}`, `a${n}`));
  await commits.quiet();
  const whole = async (write: () => Promise<unknown>) => {
    const committed = commits.next(10_000);
    const sent = performance.now();
    await write();
    const at = await committed;
    if (at === undefined) throw new Error(`a change of policies did not come to ${NODE}`);
    return at - sent;
  };
  const comes: number[] = [];
  const peers: number[] = [];
  for (let i = 0; i < POLICY_CHANGES; i++) {
    const friend = { name: 'friend', namespace: 'default' };
    comes.push(await whole(() => client.create('NetworkPolicy', policyAt(`guard${i}`, 'guarded'))));
    peers.push(await whole(() => client.patch('Pod', friend, { metadata: { labels: { app: 'stranger' } } })));
    peers.push(await whole(() => client.patch('Pod', friend, { metadata: { labels: { app: 'friend' } } })));
    await whole(() => client.delete('NetworkPolicy', `guard${i}`, 'default'));
  }
  printSamples(`a policy beside ${POLICIES}, from the request to the kernel of ${NODE}`, comes);
  printSamples('a label of a peer, from the request to the kernel', peers);
}

printMachine();
if (process.getuid?.() !== 0) console.log('skipped: needs root');
else {
  await using machine = await Machine.create('prog');
  enterNetns(`/run/netns/${machine.netns}`);
  await machine.mustPodwire('up', '--nodes', '2');
  const client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
  using commits = new Commits(`/run/netns/pw-${machine.cluster}-${NODE}`);
  await fill(client);
  await commits.quiet();
  const before = await metric(machine);
  await changes(client, commits);
  const after = await metric(machine);
  const count = after.count - before.count;
  const mean = (1000 * (after.sum - before.sum)) / count;
  console.log(`${METRIC}: mean ${mean.toFixed(1)} ms, ${after.within - before.within} of ${count} within 10 ms`);
  await policyChanges(client, commits);
  client.transport.close();
}
