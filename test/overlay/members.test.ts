// Nodes come, go, stop and are cut off while the cluster runs: ways follow at once, and nothing stale stays.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Client } from '../../src/client/client.ts';
import { openKubeconfig } from '../../src/client/kubeconfig.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { untilNothingBesides } from '../cluster/audit.ts';
import { clusterSkip, kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { inside, nodeNetns, type OverlayPod, podOn, startCluster, whoSees } from './overlay-cluster.ts';

const skip = kubectlSkip() ?? clusterSkip() ?? false;
const NETWORK = { nodeCIDRs: ['172.30.83.0/24'], podCIDRs: ['10.183.0.0/16'], serviceCIDRs: ['10.83.0.0/16'] };

let machine: Machine;
let pods: OverlayPod[] = [];

before(async () => {
  if (skip) return;
  machine = await Machine.create('members');
  enterNetns(`/run/netns/${machine.netns}`);
  pods = await startCluster(machine, NETWORK, 2);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

/** What `podwire status` says of a node's agent. */
async function agentOf(node: string): Promise<{ readonly healthy: boolean; readonly detail: string }> {
  const { parts } = JSON.parse((await machine.podwire('status', '-o', 'json')).stdout);
  const { healthy, detail } = parts.find(({ part }: { part: string }) => part === `${node} agent`);
  return { healthy, detail };
}

const on = (node: string) => pods.find((pod) => pod.node === node)!;
/** All that any of these namespaces knows of the third node. */
function knownOfThird(): string[] {
  const ofThird = /10\.183\.2\.|172\.30\.83\.13\b|pw-node-3|02:76:ac:1e:53:0d/;
  const spaces = [
    nodeNetns(machine, 'node-1'),
    nodeNetns(machine, 'node-2'),
    nodeNetns(machine, 'fabric'),
    machine.netns,
  ];
  const text = spaces.flatMap((space) =>
    [
      ['ip', 'route'],
      ['ip', 'neigh', 'show', 'nud', 'permanent'],
      ['bridge', 'fdb'],
      ['ip', '-o', 'link'],
      ['nft', 'list', 'ruleset'],
    ].flatMap((words) => inside(space, ...words).split('\n')),
  );
  return text.filter((line) => ofThird.test(line));
}

test('node add: a third node is Ready, the others know the way to its pods, and pods meet', { skip }, async (t) => {
  const started = performance.now();
  assert.equal(await machine.mustPodwire('node', 'add'), 'node-3 is there and Ready.\n');
  t.diagnostic(`${Math.round(performance.now() - started)} ms`);
  for (const node of ['node-1', 'node-2']) {
    const route = () => inside(nodeNetns(machine, node), 'ip', 'route', 'show', '10.183.2.0/24');
    await until(`${node} knows the way`, async () => route().includes('pw-vxlan'));
  }
  const pod = await podOn(machine, 'node-3', 'third');
  await whoSees(machine, on('node-1'), pod, 'http');
  await whoSees(machine, pod, on('node-2'), 'udp');
  const status = JSON.parse(await machine.mustPodwire('status', '-o', 'json')) as { nodes: { name: string }[] };
  assert.equal(status.nodes.length, 3);
});

interface NodeObject {
  readonly spec: { readonly taints?: readonly { readonly key: string; readonly effect: string }[] };
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

async function readyAs(name: string): Promise<string> {
  const { status } = JSON.parse(await machine.kubectl('get', 'node', name, '-o', 'json')) as NodeObject;
  return status.conditions.find(({ type }) => type === 'Ready')!.status;
}

async function taintsOf(name: string): Promise<string[]> {
  const { spec } = JSON.parse(await machine.kubectl('get', 'node', name, '-o', 'json')) as NodeObject;
  return (spec.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).sort();
}

/** Nodes on which the Service has ready endpoints. */
async function endpointNodes(): Promise<string[]> {
  const labels = 'kubernetes.io/service-name=echo';
  const { items } = JSON.parse(await machine.kubectl('get', 'endpointslices', '-l', labels, '-o', 'json')) as {
    items: { endpoints: { nodeName: string; conditions: { ready: boolean } }[] | null }[];
  };
  const ready = items.flatMap(({ endpoints }) => (endpoints ?? []).filter(({ conditions }) => conditions.ready));
  return [...new Set(ready.map(({ nodeName }) => nodeName))].sort();
}

const UNREACHABLE = ['node.kubernetes.io/unreachable:NoExecute', 'node.kubernetes.io/unreachable:NoSchedule'];
let service = '';

/** As a cluster has it when a node is lost: and the machine still reaches the Service, whichever node it was. */
async function isLost(name: string, rest: readonly string[]): Promise<void> {
  assert.equal(await readyAs(name), 'Unknown');
  await until('the endpoints of the lost node leave', async () => isDeepStrictEqual(await endpointNodes(), rest));
  assert.deepEqual(await taintsOf(name), UNREACHABLE);
  const answer = () => machine.must('curl', ['-sf', '--max-time', '5', `http://${service}/hostname`]);
  const lost = pods.filter(({ node }) => node === name).map((pod) => pod.name);
  const others = async () => !lost.includes((await answer()).trim());
  await until('the Service is answered by others', others);
  for (let i = 0; i < 10; i++) assert.ok(await others());
}

async function isBack(name: string, all: readonly string[]): Promise<void> {
  assert.equal(await readyAs(name), 'True');
  await until('the endpoints come back', async () => isDeepStrictEqual(await endpointNodes(), all));
  await until('the taints go', async () => (await taintsOf(name)).length === 0);
}

/** Lines of the log since it was `before` bytes long. */
function logLines(before = 0): string[] {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.log');
  return readFileSync(file).subarray(before).toString().trim().split('\n').filter(Boolean);
}

test('a Service over pods of both nodes', { skip }, async () => {
  const spec = { selector: { app: 'echo' }, ports: [{ port: 80, targetPort: 8080 }] };
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'echo', namespace: 'default' }, spec };
  await machine.apply(JSON.stringify(object));
  service = (await machine.kubectl('get', 'service', 'echo', '-o', 'jsonpath={.spec.clusterIP}')).trim();
  await until('both have endpoints', async () => (await endpointNodes()).length >= 2);
});

for (const name of ['node-2', 'node-1']) {
  test(`node isolate and heal of ${name}: it is lost, and Ready again, in few lines of the log`, { skip }, async () => {
    const pod = on(name);
    const other = on(name === 'node-1' ? 'node-2' : 'node-1');
    const reached = () => {
      try {
        inside(other.netns, 'ping', '-c1', '-W1', pod.ips[0]!);
        return true;
      } catch {
        return false;
      }
    };
    assert.equal(reached(), true);
    const all = await endpointNodes();
    const before = logLines().join('\n').length;
    assert.match(await machine.mustPodwire('node', 'isolate', name), /is cut off/);
    const { healthy, detail } = await agentOf(name);
    assert.equal(healthy, false);
    assert.match(detail, new RegExp(`; cut off: podwire node heal ${name} --name ${machine.cluster}$`));
    assert.match(
      (await machine.podwire('node', 'start', name)).stderr,
      new RegExp(`${name} is not stopped\\. Try: podwire node heal ${name} --name ${machine.cluster}`),
    );
    assert.equal(reached(), false);
    await isLost(
      name,
      all.filter((each) => each !== name),
    );
    assert.match(await machine.mustPodwire('node', 'heal', name), /is on the fabric again, and Ready/);
    await isBack(name, all);
    await until('it answers again', async () => reached());
    assert.equal((await agentOf(name)).healthy, true);
    const said = logLines(before);
    for (const line of said) assert.doesNotMatch(line, /"stack"/);
    // Of the node that is cut off nothing is said again and again: at most once for each of the two changes.
    const words = said.filter((line) => line.includes(`"node":"${name}"`)).map((line) => line.match(/"msg":".*/)?.[0]);
    for (const [word, times] of Map.groupBy(words, (word) => word)) assert.ok(times.length <= 2, `${word}`);
    assert.equal(said.filter((line) => line.includes('cut off from the API server')).length, 1);
    assert.equal(said.filter((line) => line.includes('the API server is in reach again')).length, 1);
  });
}

test('node stop and start: its agent ends and comes again, and its pods go on', { skip }, async () => {
  const all = await endpointNodes();
  assert.match(await machine.mustPodwire('node', 'stop', 'node-2'), /is stopped/);
  await isLost(
    'node-2',
    all.filter((each) => each !== 'node-2'),
  );
  const refused = await machine.podwire('node', 'heal', 'node-2');
  assert.match(refused.stderr, /node-2 is stopped\. Try: podwire node start node-2/);
  const absence = `podwire node start node-2 --name ${machine.cluster}`;
  assert.deepEqual(await agentOf('node-2'), { healthy: false, detail: `stopped: ${absence}` });
  // What changes meanwhile, it finds when it comes again.
  await machine.mustPodwire('overlay', 'set', 'host-gw');
  assert.match(await machine.mustPodwire('node', 'start', 'node-2'), /is Ready again/);
  await isBack('node-2', all);
  await until('its pods answer', async () => {
    await whoSees(machine, on('node-1'), on('node-2'), 'http');
    return true;
  });
});

test('node kill: another agent comes by itself; with --stay not before node start, and status says so', {
  skip,
}, async () => {
  assert.match(await machine.mustPodwire('node', 'kill', 'node-2'), /another agent starts in a moment/);
  await until('another agent is there', async () => (await agentOf('node-2')).healthy);
  assert.match(await machine.mustPodwire('node', 'kill', 'node-2', '--stay'), /has no agent until podwire node start/);
  const absence = `podwire node start node-2 --name ${machine.cluster}`;
  assert.deepEqual(await agentOf('node-2'), { healthy: false, detail: `killed: ${absence}` });
  assert.match(await machine.mustPodwire('node', 'start', 'node-2'), /is Ready again/);
  assert.equal((await agentOf('node-2')).healthy, true);
});

test('after all this the machine has what the API says, and nothing else', { skip }, async () => {
  // Of all overlays this one leaves the most entries: the audit counts them.
  await machine.mustPodwire('overlay', 'set', 'vxlan');
  const client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
  try {
    await untilNothingBesides(machine, client);
  } finally {
    client.transport.close();
  }
});

test('node rm: nothing of it stays, and its pods are gone', { skip }, async () => {
  assert.notDeepEqual(knownOfThird(), []);
  assert.match(await machine.mustPodwire('node', 'rm', 'node-3'), /node-3 is gone\./);
  await until('the others have forgotten it', async () => knownOfThird().length === 0);
  assert.equal(existsSync(`/run/netns/${nodeNetns(machine, 'node-3')}`), false);
  assert.doesNotMatch(await machine.kubectl('get', 'nodes,pods', '-o', 'name'), /node-3|third/);
  const refused = await machine.podwire('node', 'rm', 'node-3');
  assert.match(refused.stderr, /has no node "node-3"\. Its nodes are node-1, node-2/);
});

test('a node that comes after one that went has a name and addresses of its own', { skip }, async () => {
  assert.equal(await machine.mustPodwire('node', 'add'), 'node-4 is there and Ready.\n');
  await whoSees(machine, on('node-1'), await podOn(machine, 'node-4', 'fourth'), 'http');
});
