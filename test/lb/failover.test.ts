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
import { Claims } from './claims.ts';

const skip = kubectlSkip() ?? (findProgram('arping') ? false : 'arping is not installed');
const NETWORK = {
  nodeCIDRs: ['172.30.87.0/24', 'fd00:172:87::/64'],
  podCIDRs: ['10.187.0.0/16', 'fd00:10:187::/56'],
  nodePrefixLengths: [24, 64],
  serviceCIDRs: ['10.87.0.0/16', 'fd00:10:87::/112'],
};
const V4 = '172.30.87.200';
const V6 = 'fd00:172:87::1000';
/** Of the Service that one test makes. */
const LOCAL = '172.30.87.201';

let machine: Machine;
let outside: OutsideHost;
let claims: Claims;

before(async () => {
  if (skip) return;
  machine = await Machine.create('lb');
  await startCluster(machine, NETWORK, 3);
  outside = await outsideHost(machine, '172.30.87.99');
  await outside.run('ip', ['addr', 'add', 'fd00:172:87::99/64', 'dev', 'eth0', 'nodad']);
  claims = await Claims.watch(outside, `${machine.netns}-out`, [V4, V6, LOCAL]);
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

async function onlyOneAnswers(address: string, node: string): Promise<void> {
  assert.deepEqual(await claims.answering(address), [macOf(node)], `${address} at ${node}`);
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
  await until('the Service tells of its node', async () => {
    const events = await machine.kubectl('describe', 'service', 'web');
    return /nodeAssigned +\S+ +podwire-lb +announcing from node "node-\d" with protocol "layer2"/.test(events);
  });
  const node = await held(V4);
  const counted = [
    `metallb_speaker_announced{service="default/web",protocol="layer2",node="${node}",ip="${V4}"} 1`,
    `podwire_lb_claims_total{ip="${V4}"} 1`,
    'podwire_lb_nodes{state="live"} 3',
  ];
  await until('its metrics tell of it', async () => {
    const metrics = await outside.run('curl', ['-s', `http://172.30.87.1${node.at(-1)}:7472/metrics`]);
    const lines = metrics.split('\n');
    return (
      counted.every((line) => lines.includes(line)) && /^metallb_layer2_gratuitous_sent\{.*\} [1-9]/m.test(metrics)
    );
  });
  assert.match(await machine.mustPodwire('lb'), /default\/web +172\.30\.87\.200 +node-\d +\S+Z +default/);
});

test('traffic to the address reaches the Service, over IPv4 and IPv6', { skip }, async () => {
  for (const url of [`http://${V4}/hostname`, `http://[${V6}]/hostname`]) {
    await until(`${url} answers`, async () => /node-\d-\d/.test(await outside.run('curl', ['-gs', '-m5', url])));
  }
});

test('Services of one sharing key are at one address and one node, each on its port; a pool that makes no sense is refused', {
  skip,
}, async () => {
  const shared = { metadata: { annotations: { 'podwire.io/allow-shared-ip': 'front' } } };
  const port = (number: number) => ({ ports: [{ name: 'http', port: number, targetPort: 8080 }] });
  for (const number of [81, 82]) await service(`front-${number}`, port(number), shared.metadata);
  const addresses = await until('both have an address', async () => {
    const mine = (await rows()).filter((row) => row.service.startsWith('front-') && row.node !== undefined);
    return mine.length === 2 && mine.map(({ address, node }) => `${address} ${node}`);
  });
  assert.equal(new Set(addresses).size, 1, addresses.join(', '));
  const [address] = addresses[0]!.split(' ');
  for (const number of [81, 82]) {
    const url = `http://${address}:${number}/hostname`;
    await until(`${url} answers`, async () => /node-\d-\d/.test(await outside.run('curl', ['-s', '-m5', url])));
  }
  assert.match(
    await machine.kubectl('describe', 'service', 'front-81'),
    /AddressAssigned +\S+ +podwire-lb +\S+ of LBPool default/,
  );
  await machine.kubectl('delete', 'service', 'front-81', 'front-82');
  const bad = {
    apiVersion: 'podwire.io/v1alpha1',
    kind: 'LBPool',
    metadata: { name: 'bad' },
    spec: { addresses: ['10.0.0.9-10.0.0.1', 'web'] },
  };
  const refused = await machine.run('kubectl', ['create', '-f', '-'], JSON.stringify(bad));
  assert.equal(refused.code, 1);
  for (const field of [
    'spec.addresses[0]: Invalid value: "10.0.0.9-10.0.0.1"',
    'spec.addresses[1]: Invalid value: "web"',
  ]) {
    assert.ok(refused.stderr.includes(field), refused.stderr);
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
  await until('the old node holds nothing', async () => heldBy(first) === '');
  const second6 = await held(V6, (node) => node !== first);
  await claims.forget();
  // Not at one moment: of all that is said from before the plug is in again until the node is Ready nothing comes from another.
  await claims.whileAsked(async () => {
    await until('they answer', async () => (await claims.macs(V4)).length + (await claims.macs(V6)).length === 2);
    await machine.mustPodwire('node', 'heal', first);
    await machine.kubectl('wait', '--for=condition=Ready', `node/${first}`, '--timeout=30s');
    await until('the healed node has heard the others', async () => (await rows()).every(({ node }) => node));
  });
  assert.deepEqual([await claims.macs(V4), await claims.macs(V6)], [[macOf(second)], [macOf(second6)]]);
  await onlyOneAnswers(V4, second);
  await onlyOneAnswers(V6, second6);
  assert.equal(await holderOf(V4), second);
});

test('an agent that dies and comes back costs nothing: its kernel answers all the while, and nobody else', {
  skip,
}, async () => {
  const before = [await held(V4), await held(V6)];
  await claims.forget();
  await claims.whileAsked(async () => {
    await machine.mustPodwire('node', 'kill', before[0]!);
    await until('its agent has taken up what the kernel holds', async () => (await holderOf(V4)) === before[0]);
    await logged(machine, /load balancer addresses of an earlier agent are taken over/);
  });
  assert.deepEqual(
    [await claims.macs(V4), await claims.macs(V6)],
    before.map((node) => [macOf(node)]),
  );
});

test('an agent that dies and stays away: others have its addresses, and its node answers for none', {
  skip,
}, async () => {
  const first = await held(V4);
  await machine.mustPodwire('node', 'kill', first, '--stay');
  const second = await held(V4, (node) => node !== first);
  const second6 = await held(V6, (node) => node !== first);
  assert.equal(heldBy(first), '');
  await logged(machine, /without its agent the node answers for no load balancer address/);
  await claims.forget();
  await claims.whileAsked(() => machine.mustPodwire('node', 'start', first));
  await onlyOneAnswers(V4, second);
  assert.deepEqual([await claims.macs(V4), await claims.answering(V6)], [[macOf(second)], [macOf(second6)]]);
  await until('traffic flows', async () =>
    /node-\d-\d/.test(await outside.run('curl', ['-gs', '-m5', `http://${V4}/hostname`])),
  );
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
  const refused = async (...words: string[]) => (await machine.podwire('lb', 'rehearse', ...words)).stderr;
  assert.match(
    await refused('svc/nothing'),
    /there is no Service default\/nothing of type LoadBalancer\. Try: podwire lb rehearse svc\/NAMESPACE\/NAME, of default\/web/,
  );
  assert.match(
    await refused('web', '--to', 'node-9'),
    /there is no node "node-9"\. The nodes are node-1, node-2, node-3/,
  );
  assert.match(await refused('default/web', '--to', other), new RegExp(`${other} answers for ${V4} already`));
  assert.match(await refused('svc/default/web', '--address', '192.0.2.9'), new RegExp(`It has ${V4}, `));
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
  assert.equal(address, LOCAL);
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
  assert.deepEqual(await claims.answering(address), []);
  await machine.kubectl('delete', 'service', 'local');
});

test('a Service that goes leaves no node answering', { skip }, async () => {
  await machine.kubectl('delete', 'service', 'web');
  await until('no node holds it', async () => ['node-1', 'node-2', 'node-3'].every((node) => heldBy(node) === ''));
  assert.deepEqual(await claims.answering(V4), []);
  assert.deepEqual(await claims.answering(V6), []);
});
