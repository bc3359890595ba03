// On our fabric nothing is asked for between nodes and their router: every entry is there, permanent and true, and comes back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clusterSkip, kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { inside, nodeNetns, startCluster } from './overlay-cluster.ts';

const skip = kubectlSkip() ?? clusterSkip() ?? false;
const NETWORK = {
  nodeCIDRs: ['172.30.84.0/24', 'fd00:172:84::/64'],
  podCIDRs: ['10.184.0.0/16', 'fd00:10:184::/56'],
  serviceCIDRs: ['10.84.0.0/16', 'fd00:10:84::/112'],
};
const NODES = ['node-1', 'node-2', 'node-3'];
const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  'node-1': ['172.30.84.11', 'fd00:172:84::b'],
  'node-2': ['172.30.84.12', 'fd00:172:84::c'],
  'node-3': ['172.30.84.13', 'fd00:172:84::d'],
  fabric: ['172.30.84.2', 'fd00:172:84::2'],
};

let machine: Machine;

before(async () => {
  if (skip) return;
  machine = await Machine.create('legs');
  await startCluster(machine, NETWORK, NODES.length);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const legOf = (part: string) => (part === 'fabric' ? 'pw-fabric' : 'eth0');

/** As the link itself has it. */
function macOf(part: string): string {
  const text = inside(nodeNetns(machine, part), 'ip', '-j', 'link', 'show', legOf(part));
  return (JSON.parse(text) as { address: string }[])[0]!.address;
}

interface Entry {
  readonly dst: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
}

function entriesAt(part: string): Entry[] {
  const text = ['-4', '-6'].map((family) =>
    inside(nodeNetns(machine, part), 'ip', family, '-j', 'neigh', 'show', 'dev', legOf(part)),
  );
  return text.flatMap((each) => JSON.parse(each || '[]') as Entry[]);
}

/** Of another's addresses, how they stand in the table of `part`. */
function knownAt(part: string, other: string): string[] {
  const found = entriesAt(part).filter(({ dst }) => ADDRESSES[other]!.includes(dst));
  return found.map(({ dst, lladdr, state }) => `${dst} ${lladdr} ${state.join()}`).toSorted();
}

function wantedOf(other: string): string[] {
  return ADDRESSES[other]!.map((ip) => `${ip} ${macOf(other)} PERMANENT`).toSorted();
}

/** What each of them has to know: nodes of each other and of the router, the router of nodes. */
const PAIRS = [...NODES, 'fabric'].flatMap((part) =>
  [...NODES, 'fabric'].filter((other) => other !== part).map((other) => [part, other] as const),
);

test('nodes and their router have permanent entries of each other, with the MACs that the links have', { skip }, () => {
  for (const [part, other] of PAIRS) assert.deepEqual(knownAt(part, other), wantedOf(other), `${part} of ${other}`);
});

test('nothing is asked for between them, however much they talk', { skip }, () => {
  for (const ip of [...ADDRESSES['node-2']!, ...ADDRESSES['fabric']!])
    inside(nodeNetns(machine, 'node-1'), 'ping', '-c', '1', '-W', '5', ip);
  const addresses = Object.values(ADDRESSES).flat();
  for (const part of [...NODES, 'fabric']) {
    const learned = entriesAt(part).filter(({ dst, state }) => addresses.includes(dst) && !state.includes('PERMANENT'));
    assert.deepEqual(learned, [], part);
  }
});

test('an entry that is deleted or changed by hand comes back, and so do all after a leg was down', {
  skip,
}, async () => {
  const at = (part: string, ...words: string[]) => inside(nodeNetns(machine, part), 'ip', ...words);
  const back = (part: string, other: string) =>
    until(`${part} knows ${other} again`, async () => knownAt(part, other).join() === wantedOf(other).join());
  at('node-1', 'neigh', 'del', '172.30.84.12', 'dev', 'eth0');
  await back('node-1', 'node-2');
  const wrong = ['lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'permanent'];
  at('node-1', 'neigh', 'replace', 'fd00:172:84::c', ...wrong);
  await back('node-1', 'node-2');
  at('fabric', 'neigh', 'del', '172.30.84.13', 'dev', 'pw-fabric');
  await back('fabric', 'node-3');
  at('node-2', 'link', 'set', 'eth0', 'down');
  for (const [part, other] of PAIRS) if (part === 'node-2') await back(part, other);
  const mac = macOf('node-3');
  at('node-3', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:98');
  await until('node-3 has its MAC again', async () => macOf('node-3') === mac);
  for (const [part, other] of PAIRS) await back(part, other);
});

test('a load balancer address is asked for as ever: it may move', { skip }, async () => {
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: { type: 'LoadBalancer', selector: { app: 'echo' }, ports: [{ port: 80, targetPort: 8080 }] },
  };
  await machine.apply(JSON.stringify(service));
  const ipOf = () => machine.kubectl('get', 'svc', 'web', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}');
  await until('the Service has its address', async () => (await ipOf()) !== '');
  const ip = await ipOf();
  const answers = async () =>
    (await machine.run('curl', ['-sf', '--max-time', '2', `http://${ip}/hostname`])).code === 0;
  await until('the Service answers', answers);
  for (const part of [...NODES, 'fabric']) {
    const permanent = entriesAt(part).filter(({ dst, state }) => dst === ip && state.includes('PERMANENT'));
    assert.deepEqual(permanent, [], part);
  }
});

test('of a node that is removed nothing stays, nor where no agent was when it went', { skip }, async () => {
  await machine.mustPodwire('node', 'kill', 'node-1', '--stay');
  await machine.mustPodwire('node', 'rm', 'node-3');
  const forgotten = (part: string) =>
    until(`${part} has forgotten node-3`, async () => knownAt(part, 'node-3').length === 0);
  await forgotten('node-2');
  await forgotten('fabric');
  assert.equal(knownAt('node-1', 'node-3').length, 2);
  await machine.mustPodwire('node', 'start', 'node-1');
  await forgotten('node-1');
  assert.deepEqual(knownAt('node-1', 'node-2'), wantedOf('node-2'));
});

test('check finds room for all entries', { skip }, async () => {
  const rows = JSON.parse((await machine.podwire('check', '-o', 'json')).stdout) as { what: string; state: string }[];
  const states = rows.filter(({ what }) => /neighbours of nodes/.test(what)).map(({ state }) => state);
  assert.ok(
    states.every((state) => state === 'ok'),
    JSON.stringify(states),
  );
});
