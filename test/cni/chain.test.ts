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
      runtimeConfig: this.#runtimeConfig,
      ...each,
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
  // What those behind us tuned is no drift.
  await chain.check({ netns });
  await using server = await serveIn(netns, '0.0.0.0');
  assert.equal((await talk(world.node, '10.22.0.2', server.port))[0], NODE_IP);
  await chain.del({ netns });
  assert.deepEqual(
    world.remains().filter((each) => each.startsWith('pw')),
    [],
  );
});

test('a MAC is given to podwire-cni: one that tuning gives cuts the container off, and CHECK says so', {
  skip,
}, async () => {
  using world = new World();
  const mac = '02:00:00:00:00:77';
  const [a, b] = [world.container(), world.container()];
  const ipam = { type: 'podwire', ...RANGES };
  const ours = new Chain(world, [
    { type: 'podwire-cni', ipam, mac },
    { type: 'tuning', promisc: true },
  ]);
  await ours.add({ netns: a, container: 'a' });
  await ours.check({ netns: a, container: 'a' });
  assert.equal(world.json(a, 'ip', '-j', 'link', 'show', 'eth0')[0].address, mac);
  await using server = await serveIn(a, '0.0.0.0');
  assert.equal((await talk(world.node, '10.22.0.2', server.port))[0], NODE_IP);
  const tuned = new Chain(world, [
    { type: 'podwire-cni', ipam },
    { type: 'tuning', mac: '02:00:00:00:00:78' },
  ]);
  await tuned.add({ netns: b, container: 'b' });
  await assert.rejects(
    tuned.check({ netns: b, container: 'b' }),
    /eth0 has the MAC 02:00:00:00:00:78, and the node sends to .* podwire-cni/,
  );
  await tuned.del({ netns: b, container: 'b' });
  await ours.del({ netns: a, container: 'a' });
  assert.deepEqual(world.remains(), []);
});

test('a MAC that the runtime asks for is set by podwire-cni and by tuning behind it: both ends still hear each other', {
  skip,
}, async () => {
  using world = new World();
  const ipam = { type: 'podwire', ranges: [[{ subnet: '10.22.0.0/16' }], [{ subnet: 'fd00:22::/64' }]] };
  const calls = [1, 2].map((n) => ({
    netns: world.container(),
    container: `c${n}`,
    args: `IgnoreUnknown=1;MAC=02:00:00:00:00:0${n}`,
  }));
  for (const call of calls) {
    const chain = new Chain(world, [{ type: 'podwire-cni', ipMasq: true, ipam }, { type: 'tuning' }]);
    await chain.add(call);
    await chain.check(call);
    for (const [i, { address }] of chain.result.ips.entries()) {
      const ip = address.split('/')[0];
      await using server = await serveIn(call.netns, ip);
      assert.ok((await talk(world.node, ip, server.port))[0]);
      const outsideIP = [OUTSIDE_IP, '2001:db8::2'][i]!;
      await using outside = await serveIn(world.outside, outsideIP);
      assert.equal((await talk(call.netns, outsideIP, outside.port))[0], [NODE_IP, '2001:db8::1'][i]);
    }
  }
  const wires = new Chain(world, [{ type: 'podwire-cni', ipam }]);
  for (const call of calls) await wires.del(call);
  assert.deepEqual(world.remains(), []);
});

// The conflists that podman, containerd and kind bring along, with the names changed and nothing else.
for (const [whose, plugin] of [
  [
    'podman’s',
    {
      bridge: 'cni-podman0',
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: 'podwire',
        routes: [{ dst: '0.0.0.0/0' }],
        ranges: [[{ subnet: '10.88.0.0/16', gateway: '10.88.0.1' }]],
      },
    },
  ],
  [
    'containerd’s',
    {
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      promiscMode: true,
      ipam: {
        type: 'podwire',
        ranges: [[{ subnet: '10.88.0.0/16' }], [{ subnet: '2001:4860:4860::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    },
  ],
  [
    'the oldest tutorial’s',
    {
      bridge: 'mynet0',
      isDefaultGateway: true,
      forceAddress: false,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: 'podwire',
        subnet: '10.88.0.0/16',
        rangeStart: '10.88.0.2',
        rangeEnd: '10.88.0.100',
        gateway: '10.88.0.1',
        routes: [{ dst: '0.0.0.0/0', gw: '10.88.0.1' }],
      },
    },
  ],
] as const) {
  test(`${whose} conflist with the names changed: out, in by portmap, and nothing stays`, { skip }, async () => {
    using world = new World();
    const netns = world.container();
    await using server = await serveIn(netns, '0.0.0.0');
    await using outside = await serveIn(world.outside, OUTSIDE_IP);
    const ports = { portMappings: [{ hostPort: 8080, containerPort: server.port, protocol: 'tcp' }] };
    const chain = new Chain(world, [
      { type: 'podwire-cni', ...plugin },
      { type: 'portmap', runtimeConfig: ports },
      { type: 'firewall', backend: '' },
      { type: 'tuning' },
    ]);
    await chain.add({ netns });
    assert.equal(chain.result.ips[0].address, '10.88.0.2/32');
    assert.equal((await talk(netns, OUTSIDE_IP, outside.port))[0], NODE_IP);
    assert.equal((await talk(world.outside, NODE_IP, 8080))[0], OUTSIDE_IP);
    assert.ok((await talk(world.node, NODE_IP, 8080))[0]);
    assert.ok((await talk(netns, NODE_IP, 8080))[0], 'itself, through the port that it published');
    await chain.del({ netns });
    assert.deepEqual(
      world.remains().filter((each) => !each.startsWith('table')),
      [],
    );
    assert.doesNotMatch(world.in(world.node, 'nft', 'list', 'tables'), /podwire/);
  });
}

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

test('addresses come from static, whose CHECK finds its own gateways again', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  const addresses = [
    { address: '10.33.0.7/24', gateway: '10.33.0.254' },
    { address: 'fd00:33::7/64', gateway: 'fd00:33::1' },
  ];
  const chain = new Chain(world, [
    { type: 'podwire-cni', ipam: { type: 'static', addresses, routes: [{ dst: '0.0.0.0/0' }] } },
  ]);
  await chain.add({ netns });
  assert.deepEqual(
    chain.result.ips.map((each: { address: string }) => each.address),
    ['10.33.0.7/32', 'fd00:33::7/128'],
  );
  await chain.check({ netns });
  await chain.del({ netns });
  assert.deepEqual(world.remains(), []);
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
