// `podwire ipam show | check | release` and `podwire cni show` on what the plugin that stands alone has given.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { removeNamespace } from '../../src/sys/netns.ts';
import { Machine, PODWIRE } from '../cluster/machine.ts';
import { rootSkip as skip, World } from './world.ts';

/** In the node's namespace, as whoever installs the plugin there. */
function podwire(world: World, ...words: string[]) {
  const env = { ...process.env, PODWIRE_STATE: world.dir };
  const { status, stdout, stderr } = spawnSync('nsenter', [`--net=${world.node}`, PODWIRE, ...words], {
    env,
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}

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
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
  await world.must('ADD', world.config({ name: 'net2', ipam: dual, runtimeConfig }), {
    netns: lost,
    container: 'lost',
  });
  assert.match(world.in(world.node, 'nft', 'list', 'ruleset'), /dport|8080/);
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
  assert.deepEqual(Object.keys(first.took), ['namespace', 'ipam', 'record', 'interface', 'limits', 'rules']);
  assert.ok(Object.values<number>(first.took).every((ms) => ms >= 0 && ms < 60_000));
  const table = (await machine.podwire('cni', 'show', ...at)).stdout;
  assert.match(table, /^WHERE .*\nthis machine +net1 +kept\/eth0 +10\.22\.0\.2 .* ms: namespace [\d.]+, ipam [\d.]+, /);

  removeNamespace(lost);
  const checked = await ipam('check', '-o', 'json');
  const found = JSON.parse(checked.stdout);
  assert.deepEqual([checked.code, found.held, found.leaked.length], [3, 3, 2]);
  assert.match(found.leaked[0].why, /^its network namespace .* is gone$/);
  assert.match((await ipam('check')).stdout, /Try: podwire ipam release --leaked/);
  // From the namespace in which the runtime has called the plugin.
  const release = (...words: string[]) => podwire(world, 'ipam', 'release', ...words, ...at);
  const released = release('--leaked', '-o', 'json');
  assert.deepEqual(JSON.parse(released.stdout), [
    { network: 'net2', holder: 'lost/eth0', ips: ['10.23.0.2', 'fd00:23::2'] },
  ]);
  assert.doesNotMatch(world.in(world.node, 'nft', 'list', 'ruleset'), /lost|8080/);
  assert.match((await ipam('check')).stdout, /^1 address, no leak\.\n$/);
  assert.equal(release('--leaked').stdout, 'Nothing is leaked.\n');
  const lives = release('10.22.0.2');
  assert.equal(lives.code, 1);
  assert.match(lives.stderr, /^podwire: shop\/web holds 10\.22\.0\.2 and lives\. Stop the container/);
  assert.equal(release('10.22.0.2', '--force').stdout, 'Released network net1: 10.22.0.2 of kept/eth0.\n');
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

test('what an IPAM plugin of others has given: rules of a container that is gone are taken back with its record', {
  skip,
}, async () => {
  using world = new World();
  const at = ['--data-dir', join(world.dir, 'data')];
  const lost = world.container();
  const bridged = { type: 'host-local', dataDir: join(world.dir, 'local'), ranges: [[{ subnet: '10.24.0.0/16' }]] };
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
  await world.must('ADD', world.config({ cniVersion: '1.0.0', ipam: bridged, runtimeConfig }), {
    netns: lost,
    container: 'lost',
  });
  removeNamespace(lost);
  const checked = podwire(world, 'ipam', 'check', ...at);
  assert.equal(checked.code, 3);
  assert.match(
    checked.stdout,
    /^network net1: lost\/eth0 is on record and its namespace is gone\n\nTry: podwire ipam release --leaked\n$/,
  );
  const released = podwire(world, 'ipam', 'release', '--leaked', ...at);
  assert.equal(released.stdout, 'Released network net1: what was on record of lost/eth0.\n');
  assert.equal(world.in(world.node, 'nft', 'list', 'ruleset'), '');
  assert.equal(podwire(world, 'ipam', 'check', ...at).stdout, '0 addresses, no leak.\n');
});

test('cni install keeps a network’s name, cni uninstall waits for its containers and leaves the plugin to the others', {
  skip,
}, async () => {
  using world = new World();
  const [binDir, confDir] = [join(world.dir, 'bin'), join(world.dir, 'net.d')];
  const cni = (verb: string, ...words: string[]) =>
    podwire(world, 'cni', verb, '--bin-dir', binDir, '--conf-dir', confDir, ...words);
  assert.equal(cni('install').code, 0);
  const path = join(confDir, '10-podwire.conflist');
  const ours = readFileSync(path, 'utf8');
  // Again, with another subnet: the same network.
  assert.equal(cni('install', '--subnet', '10.23.0.0/16').code, 0);
  const foreign = join(confDir, '10-theirs.conflist');
  writeFileSync(foreign, ours.replaceAll('podwire', 'bridge'));
  const refused = cni('install', '--network', 'theirs');
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /10-theirs\.conflist is there already, a network not podwire’s\. --network NAME makes one beside it/,
  );

  const [plugin] = JSON.parse(ours).plugins;
  const config = { ...world.config(), ...plugin, name: 'podwire', dataDir: join(world.dir, 'data') };
  writeFileSync(path, JSON.stringify({ cniVersion: '1.0.0', name: 'podwire', plugins: [config] }));
  const call = { netns: world.container(), container: 'web' };
  await world.must('ADD', config, call);
  const busy = cni('uninstall');
  assert.equal(busy.code, 1);
  assert.match(
    busy.stderr,
    /containers are attached to network podwire: web\/eth0 \(10\.22\.0\.2\)\. Remove them first/,
  );
  await world.must('DEL', config, call);

  assert.equal(cni('install', '--network', 'second').code, 0);
  const kept = cni('uninstall');
  assert.equal(kept.stdout, `Removed ${path}.\nThe plugin stays, for 10-second.conflist in ${confDir}.\n`);
  assert.ok(existsSync(join(binDir, 'podwire-cni')));
  const last = cni('uninstall', '--network', 'second');
  assert.equal(last.stdout.split('\n').length, 4);
  assert.deepEqual([existsSync(join(binDir, 'podwire-cni')), existsSync(foreign)], [false, true]);
});

test('cni install and agent refuse what could not work before they write anything, and take nobody’s file', {
  skip,
}, () => {
  using world = new World();
  const [binDir, confDir, file] = [join(world.dir, 'bin'), join(world.dir, 'net.d'), join(world.dir, 'file')];
  writeFileSync(file, 'mine');
  for (const [words, says] of [
    [['--network', 'a/b'], /network "a\/b": name: must be letters/],
    [['--network', ''], /network "": name: must be letters/],
    [['--subnet', '10.0.0.0/32'], /network "podwire": .*10\.0\.0\.0\/32/],
    [['--subnet', 'ten'], /--subnet: ten is no prefix/],
    [['--bin-dir', file], /file is no folder\. Choose another with --bin-dir/],
  ] as const) {
    const { code, stderr } = podwire(world, 'cni', 'install', '--bin-dir', binDir, '--conf-dir', confDir, ...words);
    assert.ok(code === 1 || code === 2, words.join(' '));
    assert.match(stderr, says);
  }
  assert.deepEqual([existsSync(binDir), existsSync(confDir)], [false, false]);
  const agent = podwire(world, 'cni', 'agent', '--socket', file);
  assert.deepEqual(
    [agent.code, agent.stderr],
    [1, `podwire: ${file} is there and no socket. Choose another with --socket\n`],
  );
  assert.equal(readFileSync(file, 'utf8'), 'mine');
});
