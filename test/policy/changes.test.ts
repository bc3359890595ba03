// Policies, pods and namespaces change while pods connect without a pause: no packet passes that neither the old nor the new state allows, and what
// both allow is never refused.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { NetworkPolicy } from '../../src/objects/types.ts';
import { addressesOf, Field, PORTS, type PodName, podObject } from './field.ts';
import type { Attempt, Question } from './peer.ts';
import { allowedByReference, type World } from './reference.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const CLIENTS: readonly PodName[] = ['x/b', 'x/c', 'y/b', 'y/c', 'z/b', 'z/c'];
const SERVERS: readonly PodName[] = ['x/a', 'y/a', 'z/a'];
/** Together a thousand a second. */
const PER_SECOND = 1000 / CLIENTS.length;
const SECONDS = 6;
/** Long enough for the second SYN, and the third: whoever is allowed all the while is answered on any machine. */
const PATIENCE = 8000;
/** Most give up before they ask a second time: so that it is known in which state they asked. */
const HASTE = 150;
const STEP_MS = 120;

interface State {
  readonly world: World;
  /** From when on it may be in force, and from when on nothing else is, on the shared clock. */
  readonly asked: number;
  readonly held: number;
}

const now = () => Number(process.hrtime.bigint()) / 1e6;
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const from = (...peers: object[]) => ({ podSelector: { matchLabels: { pod: 'a' } }, ingress: [{ from: peers }] });
const pods = (labels: Record<string, string>) => ({ podSelector: { matchLabels: labels } });
const team = (name: string) => ({ namespaceSelector: { matchLabels: { team: name } } });
const port = (number: number, protocol: string) => ({
  podSelector: {},
  ingress: [{ ports: [{ port: number, protocol }] }],
});

/** Each is one change of one object; round after round. */
const CHANGES: readonly ((field: Field) => void)[] = [
  (field) => field.apply({ namespace: 'x', name: 'p', spec: from(pods({ pod: 'b' })) as NetworkPolicy['spec'] }),
  (field) => field.apply({ namespace: 'x', name: 'p', spec: from(pods({ pod: 'c' })) as NetworkPolicy['spec'] }),
  (field) =>
    field.apply({ namespace: 'x', name: 'p', spec: from(pods({ role: 'in' }), team('red')) as NetworkPolicy['spec'] }),
  (field) => field.pods.set(podObject('x/c', { role: 'in' })),
  (field) => field.labelNamespace('y', { ns: 'y', team: 'red' }),
  (field) => field.apply({ namespace: 'y', name: 'q', spec: port(80, 'TCP') as NetworkPolicy['spec'] }),
  (field) => field.apply({ namespace: 'y', name: 'q', spec: port(81, 'UDP') as NetworkPolicy['spec'] }),
  (field) => field.labelNamespace('y', { ns: 'y' }),
  (field) => field.pods.set(podObject('x/c')),
  (field) => field.apply({ namespace: 'x', name: 'e', spec: { podSelector: {}, policyTypes: ['Egress'] } }),
  (field) => field.policies.delete('x/p'),
  (field) =>
    field.apply({
      namespace: 'x',
      name: 'e',
      spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.244.8.0/24' } }] }] },
    }),
  (field) => field.policies.delete('y/q'),
  (field) => field.policies.delete('x/e'),
];

describe('changes under load', { skip }, () => {
  let field: Field;
  before(async () => {
    field = await Field.create();
  });
  after(async () => {
    await field?.[Symbol.asyncDispose]();
  });

  function world(): World {
    const { pods, namespaces, nodes, policies } = field;
    return {
      pods: [...pods.list()],
      namespaces: [...namespaces.list()],
      nodes: [...nodes.list()],
      tiers: [],
      accounts: [],
      policies: [...policies.list()],
    };
  }

  async function changeUntil(end: number): Promise<State[]> {
    const states: State[] = [{ world: world(), asked: 0, held: 0 }];
    // Once round at least, however slow the machine is.
    for (let i = 0; now() < end || i < CHANGES.length; i++) {
      const asked = now();
      CHANGES[i % CHANGES.length]!(field);
      const after = world();
      await field.committed();
      states.push({ world: after, asked, held: now() });
      await pause(STEP_MS);
    }
    return states;
  }

  test('a thousand connections and datagrams a second', async (t) => {
    const targets = SERVERS.flatMap((pod) =>
      addressesOf(pod).flatMap((host) =>
        PORTS.flatMap((port) =>
          (['TCP', 'UDP'] as const).flatMap((protocol) =>
            [HASTE, HASTE, PATIENCE, HASTE].map((patience): Question => ({ host, port, protocol, patience })),
          ),
        ),
      ),
    );
    const begin = now();
    const pressing = CLIENTS.map((client) =>
      field.peer(client).call<Attempt[]>({ op: 'press', targets, perSecond: PER_SECOND, seconds: SECONDS }),
    );
    const states = await changeUntil(begin + SECONDS * 1000);
    const attempts = await Promise.all(pressing);
    const verdicts = new Map<string, readonly boolean[]>();
    const allowedIn = (client: PodName, target: number): readonly boolean[] => {
      const key = `${client} ${target}`;
      const { host, port, protocol } = targets[target]!;
      const source = addressesOf(client)[host.includes(':') ? 1 : 0];
      const found =
        verdicts.get(key) ??
        states.map((state) => allowedByReference(state.world, { from: source, to: host, protocol, port }));
      verdicts.set(key, found);
      return found;
    };
    const wrong: string[] = [];
    let passed = 0;
    for (const [i, client] of CLIENTS.entries()) {
      for (const [target, began, ended, answered] of attempts[i]!) {
        if (answered) passed++;
        const allowed = allowedIn(client, target);
        // In force until the next one is for certain.
        const could = states.flatMap(({ asked }, at) =>
          asked <= ended && began <= (states[at + 1]?.held ?? Number.POSITIVE_INFINITY) ? [allowed[at]!] : [],
        );
        const { host, port, protocol, patience } = targets[target]!;
        const what = `${client} -> ${host} ${protocol} ${port} at ${Math.round(began - begin)} ms`;
        if (answered && !could.includes(true)) wrong.push(`${what} passed`);
        if (!answered && patience === PATIENCE && !could.includes(false)) wrong.push(`${what} was refused`);
      }
    }
    const total = attempts.flat().length;
    t.diagnostic(`${total} attempts in ${SECONDS} s, ${passed} passed, over ${states.length - 1} changes`);
    assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} of ${total} are wrong`);
    assert.ok(passed > 0 && passed < total, `${passed} of ${total} passed`);
  });
});
