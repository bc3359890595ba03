// Load balancer addresses on a running cluster, seen by a host beside it: exactly one MAC answers, whoever dies, is cut off or comes back.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { BalancedAddress } from '../../src/cluster/load-balancer.ts';
import { findProgram } from '../../src/cluster/programs.ts';
import { kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { type OutsideHost, outsideHost } from '../cluster/outside.ts';
import { inside, logged, nodeNetns, startCluster } from '../overlay/overlay-cluster.ts';

const skip = kubectlSkip() ?? (findProgram('arping') ? false : 'arping is not installed');
const NETWORK = {
  nodeCIDRs: ['172.30.87.0/24', 'fd00:172:87::/64'],
  podCIDRs: ['10.187.0.0/16', 'fd00:10:187::/56'],
  nodePrefixLengths: [24, 64],
  serviceCIDRs: ['10.87.0.0/16', 'fd00:10:87::/112'],
};
const V4 = '172.30.87.200';
const V6 = 'fd00:172:87::1000';

let machine: Machine;
let outside: OutsideHost;

before(async () => {
  if (skip) return;
  machine = await Machine.create('lb');
  await startCluster(machine, NETWORK, 3);
  outside = await outsideHost(machine, '172.30.87.99');
  await outside.run('ip', ['addr', 'add', 'fd00:172:87::99/64', 'dev', 'eth0', 'nodad']);
  await service('web', { ipFamilyPolicy: 'RequireDualStack' });
});

after(async () => {
  await outside?.[Symbol.asyncDispose]();
  await machine?.[Symbol.asyncDispose]();
});

async function service(name: string, spec: object = {}, metadata: object = {}): Promise<void> {
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  await machine.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default', ...metadata },
      spec: { type: 'LoadBalancer', selector: { app: 'echo' }, ports, ...spec },
    }),
  );
}

async function rows(): Promise<BalancedAddress[]> {
  return JSON.parse(await machine.mustPodwire('lb', '-o', 'json')) as BalancedAddress[];
}

async function holderOf(address: string): Promise<string | undefined> {
  return (await rows()).find((row) => row.address === address)?.node;
}

/** The node that answers for the address, once one does and `accept` likes it. */
function held(address: string, accept: (node: string) => boolean = () => true): Promise<string> {
  return until(`a node answers for ${address}`, async () => {
    const node = await holderOf(address);
    return node !== undefined && accept(node) && node;
  });
}

function macOf(node: string): string {
  const [link] = JSON.parse(inside(nodeNetns(machine, node), 'ip', '-j', 'link', 'show', 'eth0')) as {
    address: string;
  }[];
  return link!.address;
}

/** MACs of all who answer, by programs that know nothing of us: all answers to ARP, the first to NDP. */
async function answering(address: string): Promise<string[]> {
  if (address.includes(':')) {
    // Who gets no answer ends with an error.
    const ask = `ip -6 neigh flush dev eth0; ping -c1 -W2 ${address} >&2 || true`;
    await outside.run('sh', ['-c', ask]);
    const mac = await knownMac(address);
    return mac === undefined ? [] : [mac];
  }
  const text = await outside.run('sh', ['-c', `arping -b -c 2 -w 2 -I eth0 ${address} || true`]);
  return [...new Set(text.toLowerCase().match(/\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b/g) ?? [])];
}

async function onlyOneAnswers(address: string, node: string): Promise<void> {
  assert.deepEqual(await answering(address), [macOf(node)], `${address} at ${node}`);
}

/** What the host beside the cluster knows, without asking anew. */
async function knownMac(address: string): Promise<string | undefined> {
  const text = await outside.run('ip', ['-j', 'neigh', 'show', address]);
  return (JSON.parse(text || '[]') as { lladdr?: string }[])[0]?.lladdr;
}

/** What the node's kernel answers for. (Of IPv6 `ip` shows local routes among those of all tables only.) */
function heldBy(node: string): string {
  const show = (family: string) =>
    inside(nodeNetns(machine, node), 'ip', family, 'route', 'show', 'table', 'all', 'type', 'local', 'proto', '201');
  return `${show('-4')}${show('-6')}${inside(nodeNetns(machine, node), 'ip', 'neigh', 'show', 'proxy')}`.trim();
}

test('one node answers for each address, in ARP and NDP, and pings come back', { skip }, async () => {
  for (const address of [V4, V6]) {
    const node = await held(address);
    await onlyOneAnswers(address, node);
    await outside.run('ping', ['-c1', '-W5', address]);
  }
  assert.match(await machine.kubectl('get', 'lbpools'), /default +true +172\.30\.87\.200-172\.30\.87\.250/);
  assert.match(await machine.mustPodwire('lb'), /default\/web +172\.30\.87\.200 +node-\d +\S+Z +default/);
});

test('traffic to the address reaches the Service, over IPv4 and IPv6', { skip }, async () => {
  for (const url of [`http://${V4}/hostname`, `http://[${V6}]/hostname`]) {
    await until(`${url} answers`, async () => /node-\d-\d/.test(await outside.run('curl', ['-gs', '-m5', url])));
  }
});

