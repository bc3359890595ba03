// The Node object and its Lease against the real API server in this process.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ApiServer } from '../../src/api/server.ts';
import { startApiServer } from '../../src/api/start.ts';
import { createInformers, type Informers } from '../../src/cache/informers.ts';
import { Client } from '../../src/client/client.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { NodeObject } from '../../src/node/node-object.ts';
import { machineCapacity, machineInfo } from '../../src/node/node-status.ts';
import type { ImageStore } from '../../src/runtime/runtime.ts';
import { until } from './pod-world.ts';

describe('a node and its object', () => {
  let api: ApiServer;
  let client: Client;
  let informers: Informers;
  before(async () => {
    api = await startApiServer({
      stateDir: ':memory:',
      clusterName: 't',
      clusterDomain: 'cluster.local',
      serviceCIDRs: ['10.96.0.0/16'],
      nodePortRange: [30000, 32767],
      listen: [],
      certificateNames: [],
      kubeletSocket: () => undefined,
    });
    client = new Client(api.transport);
    informers = createInformers(client);
  });
  after(async () => {
    informers.close();
    await api.close();
  });

  const options = (nodeName: string) =>
    ({
      nodeName,
      nodeIPs: ['172.30.0.11'],
      podCIDRs: ['10.244.3.0/24'],
      labels: { 'topology.kubernetes.io/zone': 'here' },
    }) as unknown as NodeOptions;
  const images = {
    list: () => [{ names: ['shop:1'], ref: 'sha256:1', size: 7, loadedAt: '' }],
  } as unknown as ImageStore;
  const nodeObject = (name: string, parts: string[]) =>
    new NodeObject({
      client,
      options: options(name),
      nodes: informers.of('Node'),
      images,
      capacity: machineCapacity('/'),
      nodeInfo: machineInfo(),
      parts,
    });
  const readiness = async (name: string) => {
    const node = await client.get('Node', name);
    return node.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  };

  it('is registered, Ready when its parts are, and has a Lease', async () => {
    const own = nodeObject('one', ['network', 'DNS']);
    await own.register();
    const node = await client.get('Node', 'one');
    assert.equal(node.metadata.labels?.['topology.kubernetes.io/zone'], 'here');
    assert.equal(node.metadata.labels?.['kubernetes.io/hostname'], 'one');
    assert.deepEqual(node.spec?.podCIDRs, ['10.244.3.0/24']);
    await until(async () => (await readiness('one')) === 'False' || { not: await readiness('one') });
    own.done('network');
    own.done('DNS');
    await own.ready;
    const { status } = await client.get('Node', 'one');
    assert.equal(await readiness('one'), 'True');
    assert.deepEqual(status?.addresses?.[0], { type: 'InternalIP', address: '172.30.0.11' });
    assert.deepEqual(status?.images, [{ names: ['shop:1'], sizeBytes: 7 }]);
    await until(async () => {
      const { items } = await client.list('Lease', { namespace: 'kube-node-lease' });
      return items.some(({ spec }) => spec?.holderIdentity === 'one') || { not: items };
    });
    own.close();
  });

  it('stays Ready while a new agent takes it up', async () => {
    const own = nodeObject('one', ['network']);
    const seen: (string | undefined)[] = [];
    const stop = informers.of('Node').onChange(({ object }) => {
      if (object.metadata.name === 'one') seen.push(object.status?.conditions?.find((c) => c.type === 'Ready')?.status);
    });
    await own.register();
    own.done('network');
    await own.ready;
    stop();
    assert.deepEqual([...new Set(seen)], ['True']);
    own.close();
  });

  it('says again that it is Ready when another has said otherwise', async () => {
    const own = nodeObject('one', []);
    await own.register();
    await own.ready;
    const conditions = [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' }];
    await client.patch('Node', { name: 'one', subresource: 'status' }, { status: { conditions } }, 'strategic');
    await until(async () => (await readiness('one')) === 'True' || { not: await readiness('one') });
    own.close();
  });

  it('is registered anew when its object is deleted', async () => {
    const own = nodeObject('two', []);
    await own.register();
    await own.ready;
    const { uid } = (await client.get('Node', 'two')).metadata;
    await client.delete('Node', 'two');
    await until(async () => {
      const { items } = await client.list('Node', { fieldSelector: 'metadata.name=two' });
      return items.some(({ metadata }) => metadata.uid !== uid) || { not: items.length };
    });
    own.close();
  });

  it('learns its pod CIDRs from its object', async () => {
    assert.deepEqual(await nodeObject('one', []).podCIDRs, ['10.244.3.0/24']);
  });
});
