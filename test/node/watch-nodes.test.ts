// The ways to other nodes follow the Node objects, over the fake kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeKernel } from '../../src/kernel/fake.ts';
import { itemText } from '../../src/kernel/item-text.ts';
import { fakeNft } from '../../src/kernel/nft-fake.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { Overlay, watchNodes } from '../../src/node/overlay.ts';
import type { Node } from '../../src/objects/types.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import { MemoryInformer } from '../dns/memory-informer.ts';

const options = {
  nodeName: 'node-1',
  nodeIPs: ['172.30.0.11'],
  nodeCIDRs: ['172.30.0.0/24'],
  mtu: 1500,
  vxlan: { vni: 1, port: 8472 },
} as const;

function node(name: string, ip: string | undefined, podCIDRs: string[], heartbeat = ''): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: { podCIDRs },
    status: {
      addresses: [{ type: 'Hostname', address: name }, ...(ip ? [{ type: 'InternalIP', address: ip }] : [])],
      conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: heartbeat }],
    },
  };
}

function watched(overlaySettings?: NodeOptions['overlay']) {
  const kernel = new FakeKernel({ nft: fakeNft() });
  const leg = { kind: 'link', name: 'eth0', mtu: 1500, up: true, type: { kind: 'bridge' } } as const;
  const address = { kind: 'address', link: 'eth0', address: '172.30.0.11/24' } as const;
  kernel.apply({ add: [leg, address], change: [], remove: [] });
  const reconciler = createReconciler(kernel);
  const pods = { resize: () => new Map() };
  const given = { ...options, ...(overlaySettings && { overlay: overlaySettings }) };
  const overlay = new Overlay({ options: given as unknown as NodeOptions, nodeLink: 'eth0', reconciler, pods });
  const nodes = new MemoryInformer<Node>();
  const stop = watchNodes(overlay, options.nodeName, nodes);
  /** Once what the turn has brought is in force. */
  const ways = async () => {
    await Promise.resolve();
    const items = kernel.read('links').filter(({ kind }) => kind !== 'link' && kind !== 'address');
    return items.map(itemText).toSorted();
  };
  return { kernel, nodes, stop, ways };
}

const TO_NODE_2 = [
  'fdb 02:76:ac:1e:00:0c dev pw-vxlan dst 172.30.0.12',
  'neigh 10.244.1.0 lladdr 02:76:ac:1e:00:0c dev pw-vxlan nud permanent',
  'route 10.244.1.0/24 via 10.244.1.0 dev pw-vxlan onlink src 172.30.0.11',
];

test('a node that comes, gets its prefix, moves and goes', async () => {
  const { nodes, ways } = watched();
  nodes.set(node('node-1', '172.30.0.11', ['10.244.0.0/24']));
  nodes.set(node('node-2', '172.30.0.12', []));
  assert.deepEqual(await ways(), []);
  nodes.set(node('node-2', '172.30.0.12', ['10.244.1.0/24']));
  assert.deepEqual(await ways(), TO_NODE_2);
  nodes.set(node('node-2', '172.30.0.13', ['10.244.1.0/24']));
  assert.deepEqual(
    await ways(),
    TO_NODE_2.map((line) => line.replace('00:0c', '00:0d').replace('.12', '.13')),
  );
  nodes.delete('node-2');
  assert.deepEqual(await ways(), []);
});

test('a heartbeat costs the kernel nothing', async () => {
  const { kernel, nodes, ways } = watched();
  nodes.set(node('node-2', '172.30.0.12', ['10.244.1.0/24'], '1'));
  await ways();
  const before = kernel.transactions.length;
  nodes.set(node('node-2', '172.30.0.12', ['10.244.1.0/24'], '2'));
  await ways();
  assert.equal(kernel.transactions.length, before);
});

test('nodes that come together take one transaction', async () => {
  const { kernel, nodes, ways } = watched();
  const before = kernel.transactions.length;
  nodes.set(node('node-2', '172.30.0.12', ['10.244.1.0/24']));
  nodes.set(node('node-3', '172.30.0.13', ['10.244.2.0/24']));
  assert.equal((await ways()).length, 6);
  assert.equal(kernel.transactions.length, before + 1);
});

test('a way that the kernel refuses does not hold up those that came with it', async () => {
  const { nodes, ways } = watched({ backend: 'host-gw', directRouting: false });
  nodes.set(node('node-2', '172.30.0.12', ['10.244.1.0/24']));
  nodes.set(node('elsewhere', '192.0.2.1', ['10.244.2.0/24']));
  nodes.set(node('node-4', '172.30.0.14', ['10.244.3.0/24']));
  assert.deepEqual(await ways(), [
    'route 10.244.1.0/24 via 172.30.0.12 dev eth0 src 172.30.0.11',
    'route 10.244.3.0/24 via 172.30.0.14 dev eth0 src 172.30.0.11',
  ]);
});

test('nodes that stop being watched change nothing any more', async () => {
  const { nodes, stop, ways } = watched();
  stop();
  nodes.set(node('node-2', '172.30.0.12', ['10.244.1.0/24']));
  assert.deepEqual(await ways(), []);
});
