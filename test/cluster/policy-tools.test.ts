// What podwire says of policies on a whole cluster, and whether packets agree: explain, flows, test, matrix, diff, recommend.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kubectlSkip, until } from './machine.ts';
import { manifest, PolicyPods, policy } from './policy-pods.ts';

const skip = kubectlSkip() ?? false;
const POLICIES = [
  policy('blue', 'far-from-red', {
    podSelector: { matchLabels: { pod: 'far' } },
    ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'red' } } }] }],
  }),
  policy('red', 'web-from-near', {
    podSelector: { matchLabels: { pod: 'web' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'near' } } }], ports: [{ port: 'http' }] }],
  }),
];
let pods: PolicyPods;

before(async () => {
  if (skip) return;
  pods = await PolicyPods.create('tools');
  await pods.machine.apply(manifest(...POLICIES));
  for (const [from, to] of [
    ['blue/other', 'Pod blue/far'],
    ['blue/far', 'Pod red/web'],
  ] as const) {
    const refused = async () => (await pods.ask(from, pods.ip(to), 8080, 1)) === undefined;
    await until('the policies are in force', refused);
  }
});
after(async () => {
  await pods?.[Symbol.asyncDispose]();
});

test('podwire says who may speak to whom, and what was refused and by whom', { skip }, async () => {
  const explained = await pods.machine.podwire('policy', 'explain', 'blue/far', 'red/web', 'http');
  assert.equal(explained.code, 3, explained.stderr);
  assert.match(
    explained.stdout,
    /ingress {2}red\/web denied: isolated by NetworkPolicy\/red\/web-from-near, no rule allows/,
  );
  const allowed = await pods.machine.mustPodwire('policy', 'explain', 'red/near', 'red/web', '8080');
  assert.match(allowed, /red\/web allowed by NetworkPolicy\/red\/web-from-near ingress\[0\]/);
  const line = await until('the refused packet is told', async () => {
    const text = await pods.machine.mustPodwire('flows', '--pod', 'red/web', '-o', 'json');
    return text.split('\n').find((each) => each.includes('"peer":"blue/far"'));
  });
  const { node, direction, protocol, port, isolatedBy } = JSON.parse(line);
  assert.deepEqual([node, direction, protocol, port], ['node-1', 'ingress', 'TCP', 8080]);
  assert.deepEqual(isolatedBy, ['NetworkPolicy/red/web-from-near']);
});

