// `podwire ipam show | check | release` and `podwire cni show` on what the plugin that stands alone has given.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { removeNamespace } from '../../src/sys/netns.ts';
import { Machine } from '../cluster/machine.ts';
import { rootSkip as skip, World } from './world.ts';

test('show says who holds what since when, check finds what is leaked, release gives it back', { skip }, async () => {
  using world = new World();
  await using machine = await Machine.create('ipamcmd');
  const at = ['--data-dir', join(world.dir, 'data')];
  const ipam = (...words: string[]) => machine.podwire('ipam', ...words, ...at);
  assert.equal((await ipam('show')).stdout, 'No address is held.\n');
  const [kept, lost] = [world.container(), world.container()];
  const args = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web';
  await world.must('ADD', world.config(), { netns: kept, container: 'kept', args });
  const dual = { type: 'podwire', ranges: [[{ subnet: '10.23.0.0/16' }], [{ subnet: 'fd00:23::/64' }]] };
  await world.must('ADD', world.config({ name: 'net2', ipam: dual }), { netns: lost, container: 'lost' });
  assert.match((await ipam('check')).stdout, /^3 addresses, no leak\.\n$/);

  const held = JSON.parse((await ipam('show', '-o', 'json', '--network', 'net1')).stdout);
  const [{ since, ...rest }] = held;
  assert.deepEqual([held.length, new Date(since).toISOString()], [1, since]);
  assert.deepEqual(rest, {
    ip: '10.22.0.2',
    where: 'network net1',
    holder: 'kept/eth0',
    pod: 'shop/web',
    state: 'held',
  });
  assert.match(
    (await ipam('show')).stdout,
    /^ADDRESS +STATE +WHERE +HOLDER +SINCE.*\n10\.22\.0\.2 +held +network net1 +shop\/web /,
  );

  const shown = await machine.podwire('cni', 'show', '-o', 'json', ...at);
  const [first] = JSON.parse(shown.stdout);
  assert.deepEqual([first.where, first.network, first.containerID], ['this machine', 'net1', 'kept']);
  assert.deepEqual(Object.keys(first.took), ['namespace', 'ipam', 'record', 'interface', 'rules', 'limits']);
  assert.ok(Object.values<number>(first.took).every((ms) => ms >= 0 && ms < 60_000));
  const table = (await machine.podwire('cni', 'show', ...at)).stdout;
  assert.match(table, /^WHERE .*\nthis machine +net1 +kept\/eth0 +10\.22\.0\.2 .* ms: namespace [\d.]+, ipam [\d.]+, /);

  removeNamespace(lost);
  const checked = await ipam('check', '-o', 'json');
  const found = JSON.parse(checked.stdout);
  assert.deepEqual([checked.code, found.held, found.leaked.length], [3, 3, 2]);
  assert.match(found.leaked[0].why, /^its network namespace .* is gone$/);
  assert.match((await ipam('check')).stdout, /Try: podwire ipam release --leaked/);
  const released = await ipam('release', '--leaked', '-o', 'json');
  assert.deepEqual(JSON.parse(released.stdout), [
    { network: 'net2', holder: 'lost/eth0', ips: ['10.23.0.2', 'fd00:23::2'] },
  ]);
  assert.equal((await ipam('release', '10.22.0.2')).stdout, 'Released network net1: 10.22.0.2 of kept/eth0.\n');
  const states = JSON.parse((await ipam('show', '-o', 'json')).stdout).map((each: { state: string }) => each.state);
  assert.deepEqual(states, ['resting', 'resting', 'resting']);

  const nobody = await ipam('release', '10.22.0.2');
  assert.deepEqual(
    [nobody.code, nobody.stderr],
    [1, 'podwire: nobody holds 10.22.0.2. See who holds what: podwire ipam show\n'],
  );
  assert.equal((await ipam('release')).code, 2);
  assert.equal((await ipam('release', 'nonsense')).code, 2);
});
