// The kernel takes every plan of policies, and every change of one, in one transaction, and holds what was planned.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { identityOf } from '../../src/kernel/identity.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { NodeUnderTest } from './node.ts';
import { step } from './steps.ts';
import { world } from './worlds.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const RUNS = Number(process.env['PODWIRE_POLICY_KERNEL_RUNS'] ?? 40);
const netns = netnsPath(`pwt-policy-plan-${process.pid}`);
let kernel: Kernel | undefined;

before(() => {
  if (skip) return;
  createNetns(netns);
  kernel = openKernel({ netns });
});
after(() => {
  kernel?.close();
  if (!skip) removeNamespace(netns);
});

test('random clusters and their changes are what the kernel holds', { skip }, async () => {
  await fc.assert(
    fc.asyncProperty(world, fc.array(step, { maxLength: 15 }), async (cluster, steps) => {
      const reconciler = createReconciler(kernel!);
      const node = new NodeUnderTest(cluster);
      reconciler.update(node.desired.fragments);
      for (const change of steps) reconciler.update(node.take(change));
      const held = kernel!.read('nft').map((item) => [identityOf(item), item] as const);
      const byIdentity = (a: readonly [string, unknown], b: readonly [string, unknown]) => (a[0] < b[0] ? -1 : 1);
      assert.deepEqual(held.sort(byIdentity), [...node.desired.items].sort(byIdentity));
      // A restart finds all as it is.
      const again = createReconciler(kernel!);
      again.update(new NodeUnderTest(node.cluster).desired.fragments);
      assert.deepEqual(await again.repairRules(), []);
      again.update(new Map([...node.desired.fragments.keys()].map((key) => [key, undefined])));
      assert.deepEqual(kernel!.read('nft'), []);
      for (const each of [reconciler, again]) each.close();
    }),
    { numRuns: RUNS },
  );
});
