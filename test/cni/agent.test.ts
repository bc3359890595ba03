// The thin client: calls answered by an agent, and by nobody: dead, hung, of another namespace, not there at all.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { Attachments } from '../../src/cni/attachment.ts';
import { heldInNetworks } from '../../src/cni/audit.ts';
import { until } from '../cluster/machine.ts';
import { serveIn, talk } from '../node/cluster-net.ts';
import { impatientClient, agentSkip as skip, startAgent, startImpostor, thinClient } from './agent-world.ts';
import { OUTSIDE_IP, plugin, World } from './world.ts';

const NOBODY = '/nonexistent/podwire-cni';
/** As many as a runtime may be expected to start at once. */
const AT_ONCE = 200;

async function nothingRemains(world: World): Promise<void> {
  await until('nothing is left', async () => world.remains().length === 0, 30_000);
}

/** Calls of the thin client that an agent alone can answer. */
function withAgent(check: (world: World, program: string) => Promise<void>): () => Promise<void> {
  return async () => {
    using world = new World();
    await using _ = await startAgent(world);
    await check(world, thinClient(world, NOBODY));
  };
}

test(
  'with an agent every verb is answered without another program, and what was made is the same',
  {
    skip,
  },
  withAgent(async (world, program) => {
    assert.ok(statSync(program).size < 10_000);
    const call = { netns: world.container(), program };
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
    const config = world.config({ runtimeConfig });
    assert.ok((await world.must('VERSION', config, call)).supportedVersions.includes('1.1.0'));
    const prevResult = await world.must('ADD', config, call);
    assert.equal(prevResult.ips[0].address, '10.22.0.2/32');
    await world.must('CHECK', { ...config, prevResult }, call);
    await world.must('STATUS', config, call);
    await using outside = await serveIn(world.outside, OUTSIDE_IP);
    assert.equal((await talk(call.netns, OUTSIDE_IP, outside.port))[1], 'ping');
    world.in(world.node, 'nft', 'flush', 'map', 'ip', 'podwire-cni', 'host-ports');
    const drifted = await world.call('CHECK', { ...config, prevResult }, call);
    assert.deepEqual([drifted.code, drifted.json.code], [1, 101]);
    assert.equal(await world.must('DEL', { ...config, prevResult }, call), undefined);
    await nothingRemains(world);
    await world.must('DEL', config, call);
    await world.must('ADD', config, call);
    await world.must('GC', { ...config, 'cni.dev/valid-attachments': [] }, call);
    await nothingRemains(world);
  }),
);

test(
  'an error of the agent is on stdout, and the exit code is not 0; the last byte of a long answer arrives',
  {
    skip,
  },
  withAgent(async (world, program) => {
    const call = { netns: world.container(), program };
    const refused = await world.call('ADD', world.config({ vlan: 5 }), call);
    assert.deepEqual([refused.code, refused.json.code], [1, 2]);
    // Longer than any buffer on the way: what an earlier plugin said is handed on whole.
    const many = Array.from({ length: 4000 }, (_, i) => ({ dst: `10.${i >> 8}.${i & 255}.0/24`, gw: '192.0.2.1' }));
    const prevResult = { cniVersion: '1.1.0', interfaces: [], ips: [], routes: many };
    const result = await world.must('ADD', world.config({ prevResult }), call);
    assert.equal(result.routes.length, many.length + 1);
  }),
);

test(
  'an agent refuses an interface that exists and leaves it as it is; what an ADD spent its time on is put down',
  {
    skip,
  },
  withAgent(async (world, program) => {
    const call = { netns: world.container(), program };
    const config = world.config({ ipMasq: false });
    const prevResult = await world.must('ADD', config, call);
    for (const container of ['c1', 'c2']) {
      const again = await world.call('ADD', config, { ...call, container });
      assert.deepEqual([again.code, again.json.code], [1, 4]);
      assert.match(again.json.msg, /CNI_IFNAME: eth0 exists already/);
    }
    await world.must('CHECK', { ...config, prevResult }, call);
    const attachments = new Attachments(join(world.dir, 'data'), 'net1');
    const took = () => attachments.get({ containerID: 'c1', ifname: 'eth0' })?.took;
    await until('it is put down', async () => took() !== undefined, 30_000);
    assert.ok('interface' in took()!);
    await world.must('DEL', config, call);
    await nothingRemains(world);
    assert.equal(took(), undefined);
  }),
);

