// The engine and the text of the API agree, on whatever cluster, however it came to be what it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Namespace, type NetworkPolicy, objectKey, type Pod } from '../../src/objects/types.ts';
import { PolicyEngine } from '../../src/plan/policy/engine.ts';
import { type Flow, judge } from '../../src/plan/policy/judge.ts';
import { allowedByReference, type World } from './reference.ts';
import { flow, NAMESPACES, namespaceNamed, nodes, podOfSlot, policyNamed, SLOTS, world } from './worlds.ts';

const RUNS = Number(process.env['PODWIRE_POLICY_RUNS'] ?? 1000);

function engineOf({ pods, namespaces, policies }: World): PolicyEngine {
  const engine = new PolicyEngine();
  for (const node of nodes) engine.setNode(node);
  for (const { metadata } of namespaces) engine.setNamespace(metadata.name, metadata.labels ?? {});
  for (const pod of pods) engine.setPod(pod);
  for (const policy of policies) engine.setPolicy(policy);
  return engine;
}

test('any cluster, any flow: the engine says what the API says', () => {
  fc.assert(
    fc.property(world, fc.array(flow, { minLength: 20, maxLength: 60 }), (cluster, flows) => {
      const engine = engineOf(cluster);
      for (const each of flows) {
        const verdict = judge(engine, each as Flow);
        assert.equal(verdict.allowed, allowedByReference(cluster, each), JSON.stringify(each));
        for (const side of [verdict.egress, verdict.ingress]) {
          if (side.because === 'rule') assert.ok(side.matches.length > 0);
          if (side.because === 'no rule') assert.ok(side.isolatedBy.length > 0);
        }
      }
    }),
    { numRuns: RUNS },
  );
});

type Step =
  | { readonly do: 'pod'; readonly pod: Pod }
  | { readonly do: 'remove pod'; readonly slot: number }
  | { readonly do: 'namespace'; readonly namespace: Namespace }
  | { readonly do: 'policy'; readonly policy: NetworkPolicy }
  | { readonly do: 'remove policy'; readonly name: string };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .constantFrom(...SLOTS)
    .chain(podOfSlot)
    .map((pod) => ({ do: 'pod', pod }) as const),
  fc.constantFrom(...SLOTS).map((slot) => ({ do: 'remove pod', slot }) as const),
  fc
    .constantFrom(...NAMESPACES)
    .chain(namespaceNamed)
    .map((namespace) => ({ do: 'namespace', namespace }) as const),
  fc
    .constantFrom('p', 'q', 'r')
    .chain(policyNamed)
    .map((policy) => ({ do: 'policy', policy }) as const),
  fc.constantFrom('p', 'q', 'r').map((name) => ({ do: 'remove policy', name }) as const),
);

/** The same change to the engine and to a plain world. Names are unique: a pod that changes its namespace is another one. */
function take(engine: PolicyEngine, cluster: World, change: Step): World {
  const others = <T extends { metadata: { name: string } }>(list: readonly T[], name: string) => {
    const old = list.find(({ metadata }) => metadata.name === name);
    return { old, rest: list.filter((each) => each !== old) };
  };
  switch (change.do) {
    case 'pod':
    case 'remove pod': {
      const name = change.do === 'pod' ? change.pod.metadata.name : `pod-${change.slot}`;
      const { old, rest } = others(cluster.pods, name);
      const pods = change.do === 'pod' ? [...rest, change.pod] : rest;
      if (old && (change.do !== 'pod' || objectKey(old) !== objectKey(change.pod))) engine.removePod(objectKey(old));
      if (change.do === 'pod') engine.setPod(change.pod);
      return { ...cluster, pods };
    }
    case 'namespace': {
      const { metadata } = change.namespace;
      engine.setNamespace(metadata.name, metadata.labels ?? {});
      return { ...cluster, namespaces: [...others(cluster.namespaces, metadata.name).rest, change.namespace] };
    }
    case 'policy':
    case 'remove policy': {
      const name = change.do === 'policy' ? change.policy.metadata.name : change.name;
      const { old, rest } = others(cluster.policies, name);
      const policies = change.do === 'policy' ? [...rest, change.policy] : rest;
      if (old && (change.do !== 'policy' || objectKey(old) !== objectKey(change.policy))) {
        engine.removePolicy(objectKey(old));
      }
      if (change.do === 'policy') engine.setPolicy(change.policy);
      return { ...cluster, policies };
    }
  }
}

test('after any changes the engine is what it would be had it been told the end alone', () => {
  fc.assert(
    fc.property(
      world,
      fc.array(step, { minLength: 1, maxLength: 25 }),
      fc.array(flow, { minLength: 30 }),
      (...given) => {
        const [start, steps, flows] = given;
        const named = { ...start, policies: [] };
        const engine = engineOf(named);
        const told = new Set<string>();
        engine.onPod(({ key }) => told.add(key));
        let cluster: World = named;
        for (const change of steps) {
          const before = snapshot(engine);
          told.clear();
          cluster = take(engine, cluster, change);
          const after = snapshot(engine);
          for (const key of new Set([...before.keys(), ...after.keys()])) {
            if (before.get(key) !== after.get(key)) assert.ok(told.has(key), `nobody was told of ${key}: ${change.do}`);
          }
        }
        assert.deepEqual(snapshot(engine), snapshot(engineOf(cluster)));
        for (const each of flows) {
          assert.equal(judge(engine, each as Flow).allowed, allowedByReference(cluster, each), JSON.stringify(each));
        }
      },
    ),
    { numRuns: RUNS },
  );
});

function snapshot(engine: PolicyEngine): Map<string, string> {
  const pods = [...engine.pods.values()].map((pod): [string, string] => {
    const policies = [...pod.policies].map(({ key }) => key).sort();
    return [pod.key, JSON.stringify([policies, [...pod.peers].sort(), pod.ips, [...pod.ports]])];
  });
  return new Map(pods.sort());
}