test('a node that is cut off stops answering by itself, another announces itself, and healing changes nothing', {
  skip,
}, async () => {
  const first = await held(V4);
  await outside.run('ping', ['-c1', '-W5', V4]);
  assert.equal(await knownMac(V4), macOf(first));
  await machine.mustPodwire('node', 'isolate', first);
  const second = await held(V4, (node) => node !== first);
  // Nobody has asked: it was told.
  await until('the host was told', async () => (await knownMac(V4)) === macOf(second));
  await until('the old node holds nothing', async () => !heldBy(first).includes(V4));
  await machine.mustPodwire('node', 'heal', first);
  await until('the healed node is Ready', async () =>
    /^node\/\S+ condition met/.test(
      await machine.kubectl('wait', '--for=condition=Ready', `node/${first}`, '--timeout=30s'),
    ),
  );
  await onlyOneAnswers(V4, second);
  assert.equal(await holderOf(V4), second);
});

test('a node that stops hands its addresses over', { skip }, async () => {
  const first = await held(V4);
  await machine.mustPodwire('node', 'stop', first);
  const second = await held(V4, (node) => node !== first);
  await logged(machine, new RegExp(`${first} gives up ${V4}: this node leaves; it goes to ${second}`));
  await held(V6, (node) => node !== first);
  await onlyOneAnswers(V4, second);
  await machine.mustPodwire('node', 'start', first);
  await onlyOneAnswers(V4, second);
});

test('a rehearsal moves the address there and back, and says how long nobody could connect', { skip }, async () => {
  const first = await held(V4);
  const said = JSON.parse(await machine.mustPodwire('lb', 'rehearse', 'svc/web', '-o', 'json')) as {
    address: string;
    moves: { from: string; to: string; longestGapMs: number; failed: number; attempts: number }[];
  };
  assert.equal(said.address, V4);
  assert.deepEqual(
    said.moves.map(({ from, to }) => [from, to]),
    [
      [first, said.moves[0]!.to],
      [said.moves[0]!.to, first],
    ],
  );
  for (const move of said.moves) assert.ok(move.attempts > 0 && move.longestGapMs > 0);
  await held(V4, (node) => node === first);
  const other = ['node-1', 'node-2', 'node-3'].find((node) => node !== first)!;
  assert.match(
    await machine.mustPodwire('lb', 'rehearse', 'web', '--to', other, '--stay'),
    /FROM +TO +MOVED IN +BLACKOUT/,
  );
  await held(V4, (node) => node === other);
  const refused = await machine.podwire('lb', 'rehearse', 'svc/nothing');
  assert.match(refused.stderr, /there is no Service default\/nothing of type LoadBalancer/);
});

test('a daemon that is killed leaves its nodes answering, and the next one takes up what they hold', {
  skip,
}, async () => {
  const before = await rows();
  const holder = before.find((row) => row.address === V4)!.node!;
  const { pid } = JSON.parse(readFileSync(join(machine.state, 'clusters', machine.cluster, 'daemon.pid'), 'utf8')) as {
    pid: number;
  };
  process.kill(pid, 'SIGKILL');
  await onlyOneAnswers(V4, holder);
  await outside.run('ping', ['-c1', '-W5', V6]);
  await machine.mustPodwire('up');
  await until('the claims are as before', async () => {
    const now = await rows();
    return before.every(({ address, node }) => now.some((row) => row.address === address && row.node === node));
  });
  await onlyOneAnswers(V4, holder);
});

test('what somebody deletes comes back', { skip }, async () => {
  for (const address of [V4, V6]) {
    const node = await held(address);
    const netns = nodeNetns(machine, node);
    const whole = heldBy(node);
    inside(netns, 'ip', address === V4 ? '-4' : '-6', 'route', 'del', 'local', address, 'dev', 'lo', 'table', 'main');
    if (address === V6) inside(netns, 'ip', 'neigh', 'del', 'proxy', address, 'dev', 'eth0');
    await until(`${address} is whole again`, async () => heldBy(node) === whole);
    await outside.run('ping', ['-c1', '-W5', address]);
  }
});

test('only nodes that may answer do: not excluded ones, and with externalTrafficPolicy Local those with endpoints', {
  skip,
}, async () => {
  const label = 'node.kubernetes.io/exclude-from-external-load-balancers';
  const first = await held(V4);
  await machine.kubectl('label', 'node', first, `${label}=`);
  const second = await held(V4, (node) => node !== first);
  await machine.kubectl('label', 'node', first, `${label}-`);
  await onlyOneAnswers(V4, second);
  await machine.kubectl('label', 'pod', 'node-2-1', 'place=second');
  await machine.kubectl('label', 'pod', 'node-3-1', 'place=third');
  await service('local', { externalTrafficPolicy: 'Local', selector: { place: 'second' } });
  const address = await until('it has an address', async () => {
    const row = (await rows()).find((each) => each.service === 'local');
    return row?.address;
  });
  assert.equal(await held(address), 'node-2');
  await machine.kubectl('patch', 'service', 'local', '-p', JSON.stringify({ spec: { selector: { place: 'third' } } }));
  assert.equal(await held(address, (node) => node !== 'node-2'), 'node-3');
  await onlyOneAnswers(address, 'node-3');
  await machine.kubectl(
    'patch',
    'service',
    'local',
    '-p',
    JSON.stringify({ spec: { selector: { place: 'nowhere' } } }),
  );
  await until('nobody answers', async () => (await holderOf(address)) === undefined);
  assert.deepEqual(await answering(address), []);
  await machine.kubectl('delete', 'service', 'local');
});

test('a Service that goes leaves no node answering', { skip }, async () => {
  await machine.kubectl('delete', 'service', 'web');
  await until('no node holds it', async () => ['node-1', 'node-2', 'node-3'].every((node) => heldBy(node) === ''));
  assert.deepEqual(await answering(V4), []);
  assert.deepEqual(await answering(V6), []);
});