test(
  'rules that all share are sent once, and again when somebody else has changed nftables',
  { skip },
  withAgent(async (world, program) => {
    let count = 0;
    const add = async () => {
      const call = { netns: world.container(), container: `c${count++}`, program };
      const runtimeConfig = { portMappings: [{ hostPort: 8080 + count, containerPort: 80 }] };
      const config = world.config({ ipMasq: true, runtimeConfig });
      await world.must('CHECK', { ...config, prevResult: await world.must('ADD', config, call) }, call);
      return { call, config };
    };
    const nft = (...words: string[]) => world.in(world.node, 'nft', ...words);
    const shared = () => nft('-a', 'list', 'chain', 'ip', 'podwire-cni', 'postrouting');
    const all = [await add()];
    const once = shared();
    assert.equal(once.match(/vmap/g)?.length, 2);
    all.push(await add());
    assert.equal(shared(), once, 'the same rules under the same handles');
    nft('flush', 'chain', 'ip', 'podwire-cni', 'postrouting');
    all.push(await add());
    assert.equal(shared().match(/vmap/g)?.length, 2);
    nft('delete', 'table', 'ip', 'podwire-cni');
    all.push(await add());
    assert.equal(shared().match(/vmap/g)?.length, 2);
    // The last DEL of all takes the tables away: one by a plugin without the agent, then one by the agent itself.
    for (const { call, config } of all) await world.must('DEL', config, { ...call, program: plugin() });
    await nothingRemains(world);
    const last = await add();
    assert.equal(shared().match(/vmap/g)?.length, 2);
    await world.must('DEL', last.config, last.call);
    await nothingRemains(world);
    const again = await add();
    await world.must('DEL', again.config, again.call);
    await nothingRemains(world);
  }),
);

test(
  'containers of one network share what they are masqueraded by; the last of a network takes it away',
  {
    skip,
  },
  withAgent(async (world, program) => {
    const chains = () =>
      world.in(world.node, 'nft', 'list', 'table', 'ip', 'podwire-cni').match(/chain from-\S+/g) ?? [];
    const other = world.config({ name: 'net2', ipMasq: true, nonMasqueradeCIDRs: ['192.0.2.0/24'] });
    const attach = async (container: string, config: object) => {
      const call = { netns: world.container(), container, program };
      await world.must('CHECK', { ...config, prevResult: await world.must('ADD', config, call) }, call);
      return () => world.must('DEL', config, call);
    };
    const leave = [await attach('c1', world.config()), await attach('c2', world.config())];
    assert.equal(new Set(chains()).size, 1);
    leave.push(await attach('c3', other), await attach('c4', other));
    const both = chains();
    assert.equal(both.length, 2);
    await leave[2]!();
    assert.deepEqual(chains(), both);
    await leave[3]!();
    assert.equal(chains().length, 1);
    // The agent sends again what was taken away.
    leave.push(await attach('c3', other));
    assert.deepEqual(chains().toSorted(), both.toSorted());
    for (const each of [leave[0]!, leave[1]!, leave[4]!]) await each();
    await nothingRemains(world);
  }),
);

test('the agent and the plugin that needs none share what they know', { skip }, async () => {
  using world = new World();
  const program = thinClient(world);
  const calls = [0, 1, 2].map((i) => ({ netns: world.container(), container: `c${i}`, program }));
  const config = world.config();
  const first = await world.must('ADD', config, calls[0]);
  {
    await using _ = await startAgent(world);
    const second = await world.must('ADD', config, calls[1]);
    assert.deepEqual([first.ips[0].address, second.ips[0].address], ['10.22.0.2/32', '10.22.0.3/32']);
    await world.must('CHECK', { ...config, prevResult: first }, calls[0]);
    await world.must('DEL', config, calls[0]);
    // Its interface may still be on its way out.
    await world.must('ADD', config, calls[0]);
  }
  // The agent was killed: its socket is there, and nobody behind it.
  const third = await world.must('ADD', config, calls[2]);
  assert.equal(third.ips[0].address, '10.22.0.5/32');
  for (const call of calls) await world.must('DEL', config, call);
  assert.deepEqual(world.remains(), []);
});

test('an IPAM plugin of others that takes its time keeps nobody from an address', { skip }, async () => {
  using world = new World();
  await using _ = await startAgent(world);
  const program = thinClient(world);
  const slow = join(dirname(plugin()), 'slow-ipam');
  const [asked, go] = [join(world.dir, 'asked'), join(world.dir, 'go')];
  const answer = JSON.stringify({ cniVersion: '1.1.0', ips: [{ address: '10.77.0.5/24' }] });
  const waits = `[ "$CNI_COMMAND" = ADD ] || exit 0; : > ${asked}; while [ ! -e ${go} ]; do sleep 0.05; done`;
  writeFileSync(slow, `#!/bin/sh\n${waits}; echo '${answer}'\n`, { mode: 0o755 });
  const config = world.config({ name: 'slow', ipam: { type: 'slow-ipam' } });
  const patient = { netns: world.container(), container: 'patient', program };
  const adding = world.must('ADD', config, patient);
  await until('the slow plugin is asked', async () => existsSync(asked), 30_000);
  const other = { netns: world.container(), container: 'other', program };
  assert.equal((await world.must('ADD', world.config(), other)).ips[0].address, '10.22.0.2/32');
  writeFileSync(go, '');
  assert.equal((await adding).ips[0].address, '10.77.0.5/32');
  await world.must('DEL', config, patient);
  await world.must('DEL', world.config(), other);
  await nothingRemains(world);
});

