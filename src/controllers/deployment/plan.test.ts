// Room controllers: rollouts as pure steps, and a model of the world that takes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Deployment, ReplicaSet } from '../../objects/types.ts';
import { type PodTemplate, templateHash, templateText } from './hash.ts';
import { limits } from './limits.ts';
import { planDeployment } from './plan.ts';
import { revisionOf, sizeOf } from './revision.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

function podTemplate(image: string): PodTemplate {
  return { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }] } };
}

function deployment(replicas: number, spec: object = {}): Deployment {
  const metadata = {
    name: 'web',
    namespace: 'default',
    uid: 'd',
    resourceVersion: '1',
    creationTimestamp: '',
    generation: 1,
  };
  const selector = { matchLabels: { app: 'web' } };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: { replicas, selector, template: podTemplate('web:1'), progressDeadlineSeconds: 600, ...spec },
  } as Deployment;
}

const rolling = (maxSurge: unknown, maxUnavailable: unknown) => ({
  strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
});

const FENCEPOSTS: [why: string, of: Deployment, surge: number, unavailable: number][] = [
  ['by default a quarter, up and down', deployment(10), 3, 2],
  ['percentages of surge round up, of unavailability down', deployment(3, rolling('50%', '50%')), 2, 1],
  ['when both come to nothing, one may be missing', deployment(3, rolling(0, '10%')), 0, 1],
  ['no more can be missing than there are', deployment(2, rolling(1, 5)), 1, 2],
  ['Recreate knows neither', deployment(4, { strategy: { type: 'Recreate' } }), 0, 0],
];
for (const [why, of, surge, unavailable] of FENCEPOSTS) {
  test(`limits: ${why}`, () => assert.deepEqual(limits(of), { desired: of.spec.replicas, surge, unavailable }));
}

test('a hash does not depend on key order or on itself, and collisions make another', () => {
  const a = podTemplate('web:1');
  const b = { spec: a.spec, metadata: { labels: { 'pod-template-hash': 'xyz', app: 'web' }, annotations: undefined } };
  assert.equal(templateText(a), templateText(b as unknown as PodTemplate));
  assert.match(templateHash(a), /^[bcdfghjklmnpqrstvwxz2456789]{8,10}$/);
  assert.notEqual(templateHash(a), templateHash(a, 1));
  assert.notEqual(templateHash(a), templateHash(podTemplate('web:2')));
});

test('the first step creates the ReplicaSet whole and says so', () => {
  const step = planDeployment({ deployment: deployment(3), replicaSets: [], hasPods: () => false, now: NOW });
  assert.equal(step.create!.spec.replicas, 3);
  assert.equal(step.create!.metadata.labels['pod-template-hash'], templateHash(podTemplate('web:1')));
  assert.equal(step.revision, 1);
  const progressing = step.status.conditions!.find(({ type }) => type === 'Progressing');
  assert.deepEqual([progressing?.status, progressing?.reason], ['True', 'NewReplicaSetCreated']);
  assert.equal(step.recheckAfterMs, 601_000);
});

/** A world that obeys: ReplicaSets report what they have, pods come and go as `chance` decides. */
class World {
  readonly sets: ReplicaSet[] = [];
  /** Pods by ReplicaSet: true is available. */
  readonly pods = new Map<string, boolean[]>();
  deployment: Deployment;
  fewest = Number.POSITIVE_INFINITY;
  most = 0;

  constructor(of: Deployment) {
    this.deployment = of;
  }

  step(): boolean {
    const hasPods = ({ metadata }: ReplicaSet) => (this.pods.get(metadata.name) ?? []).length > 0;
    const step = planDeployment({ deployment: this.deployment, replicaSets: this.sets, hasPods, now: NOW });
    if (step.create) {
      const stamps = { uid: step.create.metadata.name, resourceVersion: '1', generation: 1 };
      const creationTimestamp = new Date(NOW + this.sets.length * 1000).toISOString();
      const metadata = { ...step.create.metadata, ...stamps, creationTimestamp };
      this.sets.push({ apiVersion: 'apps/v1', kind: 'ReplicaSet', ...step.create, metadata } as ReplicaSet);
    }
    for (const set of step.update)
      this.sets[this.sets.findIndex(({ metadata }) => metadata.uid === set.metadata.uid)] = set;
    this.deployment = { ...this.deployment, status: step.status };
    return !!step.create || step.update.length > 0;
  }

