// Services as people write them after Kubernetes' documentation, applied by kubectl on three nodes of both families, and what packets then
// do: from pods, nodes, the machine and a host outside. Witnesses are curl, ncat, dig, conntrack and nft.
import { after, before } from 'node:test';
import { enterNetns } from '../../src/sys/netns.ts';
import { changeTests } from './cluster-changes.ts';
import { insideTests } from './cluster-inside.ts';
import { outsideTests } from './cluster-outside.ts';
import { type ClusterPart, EVERYBODY, World, worldSkip } from './cluster-world.ts';
import { MANIFESTS, RANGE } from './manifests.ts';
import type { Mode } from './one-node.ts';

/** `lacking`: why it cannot run here. */
export function servicesSuite(mode: Mode, lacking?: string): void {
  const skip = worldSkip() ?? lacking ?? false;
  let world: World;
  const part: ClusterPart = {
    mode,
    skip,
    get world() {
      return world;
    },
    async fromEverybody(hosts, port, expected) {
      for (const host of hosts) {
        await Promise.all(EVERYBODY.map((asker) => world.reaches(asker, host, port, expected)));
      }
    },
  };

  before(async () => {
    if (skip) return;
    world = await World.create(`svc${mode}`, ['--proxy-mode', mode]);
    enterNetns(`/run/netns/${world.machine.netns}`);
    const zones = { 'node-1': 'a', 'node-2': 'b', 'node-3': 'b' };
    for (const [node, zone] of Object.entries(zones)) {
      await world.machine.kubectl('label', 'node', node, `topology.kubernetes.io/zone=${zone}`);
    }
    // So that both zones have as many CPUs: those of such nodes do not count.
    await world.machine.kubectl('label', 'node', 'node-3', 'node-role.kubernetes.io/control-plane=');
    await world.machine.apply(RANGE);
    await world.machine.apply(MANIFESTS);
  });
  after(() => world?.[Symbol.asyncDispose]());

  insideTests(part);
  outsideTests(part);
  changeTests(part);
}