test('without an agent the thin client gives its input whole to the plugin that needs none', { skip }, async () => {
  using world = new World();
  const program = thinClient(world);
  const call = { netns: world.container(), program };
  const config = { ...world.config(), note: 'x'.repeat(300_000) };
  assert.equal((await world.must('ADD', config, call)).ips[0].address, '10.22.0.2/32');
  const refused = await world.call('ADD', { ...config, vlan: 5 }, call);
  assert.deepEqual([refused.code, refused.json.code], [1, 2]);
  await world.must('DEL', config, call);
  const ipamOnly = join(program, '..', 'podwire');
  assert.equal((await world.must('ADD', config, { ...call, program: ipamOnly })).ips[0].address, '10.22.0.3/16');
});

test('where neither is to be had, the error says so', { skip }, async () => {
  using world = new World();
  const { code, json } = await world.call('ADD', world.config(), { program: thinClient(world, NOBODY) });
  assert.deepEqual([code, json.code], [1, 5]);
  assert.match(json.msg, /no agent takes calls at .*cni\.sock, and \/nonexistent\/podwire-cni cannot be started/);
});

test('an agent of another network namespace leaves the call to the plugin that needs none', { skip }, async () => {
  using world = new World();
  using other = new World();
  await using _ = await startAgent(world);
  const call = { netns: other.container(), program: thinClient(world) };
  const result = await other.must('ADD', other.config(), call);
  assert.ok(other.remains().includes(result.interfaces[0].name));
  assert.deepEqual(world.remains(), []);
  await other.must('DEL', other.config(), call);
});

test('an agent that hangs, closes or talks nonsense is passed over', { skip }, async () => {
  using world = new World();
  const call = { netns: world.container(), program: impatientClient(world) };
  const behaviours: ((socket: Socket) => void)[] = [
    () => {},
    (socket) => socket.destroy(),
    (socket) => socket.end('HTTP/1.1 400 Bad Request'),
  ];
  for (const behave of behaviours) {
    await using _ = await startImpostor(world, behave);
    await world.must('ADD', world.config(), call);
    await world.must('DEL', world.config(), call);
  }
  assert.deepEqual(world.remains(), []);
});

test('an agent that dies in the middle: ADD is an error to be tried again, other verbs are done without it', {
  skip,
}, async () => {
  using world = new World();
  const call = { netns: world.container(), program: thinClient(world) };
  await using _ = await startImpostor(world, (socket) => socket.once('data', () => socket.end('A')));
  const lost = await world.call('ADD', world.config(), call);
  assert.deepEqual([lost.code, lost.json.code], [1, 11]);
  await world.must('ADD', world.config(), { netns: call.netns });
  await world.must('DEL', world.config(), call);
  assert.deepEqual(world.remains(), []);
});

test('an agent that is told to end answers those that it has taken, and what was asked for one container in turn', {
  skip,
}, async () => {
  using world = new World();
  await using agent = await startAgent(world);
  const program = thinClient(world, plugin());
  const config = world.config();
  const calls = Array.from({ length: 20 }, (_, i) => ({ container: `c${i}`, netns: world.container(), program }));
  const attachments = new Attachments(join(world.dir, 'data'), 'net1');
  const added = calls.map((call) => world.must('ADD', config, call));
  await until('one is at work', async () => attachments.all().length > 0, 30_000);
  const deleted = calls.map((call) => world.must('DEL', config, call));
  agent.process.kill('SIGTERM');
  await Promise.all([...added, ...deleted]);
  // Where DEL came first, as it may, its ADD stands.
  await Promise.all(calls.map((call) => world.must('DEL', config, { ...call, program: plugin() })));
  assert.deepEqual(attachments.all(), []);
  await nothingRemains(world);
});

test(
  `${AT_ONCE} ADDs at once: no address twice, and none left after as many DELs`,
  { skip },
  withAgent(async (world, program) => {
    const calls = Array.from({ length: AT_ONCE }, (_, i) => ({
      netns: world.container(),
      container: `c${i}`,
      program,
    }));
    const results = await Promise.all(calls.map((call) => world.must('ADD', world.config(), call)));
    const addresses = results.map((each) => each.ips[0].address);
    assert.equal(new Set(addresses).size, AT_ONCE);
    await Promise.all(calls.map((call) => world.must('DEL', world.config(), call)));
    await nothingRemains(world);
    const held = heldInNetworks(join(world.dir, 'data')).filter(({ state }) => state !== 'resting');
    assert.deepEqual(held, []);
  }),
);

test('no file is left of a client that was replaced, and the IPAM plugin is a link to it', { skip }, () => {
  using world = new World();
  const program = thinClient(world);
  thinClient(world);
  assert.deepEqual(readdirSync(join(program, '..')).sort(), ['podwire', basename(program)]);
});
