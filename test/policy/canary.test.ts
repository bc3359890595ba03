// The canary of `podwire policy test`: sings where policies are enforced, and dies where they are only stored. Real namespaces and packets.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client } from '../../src/client/client.ts';
import { Canary } from '../../src/cluster/policy-test/canary.ts';
import { Listeners } from '../../src/cluster/policy-test/listeners.ts';
import { StatusError } from '../../src/objects/status.ts';
import type { NetworkPolicy } from '../../src/objects/types.ts';
import { addressesOf, Field, type PodName } from './field.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
/** Pods of the field stand for those that the canary asks for. */
const STAND_INS: readonly PodName[] = ['x/a', 'x/b'];

describe('canary', { skip }, () => {
  let field: Field;
  before(async () => {
    field = await Field.create();
  });
  after(async () => {
    await field?.[Symbol.asyncDispose]();
  });

  /** An API that stores what it is given; `enforce` says whether anybody acts on it. */
  function api(enforce: boolean) {
    const pods: object[] = [];
    const asked: string[] = [];
    const client = {
      async list(kind: string) {
        return { items: kind === 'Pod' ? pods : [] };
      },
      async create(kind: string, object: { metadata: { name: string }; spec: NetworkPolicy['spec'] }) {
        asked.push(`create ${kind}`);
        const { metadata, spec } = object;
        if (kind === 'Pod') {
          const podIPs = addressesOf(STAND_INS[pods.length]!).map((ip) => ({ ip }));
          pods.push({ metadata: { uid: STAND_INS[pods.length]! }, spec, status: { phase: 'Running', podIPs } });
        }
        if (kind === 'NetworkPolicy' && enforce) field.apply({ namespace: 'x', name: metadata.name, spec });
      },
      async delete(kind: string) {
        asked.push(`delete ${kind}`);
        if (kind === 'NetworkPolicy' && enforce) field.clear();
      },
      async get() {
        throw new StatusError({
          metadata: {},
          kind: 'Status',
          apiVersion: 'v1',
          status: 'Failure',
          reason: 'NotFound',
          code: 404,
        });
      },
    };
    return { client: client as unknown as Client, asked };
  }

  async function fly(enforce: boolean) {
    const { client, asked } = api(enforce);
    using listeners = new Listeners();
    await using canary = new Canary(client, ({ uid }) => ({ netns: field.netnsOf(uid as PodName) }), listeners);
    const outcomes = await canary.fly(['node'], enforce ? undefined : 1000);
    return { outcomes, asked };
  }

  test('where policies are enforced it says so, of ingress and egress', async () => {
    const { outcomes, asked } = await fly(true);
    assert.deepEqual(
      outcomes.filter(({ ok }) => !ok),
      [],
    );
    assert.equal(outcomes.length, 5);
    assert.equal(asked.filter((each) => each === 'create NetworkPolicy').length, 2);
  });

  test('where policies are only stored it is not stopped, and nothing after it counts', async () => {
    const { outcomes } = await fly(false);
    assert.deepEqual(
      outcomes.map(({ name, ok }) => [name, ok]),
      [
        ['canary: packets pass where no policy is on node', true],
        ['canary: a policy that denies ingress is enforced on node', false],
      ],
    );
    assert.match(outcomes[1]!.why[0]!, /it was answered after/);
  });
});
