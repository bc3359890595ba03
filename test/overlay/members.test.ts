// Nodes come, go, stop and are cut off while the cluster runs: ways follow at once, and nothing stale stays.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { clusterSkip, kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { inside, nodeNetns, type OverlayPod, podOn, startCluster, whoSees } from './overlay-cluster.ts';

const skip = kubectlSkip() ?? clusterSkip() ?? false;
const NETWORK = { nodeCIDRs: ['172.30.83.0/24'], podCIDRs: ['10.183.0.0/16'], serviceCIDRs: ['10.83.0.0/16'] };

let machine: Machine;
let pods: OverlayPod[] = [];

before(async () => {
  if (skip) return;
  machine = await Machine.create('members');
  pods = await startCluster(machine, NETWORK, 2);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

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

test('node isolate and heal: its pods are out of reach, and in reach again', { skip }, async () => {
  const pod = pods.find(({ node }) => node === 'node-2')!;
  const reached = () => {
    try {
      inside(on('node-1').netns, 'ping', '-c1', '-W1', pod.ips[0]!);
      return true;
    } catch {
      return false;
    }
  };
  assert.equal(reached(), true);
  await machine.mustPodwire('node', 'isolate', 'node-2');
  assert.equal(reached(), false);
  await machine.mustPodwire('node', 'heal', 'node-2');
  await until('it answers again', async () => reached());
});

test('node stop and start: its agent ends and comes again, and its pods go on', { skip }, async () => {
  assert.match(await machine.mustPodwire('node', 'stop', 'node-2'), /is stopped/);
  const refused = await machine.podwire('node', 'heal', 'node-2');
  assert.match(refused.stderr, /node-2 is stopped\. Try: podwire node start node-2/);
  // What changes meanwhile, it finds when it comes again.
  await machine.mustPodwire('overlay', 'set', 'host-gw');
  assert.match(await machine.mustPodwire('node', 'start', 'node-2'), /is Ready again/);
  await until('its pods answer', async () => {
    await whoSees(machine, on('node-1'), on('node-2'), 'http');
    return true;
  });
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
