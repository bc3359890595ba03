// Tests of room runtime: as a node runs it: in a worker thread that has left the machine's network and mount namespaces.
import assert from 'node:assert/strict';
import { existsSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { makeNode, removeDir, skip, traces } from './node.ts';

it('in a node’s thread, pods have a network of their own or the node’s, and the machine stays as it was', {
  skip,
}, async () => {
  const node = makeNode();
  const nodeNetns = netnsPath(`${node.options.clusterName}-node`);
  createNetns(nodeNetns);
  try {
    const options = { ...node.options, nodeNetns };
    const worker = new Worker(join(import.meta.dirname, 'worker.ts'), {
      workerData: { dir: node.dir, options },
      trackUnmanagedFds: false,
    });
    const seen = await new Promise<Record<string, string>>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });
    await worker.terminate();
    const machine = readlinkSync('/proc/self/ns/net');
    const inNode = inNetns(nodeNetns, () => readlinkSync('/proc/thread-self/ns/net'));
    assert.equal(seen['node'], inNode);
    assert.equal(seen['host'], inNode);
    assert.equal(new Set([machine, inNode, seen['own']]).size, 3);
    assert.deepEqual([seen['own name'], seen['host name'], seen['hostname']], ['host-own', 'host-host', hostname()]);
    assert.equal(readlinkSync('/proc/self/ns/net'), machine);
    assert.deepEqual(traces(node), []);
    assert.ok(existsSync(nodeNetns), 'the node’s own namespace is not ours to remove');
  } finally {
    removeNamespace(nodeNetns);
    removeDir(node);
  }
});
