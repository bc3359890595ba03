// Our plugin in chains with the reference plugins, first, in the middle and last, run as a runtime runs a conflist.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findProgram } from '../../src/cluster/programs.ts';
import { serveIn, talk } from '../node/cluster-net.ts';
import { type Call, NODE_IP, OUTSIDE_IP, plugin, REFERENCE, rootSkip, World } from './world.ts';

const skip =
  rootSkip ||
  (existsSync(join(REFERENCE, 'portmap')) ? false : `the reference plugins are not in ${REFERENCE}`) ||
  (findProgram('iptables') ? false : 'iptables, which the reference plugins need, is not installed');

interface Plugin {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** What libcni does with a conflist: each plugin gets the result of the one before it; DEL goes the other way round. */
class Chain {
  readonly #world: World;
  readonly #plugins: readonly Plugin[];
  readonly #runtimeConfig: object;
  // biome-ignore lint/suspicious/noExplicitAny: the plugins' JSON
  result: any;

  constructor(world: World, plugins: readonly Plugin[], runtimeConfig: object = {}) {
    this.#world = world;
    this.#plugins = plugins;
    this.#runtimeConfig = runtimeConfig;
  }

  async add(call: Call): Promise<void> {
    this.result = undefined;
    for (const each of this.#plugins) this.result = await this.#run('ADD', each, call);
  }

  async check(call: Call): Promise<void> {
    for (const each of this.#plugins) await this.#run('CHECK', each, call);
  }

  async del(call: Call): Promise<void> {
    for (const each of this.#plugins.toReversed()) await this.#run('DEL', each, call);
  }

  #run(command: string, each: Plugin, call: Call) {
    const config = {
      cniVersion: '1.0.0',
      name: 'chain',
      dataDir: join(this.#world.dir, 'data'),
      ...each,
      runtimeConfig: this.#runtimeConfig,
      ...(this.result && { prevResult: this.result }),
    };
    const program = each.type === 'podwire-cni' ? plugin() : join(REFERENCE, each.type);
    return this.#world.must(command, config, { ...call, program });
  }
}

const RANGES = { subnet: '10.22.0.0/16' };

test('first: portmap, bandwidth, tuning and firewall work on what we made', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  const chain = new Chain(world, [
    { type: 'podwire-cni', ipam: { type: 'podwire', ...RANGES } },
    { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' }, mtu: 1400 },
    { type: 'bandwidth', ingressRate: 8_000_000, ingressBurst: 8_000_000 },
    { type: 'firewall' },
    { type: 'portmap', snat: true },
  ]);
  await chain.add({ netns });
  assert.equal(chain.result.ips[0].address, '10.22.0.2/32');
  assert.equal(world.json(netns, 'ip', '-j', 'link', 'show', 'eth0')[0].mtu, 1400);
  await chain.del({ netns });
  assert.deepEqual(
    world.remains().filter((each) => each.startsWith('pw')),
    [],
  );
});

test('first, with the port published by portmap instead of us', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  await using server = await serveIn(netns, '0.0.0.0');
  const portMappings = [{ hostPort: 8080, containerPort: server.port, protocol: 'tcp' }];
  // Only the plugin that declares a capability is given its values.
  const ours = { type: 'podwire-cni', ipam: { type: 'podwire', ...RANGES } };
  const wire = new Chain(world, [ours]);
  await wire.add({ netns });
  const portmap = join(REFERENCE, 'portmap');
  const config = { cniVersion: '1.0.0', name: 'chain', type: 'portmap', snat: true, runtimeConfig: { portMappings } };
  await world.must('ADD', { ...config, prevResult: wire.result }, { netns, program: portmap });
  assert.equal((await talk(world.outside, NODE_IP, 8080))[0], OUTSIDE_IP);
  await world.must('DEL', { ...config, prevResult: wire.result }, { netns, program: portmap });
  await wire.del({ netns });
});

test('in the middle and last: ports and limits for an interface that bridge made, with an address of ours', {
  skip,
}, async () => {
  using world = new World();
  const [a, b] = [world.container(), world.container()];
  await using server = await serveIn(b, '0.0.0.0');
  const bridge = {
    type: 'bridge',
    bridge: 'cni-test',
    isGateway: true,
    ipam: { type: 'podwire', ...RANGES, routes: [{ dst: '0.0.0.0/0' }] },
  };
  const runtimeConfig = {
    portMappings: [{ hostPort: 8080, containerPort: server.port, protocol: 'tcp' }],
    bandwidth: { ingressRate: 80_000_000, ingressBurst: 8_000_000, egressRate: 80_000_000, egressBurst: 8_000_000 },
  };
  const ours = { type: 'podwire-cni', ipMasq: true };
  const client = new Chain(world, [bridge, ours]);
  await client.add({ netns: a, container: 'a' });
  const chain = new Chain(
    world,
    [bridge, ours, { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' } }],
    runtimeConfig,
  );
  await chain.add({ netns: b, container: 'b' });
  assert.equal(chain.result.ips[0].address, '10.22.0.3/16');
  assert.ok(chain.result.interfaces.some((each: { name: string }) => each.name === 'cni-test'));
  assert.equal((await talk(world.outside, NODE_IP, 8080))[0], OUTSIDE_IP);
  // Without the node's address in between, the answer would pass the bridge untranslated.
  assert.ok((await talk(a, NODE_IP, 8080))[0]);
  await using outside = await serveIn(world.outside, OUTSIDE_IP);
  assert.equal((await talk(a, OUTSIDE_IP, outside.port))[0], NODE_IP);
  await chain.check({ netns: b, container: 'b' });
  await chain.del({ netns: b, container: 'b' });
  await client.del({ netns: a, container: 'a' });
  assert.equal(world.in(world.node, 'nft', 'list', 'tables').includes('podwire-cni'), false);
});

test('addresses come from host-local when the configuration says so, and go back to it', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  const ipam = { type: 'host-local', dataDir: join(world.dir, 'host-local'), ranges: [[{ subnet: '10.33.0.0/24' }]] };
  const config = world.config({ cniVersion: '1.0.0', ipam });
  const result = await world.must('ADD', config, { netns });
  assert.equal(result.ips[0].address, '10.33.0.2/32');
  await world.must('CHECK', { ...config, prevResult: result }, { netns });
  await world.must('DEL', config, { netns });
  assert.equal(existsSync(join(world.dir, 'host-local', 'net1', '10.33.0.2')), false);
  const wrong = await world.call('ADD', { ...config, ipam: { ...ipam, ranges: [] } }, { netns });
  assert.equal(wrong.code, 1);
  assert.match(wrong.json.msg, /^host-local: /);
  assert.deepEqual(world.remains(), []);
});