  /** ReplicaSets create what is missing and delete the surplus, unready pods first. */
  obey(): void {
    for (const set of this.sets) {
      const pods = (this.pods.get(set.metadata.name) ?? []).sort((a, b) => Number(b) - Number(a));
      const kept = pods.slice(0, sizeOf(set));
      while (kept.length < sizeOf(set)) kept.push(false);
      this.pods.set(set.metadata.name, kept);
    }
  }

  report(): void {
    for (const [i, set] of this.sets.entries()) {
      const pods = this.pods.get(set.metadata.name) ?? [];
      const ready = pods.filter(Boolean).length;
      this.sets[i] = { ...set, status: { replicas: pods.length, readyReplicas: ready, availableReplicas: ready } };
    }
  }

  becomeReady(count: number): void {
    let left = count;
    for (const [name, pods] of this.pods) {
      const changed = pods.map((ready) => ready || left-- > 0);
      this.pods.set(name, changed);
    }
  }

  count(): void {
    const pods = [...this.pods.values()].flat();
    this.fewest = Math.min(this.fewest, pods.filter(Boolean).length);
    this.most = Math.max(this.most, pods.length);
  }

  settle(): void {
    for (let i = 0; i < 200; i++) {
      const moved = this.step();
      this.obey();
      this.becomeReady(1000);
      this.report();
      if (!moved && !this.step()) return;
    }
    throw new Error('the rollout does not come to an end');
  }
}

const limit = fc.oneof(
  fc.integer({ min: 0, max: 12 }),
  fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
);

test('whatever the limits and whenever pods get ready, a rollout keeps within them and ends', () => {
  const moves = fc.array(fc.constantFrom('step', 'obey', 'report', 'ready'), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 15 }), limit, limit, moves, (replicas, surge, unavailable, order) => {
      const world = new World(deployment(replicas, rolling(surge, unavailable)));
      world.settle();
      const allowed = limits(world.deployment);
      world.deployment = { ...world.deployment, spec: { ...world.deployment.spec, template: podTemplate('web:2') } };
      for (const move of order) {
        if (move === 'ready') world.becomeReady(1);
        else world[move]();
        world.count();
      }
      world.settle();
      assert.ok(world.fewest >= allowed.desired - allowed.unavailable, `${world.fewest} available`);
      assert.ok(world.most <= allowed.desired + allowed.surge, `${world.most} pods`);
      const current = world.sets.find((set) => sizeOf(set) > 0)!;
      assert.deepEqual([sizeOf(current), revisionOf(current)], [replicas, 2]);
      assert.equal(world.sets.filter((set) => sizeOf(set) > 0).length, 1);
      const { updatedReplicas, availableReplicas, conditions } = world.deployment.status!;
      assert.deepEqual([updatedReplicas, availableReplicas], [replicas, replicas]);
      assert.equal(conditions!.find(({ type }) => type === 'Progressing')!.reason, 'NewReplicaSetAvailable');
    }),
    { numRuns: 300 },
  );
});

test('scaling in the middle of a rollout never loses or adds a pod beyond what is wanted', () => {
  const sizes = fc.integer({ min: 0, max: 30 });
  fc.assert(
    fc.property(sizes, sizes, limit, fc.nat(20), (from, to, surge, steps) => {
      const world = new World(deployment(from, rolling(surge, '25%')));
      world.settle();
      world.deployment = { ...world.deployment, spec: { ...world.deployment.spec, template: podTemplate('web:2') } };
      for (let i = 0; i < steps; i++) [() => world.step(), () => world.obey(), () => world.report()][i % 3]!();
      world.deployment = { ...world.deployment, spec: { ...world.deployment.spec, replicas: to } };
      world.step();
      const total = world.sets.reduce((sum, set) => sum + sizeOf(set), 0);
      const { desired, surge: above } = limits(world.deployment);
      assert.ok(total <= Math.max(desired + above, 0), `${total} pods for ${desired}+${above}`);
      world.settle();
      assert.equal(
        world.sets.reduce((sum, set) => sum + sizeOf(set), 0),
        to,
      );
    }),
    { numRuns: 200 },
  );
});