test('podwire policy test: real packets, a canary of its own, and loud where policies and packets differ', {
  skip,
}, async () => {
  const run = async (expectations: object[], ...flags: string[]) => {
    const file = join(pods.machine.state, 'expectations.yaml');
    writeFileSync(file, JSON.stringify({ expectations }));
    const outcome = await pods.machine.podwire('policy', 'test', file, '-o', 'json', ...flags);
    return { ...outcome, found: JSON.parse(outcome.stdout) as { name: string; ok: boolean; disagrees?: true }[] };
  };
  const far = pods.ip('Pod blue/far');
  const holding = await run([
    { from: 'red/near', to: 'red/web', port: 'http', expect: 'allow' },
    { from: 'red/near', to: 'red/web', port: 9, expect: 'deny' },
    { from: 'blue/other', to: 'svc/blue/far', port: 80, expect: 'deny' },
    { from: 'red/web', to: 'far.blue', port: 80, http: { status: 200, path: '/hostname' } },
    { from: 'blue/other', to: 'far.blue', port: 80, expect: 'deny', http: {} },
    { from: 'red/near', dns: 'far.blue', answers: [pods.ip('Service blue/far')] },
    { from: 'red/near', dns: 'nobody.blue', answers: [] },
    // Nobody listens there: somebody is put there for the time being.
    { from: 'red/*', to: far, port: 4321, expect: 'allow' },
    { from: 'red/near', to: far, port: '4321/UDP', expect: 'allow' },
    { from: 'blue/other', to: far, port: '4321/UDP', expect: 'deny' },
    { from: 'node/node-2', to: far, port: 8080, expect: 'allow' },
  ]);
  assert.deepEqual(
    holding.found.filter(({ ok }) => !ok),
    [],
    holding.stderr,
  );
  assert.equal(holding.code, 0);
  assert.equal(holding.found.filter(({ name }) => name.startsWith('canary: ')).length, 5);
  assert.equal(
    await pods.machine.kubectl('get', 'namespaces', '-o', 'name').then((text) => text.includes('canary')),
    false,
  );

  const live = JSON.parse(
    await pods.machine.mustPodwire('policy', 'matrix', '--live', '--port', '8080,9/UDP', '-o', 'json'),
  );
  const cell = (from: string, to: string) =>
    live.cells.find((each: { from: string; to: string }) => each.from === from && each.to === to);
  assert.deepEqual(cell('red/near', 'red/web').allowed, ['TCP 8080']);
  assert.deepEqual(cell('blue/other', 'blue/far').allowed, []);
  assert.equal(live.cells.length, live.groups.length ** 2);

  const wrong = await run([{ from: 'blue/other', to: 'blue/far', port: 8080, expect: 'allow', attempts: 1 }]);
  assert.equal(wrong.code, 3);
  assert.deepEqual(
    wrong.found.filter(({ disagrees }) => disagrees),
    [],
  );

  const onNode = (...words: string[]) => pods.machine.mustPodwire('node', 'exec', 'node-2', '--', 'nft', ...words);
  await onNode('add table ip other; add chain ip other c { type filter hook forward priority 10; }');
  await onNode(`add rule ip other c ip daddr ${far} tcp dport 8080 drop`);
  const clash = await run([{ from: 'red/near', to: 'blue/far', port: 8080, expect: 'deny', attempts: 1 }]);
  await onNode('delete table ip other');
  assert.equal(clash.code, 3);
  assert.deepEqual(
    clash.found.filter(({ disagrees }) => disagrees).map(({ name }) => name),
    ['red/near -> blue/far 8080 deny'],
  );
  assert.match(clash.stderr, /policies and packets DISAGREE in 1 of 1/);
});

test('podwire policy recommend: what was seen passes under what it prints, and nothing else does', {
  skip,
}, async () => {
  const flow = { from: 'red/near', to: 'svc/blue/far', port: 80 };
  const never = { from: 'blue/far', to: 'red/near', port: 7 };
  const held = async (...expectations: object[]) => {
    const file = join(pods.machine.state, 'recommended.yaml');
    writeFileSync(file, JSON.stringify({ expectations }));
    const { code, stdout } = await pods.machine.podwire('policy', 'test', file);
    assert.equal(code, 0, stdout);
  };
  await pods.machine.kubectl('delete', 'networkpolicy', '-A', '--all');
  await pods.answers(flow.from, pods.ip('Service blue/far'), flow.port);
  const seen = join(pods.machine.state, 'flows.jsonl');
  const words = ['recommend', '--for', '0s', '--record', seen, '-n', 'red', 'blue'];
  const policies = await pods.machine.mustPodwire('policy', ...words);
  const deny = join(pods.machine.state, 'deny.yaml');
  writeFileSync(deny, JSON.stringify(policy('blue', 'deny', { podSelector: { matchLabels: { pod: 'far' } } })));
  const { stdout } = await pods.machine.podwire('policy', 'diff', '-f', deny, '--flows', seen, '-o', 'json');
  const denied = JSON.parse(stdout) as { from: string; to: string; port: number; after: boolean }[];
  assert.ok(
    denied.some(({ from, to, port, after }) => `${from} ${to} ${port} ${after}` === 'red/near blue/far 8080 false'),
    stdout,
  );
  await pods.machine.apply(policies);
  await held(
    { ...flow, expect: 'allow' },
    { ...never, expect: 'deny' },
    { from: 'red/near', dns: 'far.blue', expect: 'allow' },
  );
  await pods.machine.kubectl('delete', 'networkpolicy', '-A', '--all');
  await held({ ...never, expect: 'allow' });
});
