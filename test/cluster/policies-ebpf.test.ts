// Policies where packets pass the nodes' stacks by, and Services are translated at the socket: the same tables of packets, the same cuts.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import { socketLbLacks } from '../../src/kernel/socket-lb.ts';
import { type Case, RECIPES } from '../policy/recipes.ts';
import { command, echoServer, type Flow, flowClient, TCP_PORT, UDP_PORT } from './flow.ts';
import { kubectlSkip, Machine, until } from './machine.ts';

const isRoot = process.getuid?.() === 0;
const probed = isRoot ? probeFastPath() : { missing: 'needs root' };
const skip = kubectlSkip() ?? ('missing' in probed ? probed.missing : socketLbLacks()) ?? false;

const SPACES = ['x', 'y', 'z'];
const PODS = SPACES.flatMap((space) => ['a', 'b', 'c'].map((name) => `${space}/${name}`));
const FLOWS = ([80, 81] as const).flatMap((port) => (['TCP', 'UDP'] as const).map((protocol) => ({ port, protocol })));
/** Of the recipes those that differ most in what the kernel is asked. */
const TABLES = [
  'default deny all ingress and all egress',
  'a namespace or a pod: two peers of one rule',
  'a port by its name, where it is the peer’s',
  'a database: block, namespace and pods as peers of one port, and egress of its own',
];
let machine: Machine;

const manifest = (...objects: object[]) => objects.map((object) => JSON.stringify(object)).join('\n');

function pod(key: string, node: string, container: object): object {
  const [namespace, name] = key.split('/') as [string, string];
  const spec = { nodeName: node, terminationGracePeriodSeconds: 0, containers: [{ name: 'c', ...container }] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels: { pod: name } }, spec };
}

function service(key: string, ports: object[]): object {
  const [namespace, name] = key.split('/') as [string, string];
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec: { selector: { pod: name }, ports } };
}

before(async () => {
  if (skip) return;
  machine = await Machine.create('polebpf');
  await machine.mustPodwire('up', '--nodes', '2', '--datapath', 'ebpf', '--proxy-mode', 'ebpf');
  const ports = [80, 81].map((containerPort) => ({ name: `serve-${containerPort}-tcp`, containerPort }));
  const quiet = { image: 'host', command: ['sleep', '3600'], ports };
  await machine.apply(
    manifest(
      ...SPACES.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ns: name } } })),
      ...PODS.map((key) => pod(key, key.endsWith('b') ? 'node-2' : 'node-1', quiet)),
      service('x/a', [{ port: 8000, targetPort: 80 }]),
    ),
  );
  for (const space of SPACES) {
    await machine.kubectl('wait', '-n', space, '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
  }
});
after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

function expectationsOf(allows: (flow: Case) => boolean): object[] {
  const pairs = PODS.flatMap((from) => PODS.map((to) => ({ from, to })));
  const direct = pairs.flatMap(({ from, to }) =>
    (['allow', 'deny'] as const).flatMap((expect) => {
      const due = (flow: (typeof FLOWS)[number]) => from === to || allows({ from, to, ...flow });
      const port = FLOWS.filter((flow) => due(flow) === (expect === 'allow')).map(
        (flow) => `${flow.port}/${flow.protocol}`,
      );
      return port.length > 0 ? [{ from, to, port, expect }] : [];
    }),
  );
  const behind = PODS.map((from) => {
    const passes = from === 'x/a' || allows({ from, to: 'x/a', port: 80, protocol: 'TCP' });
    return { from, to: 'svc/x/a', port: 8000, expect: passes ? 'allow' : 'deny' };
  });
  return [...direct, ...behind];
}

for (const name of TABLES) {
  test(`a table of packets: ${name}`, { skip }, async () => {
    const { policies, allows } = RECIPES.find((recipe) => recipe.name === name)!;
    const objects = policies.map(({ spec, ...metadata }) => {
      return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
    });
    await machine.apply(manifest(...objects));
    const file = join(machine.state, 'table.yaml');
    writeFileSync(file, JSON.stringify({ expectations: expectationsOf(allows) }));
    const { code, stdout, stderr } = await machine.podwire('policy', 'test', file, '-o', 'json');
    await machine.kubectl('delete', 'networkpolicy', '-A', '--all');
    const found = JSON.parse(stdout) as { ok: boolean }[];
    assert.deepEqual(found.filter(({ ok }) => !ok).slice(0, 3), [], stderr);
    assert.equal(code, 0);
  });
}

test('connections on the fast path that a new policy forbids are cut, those that it allows go on', {
  skip,
}, async () => {
  const program = (words: string[]) => ({ image: 'podwire.io/agnhost', command: words });
  const readinessProbe = { tcpSocket: { port: TCP_PORT }, periodSeconds: 1 };
  await machine.apply(
    manifest(
      pod('x/server', 'node-1', { ...program(command(echoServer, TCP_PORT, UDP_PORT)), readinessProbe }),
      service('x/server', [
        { name: 'tcp', port: TCP_PORT },
        { name: 'udp', port: UDP_PORT, protocol: 'UDP' },
      ]),
    ),
  );
  await machine.kubectl('wait', '-n', 'x', '--for=condition=Ready', 'pod/server', '--timeout=60s');
  const read = (kind: string, path: string) =>
    machine.kubectl('get', kind, '-n', 'x', 'server', '-o', `jsonpath={${path}}`);
  const hosts = [await read('pod', '.status.podIP'), await read('service', '.spec.clusterIP')];
  const targets = hosts.flatMap((host) => [`tcp:${host}:${TCP_PORT}`, `udp:${host}:${UDP_PORT}`]);
  // One beside the server, one on the other node, of each namespace.
  const clients = ['y', 'z'].flatMap((space) =>
    [1, 2].map((node) => ({ key: `${space}/client-${node}`, node: `node-${node}` })),
  );
  await machine.apply(
    manifest(...clients.map(({ key, node }) => pod(key, node, program(command(flowClient, ...targets))))),
  );
  const counts = async () => {
    const all = await Promise.all(
      clients.map(async ({ key }) => {
        const [space, name] = key.split('/') as [string, string];
        const log = await machine.kubectl('logs', '-n', space, name, '--tail=1');
        return Object.values(JSON.parse(log.trim().split('\n').at(-1)!) as Record<string, Flow>).map(
          ({ echoed }) => echoed,
        );
      }),
    );
    return { y: [...all[0]!, ...all[1]!], z: [...all[2]!, ...all[3]!] };
  };
  const grows = (before: readonly number[], after: readonly number[]) =>
    after.every((count, i) => count > before[i]! + 5);
  await until('all flows run', async () => grows(Array(16).fill(0), Object.values(await counts()).flat()));
  await machine.apply(
    manifest({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { namespace: 'x', name: 'server-from-y' },
      spec: {
        podSelector: { matchLabels: { pod: 'server' } },
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }] }],
      },
    }),
  );
  let last = await counts();
  await until('those of z stand still while those of y go on', async () => {
    const first = last;
    await until('those of y go on', async () => {
      last = await counts();
      return grows(first.y, last.y);
    });
    return first.z.join() === last.z.join();
  });
  // Nothing of z comes back later.
  const cut = await counts();
  await until('those of y go on', async () => grows(last.y, (await counts()).y));
  assert.deepEqual((await counts()).z, cut.z);
});
