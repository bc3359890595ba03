// Policies that come, change and go while pods speak: what is forbidden now is cut, what is allowed goes on, and every verdict is counted.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { NftSet } from '../../src/kernel/nft-items.ts';
import { flowsFile } from '../../src/node/policy-log.ts';
import { allowedSet, policyPlace, refusedSet } from '../../src/plan/policy/base.ts';
import { type FlowLine, flowLineText } from '../../src/plan/policy/flow-line.ts';
import { socketIn } from '../../src/sys/netns.ts';
import { bindSocket } from '../../src/sys/socket.ts';
import { addressesOf, Field, podObject } from './field.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const DUE = 30_000;
const FORBIDDEN = 500;
const A = { matchLabels: { pod: 'a' } };
const fromPod = (pod: string) => ({ from: [{ podSelector: { matchLabels: { pod } } }] });

async function until<T>(probe: () => T | undefined): Promise<T> {
  for (const end = Date.now() + DUE; Date.now() < end; ) {
    const found = probe();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${DUE} ms`);
}

function udpAt(netns: string, port: number): Socket {
  const fd = socketIn(netns, 'inet', 'dgram');
  bindSocket(fd, '0.0.0.0', port);
  const socket = createSocket('udp4').on('error', () => {});
  socket.bind({ fd });
  return socket;
}

describe('changes while pods speak', { skip }, () => {
  let field: Field;
  before(async () => {
    field = await Field.create();
  });
  after(async () => {
    await field?.[Symbol.asyncDispose]();
  });
  const [a4, a6] = addressesOf('x/a');
  const talk = (from: 'x/b' | 'x/c' | 'y/b', patience: number) => field.peer(from).call({ op: 'talk', patience });
  const open = (from: 'x/b' | 'x/c' | 'y/b', host: string) => field.peer(from).call({ op: 'open', host, port: 80 });
  const apply = async (name: string, spec: Parameters<Field['apply']>[0]['spec']) => {
    field.apply({ namespace: 'x', name, spec });
    await field.planned();
  };
  const reset = async () => {
    field.clear();
    await field.planned();
  };

  test('a connection that a new policy forbids is cut; one that it allows goes on', async () => {
    await reset();
    for (const [from, host] of [
      ['x/b', a4],
      ['x/c', a6],
      ['y/b', a4],
    ] as const) {
      await open(from, host);
      assert.equal(await talk(from, DUE), true, `${from} before`);
    }
    await apply('only-b', { podSelector: A, ingress: [fromPod('b')] });
    assert.equal(await talk('x/b', DUE), true);
    assert.deepEqual(await Promise.all([talk('x/c', FORBIDDEN), talk('y/b', FORBIDDEN)]), [false, false]);
  });

  test('cut by egress, it does not come back from its other end', async () => {
    await reset();
    await open('x/c', a4);
    assert.equal(await talk('x/c', DUE), true);
    await apply('no-egress', { podSelector: { matchLabels: { pod: 'c' } }, policyTypes: ['Egress'] });
    assert.equal(await talk('x/c', FORBIDDEN), false);
    // The answer that the server has yet to send opens nothing.
    assert.equal(await talk('x/c', FORBIDDEN), false);
    await reset();
    assert.equal(await talk('x/c', DUE), true, 'without the policy the same connection is taken up again');
  });

  test('datagrams whose answers are always under way are cut too, and do not come back by way of those', async () => {
    await reset();
    const answerLate = 150;
    const [server, client] = [udpAt(field.netnsOf('x/a'), 9000), udpAt(field.netnsOf('x/c'), 0)];
    let isOver = false;
    server.on('message', (message, { port, address }) => {
      setTimeout(() => isOver || server.send(message, port, address, () => {}), answerLate);
    });
    let heard = 0;
    let last = performance.now();
    client.on('message', () => {
      heard++;
      last = performance.now();
    });
    const sending = setInterval(() => client.send('hello', 9000, a4, () => {}), 10);
    try {
      await until(() => (heard > 20 ? true : undefined));
      await apply('only-b', { podSelector: A, ingress: [fromPod('b')] });
      await until(() => (performance.now() - last > 10 * answerLate ? true : undefined));
      const cut = heard;
      await reset();
      await until(() => (heard > cut + 20 ? true : undefined));
    } finally {
      isOver = true;
      clearInterval(sending);
      server.close();
      client.close();
    }
  });

  test('who changes its labels, or whose namespace does, is let in and locked out', async () => {
    await reset();
    const ask = (due: boolean) =>
      field.ask('y/b', [{ host: a4, port: 80, protocol: 'TCP', patience: due ? DUE : FORBIDDEN }]);
    await apply('team', {
      podSelector: A,
      ingress: [
        {
          from: [{ namespaceSelector: { matchLabels: { team: 'red' } }, podSelector: { matchLabels: { in: 'yes' } } }],
        },
      ],
    });
    assert.deepEqual(await ask(false), [false]);
    field.pods.set(podObject('y/b', { in: 'yes' }));
    field.labelNamespace('y', { team: 'red' });
    await field.planned();
    assert.deepEqual(await ask(true), [true]);
    field.pods.set(podObject('y/b'));
    await field.planned();
    assert.deepEqual(await ask(false), [false]);
    field.pods.set(podObject('y/b', { in: 'yes' }));
    await field.planned();
    assert.deepEqual(await ask(true), [true]);
    field.labelNamespace('y', { ns: 'y' });
    await field.planned();
    assert.deepEqual(await ask(false), [false]);
    field.pods.set(podObject('y/b'));
  });

  test('an agent that comes anew changes nothing, and cuts what was forbidden while it was away', async () => {
    await reset();
    await apply('only-b', { podSelector: A, ingress: [fromPod('b'), fromPod('c')] });
    await open('x/b', a4);
    await open('x/c', a4);
    assert.deepEqual(await Promise.all([talk('x/b', DUE), talk('x/c', DUE)]), [true, true]);
    field.stopAgent();
    field.apply({ namespace: 'x', name: 'only-b', spec: { podSelector: A, ingress: [fromPod('b')] } });
    await field.startAgent();
    const repaired = await field.reconciler.repairRules();
    // What the policy allowed and allows no more, and nothing of what stays.
    assert.equal(repaired.length, 4, repaired.join('\n'));
    await field.planned();
    assert.equal(await talk('x/b', DUE), true);
    assert.equal(await talk('x/c', FORBIDDEN), false);
  });

  test('the node reaches its own pods whatever their policies say', async () => {
    await reset();
    await apply('deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
    for (const host of [a4, a6]) {
      const answer = field.onNode(`${process.execPath} ${new URL('./knock.mjs', import.meta.url).pathname} ${host} 80`);
      assert.equal(answer, 'answered');
    }
  });

  test('each rule counts the packets that it let in, each pod those that were refused', async () => {
    await reset();
    await apply('ports', {
      podSelector: A,
      ingress: [{ ...fromPod('b'), ports: [{ port: 80 }] }, { ports: [{ port: 81 }] }],
    });
    const ask = (from: 'x/b' | 'x/c', port: number, due: boolean) =>
      field.ask(from, [{ host: a4, port, protocol: 'TCP', patience: due ? DUE : FORBIDDEN }]);
    for (let i = 0; i < 3; i++) assert.deepEqual(await ask('x/b', 80, true), [true]);
    assert.deepEqual(await ask('x/c', 81, true), [true]);
    assert.deepEqual(await ask('x/c', 80, false), [false]);
    const set = (name: string, key: NftSet['key']): NftSet => {
      return { kind: 'set', ...policyPlace(4), set: name, key, counter: true };
    };
    const counts = field.kernel.nftCounts(
      set(allowedSet('ingress', 'ports'), ['ifname', 'mark', 'inet_proto', 'inet_service']),
    );
    const of = (port: number) => counts.filter(({ key }) => key[3] === port).map(({ packets }) => packets);
    assert.deepEqual([of(80), of(81)], [[3], [1]]);
    const [refused] = field.kernel.nftCounts(set(refusedSet('ingress'), ['ifname']));
    assert.equal(refused?.key[0], field.linkOf('x/a'));
    assert.ok(refused.packets >= 1);
    const lines = await until(() => {
      const text = existsSync(flowsFile(field.stateDir)) ? readFileSync(flowsFile(field.stateDir), 'utf8') : '';
      const mine = text.split('\n').filter((line) => line.includes('"NetworkPolicy/x/ports"'));
      return mine.length > 0 ? mine : undefined;
    });
    const told = JSON.parse(lines[0]!) as FlowLine;
    assert.equal(
      flowLineText(told),
      'drop ingress x/a <- x/c TCP 80: isolated by NetworkPolicy/x/ports, no rule allows',
    );
    const elements = JSON.parse(field.onNode('nft -j list set ip podwire-policy ingress-ports')).nftables[1].set.elem;
    const named = elements.map(({ elem }: { elem: { comment: string } }) => elem.comment).sort();
    assert.deepEqual(named, ['NetworkPolicy/x/ports ingress[0]', 'NetworkPolicy/x/ports ingress[1]']);
  });

  const X = { namespaces: { matchLabels: { ns: 'x' } } };
  const EVERYBODY = { from: [{ namespaces: {} }] };
  const guard = (annotations: object, ...ingress: object[]) => {
    const spec = { tier: 'Admin', priority: 1, subject: X, ingress };
    const apiVersion = 'policy.networking.k8s.io/v1alpha2';
    field.put({ apiVersion, kind: 'ClusterNetworkPolicy', metadata: { name: 'guard', annotations }, spec });
    return field.planned();
  };
  const lines = (verdict: string): FlowLine[] => {
    const file = flowsFile(field.stateDir);
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const all = text.split('\n').filter((line) => line !== '');
    return all.map((line) => JSON.parse(line) as FlowLine).filter((line) => line.verdict === verdict);
  };
  const told = (verdict: string, from: string) =>
    until(() => lines(verdict).find(({ pod, peer }) => pod === 'x/a' && peer === from));

  test('an Admin tier that denies cuts what is there; staged, it tells what it would do and cuts nothing', async () => {
    await reset();
    await open('x/b', a4);
    await open('y/b', a6);
    assert.deepEqual(await Promise.all([talk('x/b', DUE), talk('y/b', DUE)]), [true, true]);
    await guard({ 'podwire.io/mode': 'staged' }, { name: 'none', action: 'Deny', ...EVERYBODY });
    assert.deepEqual(await Promise.all([talk('x/b', DUE), talk('y/b', DUE)]), [true, true]);
    const asked = await field.ask('y/c', [{ host: a4, port: 80, protocol: 'TCP', patience: DUE }]);
    assert.deepEqual(asked, [true]);
    assert.equal(
      flowLineText(await told('would-deny', 'y/c')),
      'would-deny ingress x/a <- y/c TCP 80: denied by ClusterNetworkPolicy/guard ingress[0] "none" (namespaces () pods ())',
    );
    await guard({}, { name: 'none', action: 'Deny', ...EVERYBODY });
    assert.deepEqual(await Promise.all([talk('x/b', FORBIDDEN), talk('y/b', FORBIDDEN)]), [false, false]);
    assert.deepEqual(await field.ask('z/c', [{ host: a4, port: 80, protocol: 'TCP', patience: FORBIDDEN }]), [false]);
    const line = await told('drop', 'z/c');
    assert.deepEqual([line.tier, line.policy, line.rule], ['kube-admin', 'ClusterNetworkPolicy/guard', 0]);
  });

  test('what a policy allows is told of where its annotation asks for it, once a connection', async () => {
    await reset();
    const spec = { podSelector: A, ingress: [fromPod('b')] };
    const metadata = { name: 'told', namespace: 'x', annotations: { 'podwire.io/log': 'allowed' } };
    field.put({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec });
    await field.planned();
    await open('x/b', a6);
    for (let i = 0; i < 3; i++) assert.equal(await talk('x/b', DUE), true);
    const line = await told('allow', 'x/b');
    assert.equal(
      flowLineText(line),
      'allow ingress x/a <- x/b TCP 80: allowed by NetworkPolicy/x/told ingress[0] (namespace x pods (pod=b))',
    );
    assert.equal(lines('allow').filter(({ from }) => from === line.from).length, 1);
  });

  test('each rule of a tier counts what it decides; nft lists SCTP too', async () => {
    await reset();
    await guard(
      {},
      { action: 'Deny', ...EVERYBODY, protocols: [{ sctp: {} }, { tcp: { destinationPort: { number: 81 } } }] },
      { action: 'Accept', ...EVERYBODY, protocols: [{ tcp: { destinationPort: { range: { start: 79, end: 80 } } } }] },
    );
    const ask = (port: number, patience: number) => field.ask('y/c', [{ host: a4, port, protocol: 'TCP', patience }]);
    assert.deepEqual([await ask(80, DUE), await ask(81, FORBIDDEN)], [[true], [false]]);
    interface Listed {
      readonly elem: { readonly val: { concat: unknown[] }; readonly comment: string; counter: { packets: number } };
    }
    const list = (map: string) => {
      const json = JSON.parse(field.onNode(`nft -j list map ip podwire-policy ${map}`));
      const elements = json.nftables[1].map.elem as (readonly [Listed, unknown])[];
      return elements.map(([{ elem }]) => ({ key: elem.val.concat, by: elem.comment, packets: elem.counter.packets }));
    };
    const link = field.linkOf('x/a');
    const mine = (map: string) => list(map).filter(({ key }) => key[0] === link && key[1] !== 0);
    assert.deepEqual(
      mine('ingress-tier-protocols').map(({ key, by }) => [key[2], by]),
      [['sctp', 'ClusterNetworkPolicy/guard ingress[0] denies']],
    );
    const [range] = mine('ingress-tier-ranges');
    assert.deepEqual([range?.key.slice(2), range?.packets], [['tcp', { range: [79, 80] }], 1]);
    const [denied] = mine('ingress-tier-ports');
    assert.deepEqual(denied?.key.slice(2), ['tcp', 81]);
    assert.ok(denied!.packets >= 1, 'what is denied is counted by its rule');
  });
});
