// Nodes against the embedded API server: prefixes, heartbeats, taints, and what becomes of the pods of a lost node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPodReady } from '../../src/controllers/pods.ts';
import { deployment, startCluster, type TestCluster } from './cluster.ts';

const LEASES = 'kube-node-lease';

/** Renews the Lease of a node as a kubelet does, until it is stopped. */
function heartbeat(cluster: TestCluster, name: string, everyMs: number): Disposable {
  const spec = () => ({ holderIdentity: name, renewTime: new Date().toISOString().replace('Z', '000Z') });
  void cluster.client.create('Lease', { metadata: { name, namespace: LEASES }, spec: spec() }).catch(() => {});
  const timer = setInterval(() => {
    void cluster.client.patch('Lease', { name, namespace: LEASES }, { spec: spec() }).catch(() => {});
  }, everyMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

test('each node gets a prefix of its own, and a free one is given again', async () => {
  await using cluster = await startCluster({
    podCIDRs: ['10.244.0.0/22', 'fd00:10:244::/56'],
    nodePrefixLengths: [24, 64],
  });
  await Promise.all(['n1', 'n2', 'n3', 'n4'].map((name) => cluster.addNode(name)));
  const prefixes = async () => (await cluster.client.list('Node')).items.map(({ spec }) => spec?.podCIDRs ?? []);
  const given = await cluster.until('all have one', async () => {
    const all = await prefixes();
    return all.every((pair) => pair.length === 2) && all;
  });
  assert.deepEqual(given.map(([v4]) => v4).sort(), [
    '10.244.0.0/24',
    '10.244.1.0/24',
    '10.244.2.0/24',
    '10.244.3.0/24',
  ]);
  assert.equal(new Set(given.map(([, v6]) => v6)).size, 4);
  await cluster.addNode('n5');
  const [freed] = (await cluster.client.get('Node', 'n2')).spec!.podCIDRs!;
  await cluster.client.delete('Node', 'n2');
  const again = await cluster.until(
    'the fifth has one',
    async () => (await cluster.client.get('Node', 'n5')).spec?.podCIDR,
  );
  assert.equal(again, freed);
});

test('a node that falls silent is Unknown and tainted, its pods are not ready and leave; one that speaks stays', async () => {
  await using cluster = await startCluster({ nodeGraceMs: 1000 });
  const { client } = cluster;
  using first = heartbeat(cluster, 'n1', 50);
  using _second = heartbeat(cluster, 'n2', 50);
  await cluster.addNode('n1');
  await cluster.addNode('n2');
  cluster.runKubelets();
  const draft = deployment('web', 4);
  const effects = ['node.kubernetes.io/unreachable', 'node.kubernetes.io/not-ready'];
  draft.spec.template.spec!.tolerations = effects.map((key) => ({
    key,
    effect: 'NoExecute',
    operator: 'Exists',
    tolerationSeconds: 2,
  }));
  await client.create('Deployment', draft);
  await cluster.until('2 pods are ready on each', async () => {
    const ready = (await cluster.list('Pod')).filter(isPodReady);
    return ready.filter(({ spec }) => spec.nodeName === 'n1').length === 2 && ready.length === 4;
  });
  first[Symbol.dispose]();
  const lost = await cluster.until('n1 is Unknown and tainted', async () => {
    const node = await client.get('Node', 'n1');
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
    return (
      ready?.status === 'Unknown' && (node.spec?.taints?.length ?? 0) === 2 && { ready, taints: node.spec!.taints! }
    );
  });
  assert.equal(lost.ready.reason, 'NodeStatusUnknown');
  assert.deepEqual(lost.taints.map(({ key, effect }) => `${key}:${effect}`).sort(), [
    'node.kubernetes.io/unreachable:NoExecute',
    'node.kubernetes.io/unreachable:NoSchedule',
  ]);
  await cluster.until('its pods are not ready', async () => {
    const there = (await cluster.list('Pod')).filter(({ spec }) => spec.nodeName === 'n1');
    return there.every((pod) => !isPodReady(pod));
  });
  await cluster.until('they leave, and are replaced on n2', async () => {
    const live = (await cluster.list('Pod')).filter(({ metadata }) => !metadata.deletionTimestamp);
    return live.length === 4 && live.every((pod) => pod.spec.nodeName === 'n2' && isPodReady(pod));
  });
  const other = await client.get('Node', 'n2');
  assert.equal(other.spec?.taints, undefined);
  const conditions = [
    { type: 'Ready', status: 'True', reason: 'KubeletReady', lastTransitionTime: new Date().toISOString() },
  ];
  using _again = heartbeat(cluster, 'n1', 50);
  await client.patch('Node', { name: 'n1', subresource: 'status' }, { status: { conditions } });
  await cluster.until('n1 is back without taints', async () => !(await client.get('Node', 'n1')).spec?.taints);
});

test('pods of a node that was deleted go', async () => {
  await using cluster = await startCluster({ nodeGraceMs: 500 });
  using beat = heartbeat(cluster, 'n1', 50);
  await cluster.addNode('n1');
  await cluster.client.create('Pod', {
    metadata: { name: 'a', namespace: 'default' },
    spec: { containers: [{ name: 'a', image: 'a' }] },
  });
  await cluster.until('it is bound', async () => (await cluster.list('Pod'))[0]?.spec.nodeName);
  beat[Symbol.dispose]();
  await cluster.client.delete('Node', 'n1');
  await cluster.until('it is gone', async () => (await cluster.list('Pod')).length === 0);
});

test('a cordoned node is tainted, and free again after', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  const taints = async () => (await cluster.client.get('Node', 'n1')).spec?.taints?.map(({ key }) => key);
  await cluster.client.patch('Node', { name: 'n1' }, { spec: { unschedulable: true } });
  await cluster.until('tainted', async () => (await taints())?.includes('node.kubernetes.io/unschedulable'));
  await cluster.client.patch('Node', { name: 'n1' }, { spec: { unschedulable: null } });
  await cluster.until('free', async () => !(await taints()));
});
