// The scheduler against the embedded API server: placed at once where it fits, told why where it does not, tried again on change.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Draft, Pod } from '../../src/objects/types.ts';
import { deployment, startCluster } from './cluster.ts';

function pod(name: string, spec: Partial<Pod['spec']> = {}, cpu?: string): Draft<Pod> {
  const resources = cpu ? { requests: { cpu } } : {};
  return {
    metadata: { name, namespace: 'default' },
    spec: { containers: [{ name: 'web', image: 'web:1', resources }], ...spec },
  };
}

test('a pod that fits nowhere says why, and is placed as soon as something changes', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  await cluster.addNode('n1', { cpu: '1' });
  await cluster.addNode('n2', { cpu: '1' });
  await cluster.addNode('n3', { cpu: '8' });
  await client.patch(
    'Node',
    { name: 'n3' },
    { spec: { taints: [{ key: 'only', value: 'db', effect: 'NoSchedule' }] } },
  );
  await client.create('Pod', pod('big', {}, '2'));
  const message = '0/3 nodes are available: 1 node(s) had untolerated taint {only: db}, 2 Insufficient cpu.';
  await cluster.until('the condition tells', async () => {
    const { status } = await client.get('Pod', 'big', 'default');
    const condition = status?.conditions?.find(({ type }) => type === 'PodScheduled');
    return condition?.status === 'False' && condition.reason === 'Unschedulable' && condition.message === message;
  });
  const event = await cluster.until('the event tells', async () => {
    return (await cluster.list('Event')).find(({ reason }) => reason === 'FailedScheduling');
  });
  assert.deepEqual([event.type, event.message, event.source?.component], ['Warning', message, 'default-scheduler']);
  await client.patch('Node', { name: 'n3' }, { spec: { taints: null } });
  const bound = await cluster.until('it is bound', async () => {
    const now = await client.get('Pod', 'big', 'default');
    return now.spec.nodeName && now;
  });
  assert.equal(bound.spec.nodeName, 'n3');
  assert.equal(bound.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.status, 'True');
  await cluster.until('the event Scheduled', async () => {
    const events = await cluster.list('Event');
    return events.some(({ message: text }) => text === 'Successfully assigned default/big to n3');
  });
});

test('room that a deleted pod leaves is given to the next', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1', { cpu: '1' });
  cluster.runKubelets();
  await cluster.client.create('Pod', pod('first', {}, '800m'));
  await cluster.until(
    'the first runs',
    async () => (await cluster.client.get('Pod', 'first', 'default')).status?.podIP,
  );
  await cluster.client.create('Pod', pod('second', {}, '800m'));
  await cluster.until('the second waits', async () => {
    const { status } = await cluster.client.get('Pod', 'second', 'default');
    return status?.conditions?.some(({ message }) => message === '0/1 nodes are available: 1 Insufficient cpu.');
  });
  await cluster.client.delete('Pod', 'first', 'default');
  await cluster.until(
    'the second runs',
    async () => (await cluster.client.get('Pod', 'second', 'default')).status?.podIP,
  );
});

test('pods go where selectors, affinity, host ports and anti-affinity let them', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  for (const [name, disk] of [
    ['n1', 'ssd'],
    ['n2', 'ssd'],
    ['n3', 'hdd'],
  ] as const) {
    await cluster.addNode(name, { labels: { disk } });
  }
  const nodeOf = (name: string) =>
    cluster.until(`${name} is bound`, async () => (await client.get('Pod', name, 'default')).spec.nodeName);
  await client.create('Pod', pod('slow', { nodeSelector: { disk: 'hdd' } }));
  assert.equal(await nodeOf('slow'), 'n3');
  const containers = [{ name: 'p', image: 'p', ports: [{ containerPort: 80, hostPort: 8080, protocol: 'TCP' }] }];
  for (const name of ['p1', 'p2']) await client.create('Pod', pod(name, { containers, nodeSelector: { disk: 'ssd' } }));
  assert.deepEqual([await nodeOf('p1'), await nodeOf('p2')].sort(), ['n1', 'n2']);
  await client.create('Pod', pod('p3', { containers, nodeSelector: { disk: 'ssd' } }));
  const message =
    "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't have free ports for the requested pod ports.";
  await cluster.until('the third finds no port', async () => {
    const { status } = await client.get('Pod', 'p3', 'default');
    return status?.conditions?.some((condition) => condition.message === message);
  });
  const labelSelector = { matchLabels: { app: 'web' } };
  const draft = deployment('web', 4);
  draft.spec.template.spec!.affinity = {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector, topologyKey: 'kubernetes.io/hostname' }],
    },
  };
  await client.create('Deployment', draft);
  const web = await cluster.until('three of four are bound', async () => {
    const all = (await cluster.list('Pod')).filter(({ metadata }) => metadata.labels?.['app'] === 'web');
    const waits = all.some(({ status }) => status?.conditions?.some(({ reason }) => reason === 'Unschedulable'));
    return all.length === 4 && waits && all.filter(({ spec }) => spec.nodeName);
  });
  assert.deepEqual(web.map(({ spec }) => spec.nodeName).sort(), ['n1', 'n2', 'n3']);
  await cluster.addNode('n4');
  await cluster.until('the fourth has a node of its own', async () => {
    return (await cluster.list('Pod')).some(({ spec }) => spec.nodeName === 'n4');
  });
});

test('pods without a node are placed when the first node comes', async () => {
  await using cluster = await startCluster();
  await cluster.client.create('Deployment', deployment('web', 3));
  await cluster.until('all three wait', async () => {
    const pods = await cluster.list('Pod');
    const told = pods.flatMap(({ status }) => status?.conditions ?? []);
    return told.filter(({ message }) => message === 'no nodes available to schedule pods').length === 3;
  });
  await cluster.addNode('n1');
  await cluster.until('all are bound', async () =>
    (await cluster.list('Pod')).every(({ spec }) => spec.nodeName === 'n1'),
  );
});
