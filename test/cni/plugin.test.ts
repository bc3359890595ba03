// The plugin as a runtime starts it, in real namespaces: each rule of the specification that needs a kernel.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { heldInNetworks } from '../../src/cni/audit.ts';
import { installed } from '../../src/observe/install.ts';
import { removeNamespace, socketIn } from '../../src/sys/netns.ts';
import { bindSocket } from '../../src/sys/socket.ts';
import { serveIn, talk } from '../node/cluster-net.ts';
import { installPlugin, NODE_IP, OUTSIDE_IP, plugin, rootSkip as skip, World } from './world.ts';

/** PODWIRE_TEST_AT_ONCE=200 is the number that runtimes may be expected to reach: a minute of two processors. */
const AT_ONCE = Number(process.env['PODWIRE_TEST_AT_ONCE'] ?? 50);

const DUAL = { ipam: { type: 'podwire', ranges: [[{ subnet: '10.22.0.0/16' }], [{ subnet: 'fd00:22::/64' }]] } };

test('ADD wires a container, CHECK agrees, DEL leaves nothing, also a second time and without its namespace', {
  skip,
}, async () => {
  using world = new World();
  const netns = world.container();
  const config = world.config(DUAL);
  const result = await world.must('ADD', config, { netns });
  assert.deepEqual(
    result.ips.map((each: { address: string }) => each.address),
    ['10.22.0.2/32', 'fd00:22::2/128'],
  );
  assert.deepEqual(
    result.interfaces.map((each: { name: string; sandbox?: string }) => [each.name.slice(0, 2), each.sandbox]),
    [
      ['pw', undefined],
      ['et', netns],
    ],
  );
  const [link] = world.json(netns, 'ip', '-j', 'link', 'show', 'eth0');
  assert.deepEqual([link.address, link.mtu], [result.interfaces[1].mac, result.interfaces[1].mtu]);
  assert.equal(await world.must('CHECK', { ...config, prevResult: result }, { netns }), undefined);
  assert.equal(await world.must('DEL', { ...config, prevResult: result }, { netns }), undefined);
  assert.deepEqual(world.remains(), []);
  await world.must('DEL', config, { netns });
  await world.must('ADD', config, { netns });
  removeNamespace(netns);
  await world.must('DEL', config);
  await world.must('DEL', config, { netns });
  assert.deepEqual(world.remains(), []);
});

test('an interface that exists is refused by name; the same container gets another one', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  await world.must('ADD', world.config(), { netns });
  const again = await world.call('ADD', world.config(), { netns });
  assert.deepEqual([again.code, again.json.code], [1, 4]);
  assert.match(again.json.msg, /CNI_IFNAME: eth0 exists already/);
  const routes = [{ dst: '10.99.0.0/16' }];
  const other = world.config({ name: 'net2', ipam: { type: 'podwire', subnet: '10.23.0.0/16', routes } });
  const second = await world.must('ADD', other, { netns, ifname: 'eth1' });
  assert.deepEqual(second.routes, [{ dst: '10.99.0.0/16', gw: '169.254.1.1' }]);
  const list = world.json(netns, 'ip', '-j', 'route').map((each: { dst: string; dev: string }) => [each.dst, each.dev]);
  assert.deepEqual(list, [
    ['default', 'eth0'],
    ['10.99.0.0/16', 'eth1'],
  ]);
});

test('every version of the specification gets its own form of result', { skip }, async () => {
  using world = new World();
  for (const [i, cniVersion] of ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'].entries()) {
    const netns = world.container();
    const config = world.config({ cniVersion });
    const result = await world.must('ADD', config, { netns, container: `v${i}` });
    assert.equal(result.cniVersion, cniVersion);
    assert.equal(result.ips[0].version, i < 3 ? '4' : undefined);
    assert.equal('mtu' in result.interfaces[0], i === 4);
    await world.must('DEL', { ...config, prevResult: result }, { netns, container: `v${i}` });
  }
});

test('CHECK says what drifted', { skip }, async () => {
  using world = new World();
  const runtimeConfig = {
    portMappings: [{ hostPort: 8080, containerPort: 80 }],
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
  };
  const drifts: [RegExp, 'node' | 'container', string][] = [
    [/eth0 has lost its address 10\.22\.0\.\d+\/32/, 'container', 'ip addr flush dev eth0'],
    [/the route to 0\.0\.0\.0\/0 via 169\.254\.1\.1 is gone/, 'container', 'ip route del default'],
    [/eth0 has the MTU 1400, not 1500/, 'container', 'ip link set eth0 mtu 1400'],
    [/eth0 is down/, 'container', 'ip link set eth0 down'],
    [/the neighbour 169\.254\.1\.1 is gone/, 'container', 'ip neigh del 169.254.1.1 dev eth0'],
    [/eth0 is gone/, 'container', 'ip link del eth0'],
    [/the egress limit of 8000000 bit\/s is gone/, 'container', 'tc qdisc del dev eth0 root'],
    [/the node's route to 10\.22\.\d+\.\d+\/32 is gone/, 'node', 'ip route flush proto 201'],
    [/nft .*ports.* is gone/, 'node', 'nft flush map ip podwire-cni host-ports'],
    [
      /nft chain ip podwire-cni host-ports-prerouting has changed/,
      'node',
      'nft flush chain ip podwire-cni host-ports-prerouting',
    ],
  ];
  for (const [i, [says, where, command]] of drifts.entries()) {
    const call = { netns: world.container(), container: `c${i}` };
    const config = world.config({ runtimeConfig });
    const prevResult = await world.must('ADD', config, call);
    await world.must('CHECK', { ...config, prevResult }, call);
    world.in(where === 'node' ? world.node : call.netns, ...command.split(' '));
    const { code, json } = await world.call('CHECK', { ...config, prevResult }, call);
    assert.deepEqual([code, json?.code], [1, 101], command);
    assert.match(json.msg, says);
    await world.must('DEL', config, call);
  }
  const call = { netns: world.container(), container: 'nobody' };
  const unknown = await world.call('CHECK', { ...world.config(), prevResult: {} }, call);
  assert.equal(unknown.json.code, 3);
  assert.deepEqual(world.remains(), []);
});

test('a lease that is gone is told by CHECK', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  const prevResult = await world.must('ADD', world.config(), { netns });
  const ipamOnly = join(dirname(plugin()), 'podwire');
  await world.must('DEL', world.config(), { netns, program: ipamOnly });
  const { json } = await world.call('CHECK', { ...world.config(), prevResult }, { netns });
  assert.equal(json.code, 101);
  assert.match(json.msg, /the lease of container c1, eth0 is gone/);
});

test('GC removes what is not valid, of its own network only, and its leases', { skip }, async () => {
  using world = new World();
  const other = world.config({ name: 'net2', ipam: { type: 'podwire', subnet: '10.23.0.0/16' } });
  const netns = ['a', 'b', 'c'].map(() => world.container());
  await world.must('ADD', world.config(), { netns: netns[0]!, container: 'a' });
  await world.must('ADD', world.config(), { netns: netns[1]!, container: 'b' });
  await world.must('ADD', other, { netns: netns[2]!, container: 'c' });
  const gc = { ...world.config(), 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] };
  assert.equal(await world.must('GC', gc), undefined);
  const held = heldInNetworks(join(world.dir, 'data')).filter(({ state }) => state !== 'resting');
  assert.deepEqual(
    held.map(({ where, holder }) => `${where}: ${holder}`),
    ['network net1: b/eth0', 'network net2: c/eth0'],
  );
  assert.deepEqual(
    netns.map((each) => world.json(each, 'ip', '-j', 'link').length),
    [1, 2, 2],
  );
  await world.must('GC', { ...other, 'cni.dev/valid-attachments': [] });
  await world.must('GC', { ...world.config(), 'cni.dev/valid-attachments': [] });
  assert.deepEqual(world.remains(), []);
});

test('STATUS is silent when an ADD would succeed, and 50 when no address is free', { skip }, async () => {
  using world = new World();
  const config = world.config({ ipam: { type: 'podwire', subnet: '10.22.0.0/30' } });
  assert.equal(await world.must('STATUS', config), undefined);
  const netns = world.container();
  await world.must('ADD', config, { netns });
  const full = await world.call('STATUS', config);
  assert.deepEqual([full.code, full.json.code], [1, 50]);
  const more = await world.call('ADD', config, { netns: world.container(), container: 'c2' });
  assert.equal(more.json.code, 11);
  assert.match(more.json.msg, /no free address in 10\.22\.0\.1-10\.22\.0\.2: 1 are held/);
  // What failed left nothing: the first is all there is.
  await world.must('DEL', config, { netns });
  assert.deepEqual(world.remains(), []);
  const missing = await world.call('STATUS', world.config({ ipam: { type: 'no-such-plugin' } }));
  assert.equal(missing.json.code, 50);
  assert.match(missing.json.msg, /no-such-plugin/);
});

test('many ADDs at once: every container has an address of its own, and nothing stays', { skip }, async () => {
  using world = new World();
  const config = world.config({ ipMasq: false });
  const calls = Array.from({ length: AT_ONCE }, (_, i) => ({ netns: world.container(), container: `c${i}` }));
  const results = await Promise.all(calls.map((call) => world.must('ADD', config, call)));
  assert.equal(new Set(results.map((result) => result.ips[0].address)).size, AT_ONCE);
  assert.equal(world.remains().length, 2 * AT_ONCE);
  await world.must('GC', { ...config, 'cni.dev/valid-attachments': [] });
  assert.deepEqual(world.remains(), []);
});

test('containers reach each other, the node and outside; outside sees the node', { skip }, async () => {
  using world = new World();
  const [a, b] = [world.container(), world.container()];
  const config = world.config(DUAL);
  const results = [
    await world.must('ADD', config, { netns: a, container: 'a' }),
    await world.must('ADD', config, { netns: b, container: 'b' }),
  ];
  for (const family of [0, 1]) {
    const [ipA, ipB] = results.map((result) => result.ips[family].address.split('/')[0]);
    await using inB = await serveIn(b, ipB);
    assert.equal((await talk(a, ipB, inB.port))[0], ipA);
    const outsideIP = [OUTSIDE_IP, '2001:db8::2'][family]!;
    const nodeIP = [NODE_IP, '2001:db8::1'][family]!;
    assert.equal((await talk(world.node, ipB, inB.port))[0], nodeIP);
    await using outside = await serveIn(world.outside, outsideIP);
    assert.equal((await talk(a, outsideIP, outside.port))[0], nodeIP);
    await using onNode = await serveIn(world.node, nodeIP);
    assert.equal((await talk(a, nodeIP, onNode.port))[0], ipA);
  }
});

test('a published port is reached from outside, from the node and from containers, itself included', {
  skip,
}, async () => {
  using world = new World();
  const [a, b] = [world.container(), world.container()];
  await world.must('ADD', world.config(), { netns: a, container: 'a' });
  await using probe = await serveIn(b, '0.0.0.0');
  const runtimeConfig = {
    portMappings: [
      { hostPort: 8080, containerPort: probe.port, protocol: 'tcp' },
      { hostPort: 8081, containerPort: probe.port, protocol: 'tcp', hostIP: '192.0.2.9' },
    ],
  };
  const config = world.config({ runtimeConfig });
  await world.must('ADD', config, { netns: b, container: 'b' });
  for (const client of [world.outside, world.node, a, b]) {
    const [seen] = await talk(client, NODE_IP, 8080);
    // The client's own address stands, but for the container that speaks to itself.
    if (client === world.outside) assert.equal(seen, OUTSIDE_IP);
    if (client === a) assert.equal(seen, '10.22.0.2');
  }
  // One that is published on an address which the node does not have is on no other.
  await assert.rejects(talk(world.outside, NODE_IP, 8081));
  world.in(world.node, 'ip', 'addr', 'add', '192.0.2.9/32', 'dev', 'up0');
  assert.equal((await talk(world.outside, '192.0.2.9', 8081))[0], OUTSIDE_IP);
  await world.must('DEL', config, { netns: b, container: 'b' });
  await assert.rejects(talk(world.outside, NODE_IP, 8080));
});

test('a port is on the loopback of the node, alone where it is asked for, over TCP and UDP; what else listens there stays', {
  skip,
}, async () => {
  using world = new World();
  const published = (hostPort: number, where: object = {}) => {
    const protocols = ['tcp', 'udp'] as const;
    const portMappings = protocols.map((protocol) => ({ hostPort, containerPort: 8000, protocol, ...where }));
    return world.config({ runtimeConfig: { portMappings } });
  };
  await using local = await serveIn(world.node, '127.0.0.1');
  for (const [i, hostIP] of ['127.0.0.1', undefined].entries()) {
    const container = `c${i}`;
    const netns = world.container();
    const config = published(8080, hostIP === undefined ? {} : { hostIP });
    const prevResult = await world.must('ADD', config, { netns, container });
    await using _ = await serveIn(netns, '0.0.0.0', 8000);
    assert.equal((await talk(world.node, '127.0.0.1', 8080))[0], NODE_IP);
    assert.equal(await overUdp(netns, 8000, world.node, '127.0.0.1', 8080), `heard from ${NODE_IP}`);
    if (hostIP === undefined) assert.equal((await talk(world.outside, NODE_IP, 8080))[0], OUTSIDE_IP);
    else for (const client of [world.outside, world.node]) await assert.rejects(talk(client, NODE_IP, 8080));
    assert.equal((await talk(world.node, '127.0.0.1', local.port))[0], '127.0.0.1');
    await world.must('CHECK', { ...config, prevResult }, { netns, container });
    const outer = prevResult.interfaces[0].name;
    world.in(world.node, 'sysctl', '-qw', `net.ipv4.conf.${outer}.route_localnet=0`);
    const drifted = await world.call('CHECK', { ...config, prevResult }, { netns, container });
    assert.equal(drifted.json.msg, `the node's ${outer} keeps 127.0.0.1 from the container: route_localnet is 0`);
    await world.must('DEL', config, { netns, container });
    await assert.rejects(talk(world.node, '127.0.0.1', 8080), { code: 'ECONNREFUSED' });
  }
  assert.deepEqual(world.remains(), []);
});

test('one port on two addresses of the loopback is two containers’, and the end of one leaves the other', {
  skip,
}, async () => {
  using world = new World();
  const calls = [1, 2].map((n) => {
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, hostIP: `127.0.0.${n}` }] };
    return {
      config: world.config({ runtimeConfig }),
      netns: world.container(),
      container: `c${n}`,
      at: `127.0.0.${n}`,
    };
  });
  const seen = async (n: number) => talk(world.node, `127.0.0.${n}`, 8080).then(([, echoed]) => echoed);
  for (const { config, ...call } of calls) await world.must('ADD', config, call);
  await using _one = await serveIn(calls[0]!.netns, '0.0.0.0', 80);
  await using _two = await serveIn(calls[1]!.netns, '0.0.0.0', 80);
  assert.deepEqual([await seen(1), await seen(2)], ['ping', 'ping']);
  await world.must('DEL', calls[0]!.config, calls[0]!);
  await assert.rejects(seen(1), { code: 'ECONNREFUSED' });
  assert.equal(await seen(2), 'ping');
});

test("behind another plugin's interface 127.0.0.1 stays what it was: as hostIP it is refused, and what listens there is reached", {
  skip,
}, async () => {
  using world = new World();
  const netns = world.container();
  const first = await world.must('ADD', world.config({ name: 'first' }), { netns, container: 'a' });
  const behind = (hostIP?: string) => {
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, ...(hostIP && { hostIP }) }] };
    const { ipam: _, ...config } = world.config({ name: 'second', prevResult: first, runtimeConfig });
    return config;
  };
  const refused = await world.call('ADD', behind('127.0.0.1'), { netns, container: 'a' });
  assert.equal(refused.json.code, 2);
  assert.match(refused.json.msg, /hostIP "127\.0\.0\.1" is supported where podwire-cni makes the interface/);
  await world.must('ADD', behind(), { netns, container: 'a' });
  await using _server = await serveIn(netns, '0.0.0.0', 80);
  await using _local = await serveIn(world.node, '127.0.0.1', 8080);
  assert.equal((await talk(world.outside, NODE_IP, 8080))[0], OUTSIDE_IP);
  assert.equal((await talk(world.node, '127.0.0.1', 8080))[0], '127.0.0.1');
});

/** One datagram to a server in the container, and who it came from. */
async function overUdp(netns: string, port: number, from: string, to: string, toPort: number): Promise<string> {
  const server = createSocket('udp4').on('message', (_, { address, port }) =>
    server.send(`heard from ${address}`, port, address),
  );
  const client = createSocket('udp4');
  try {
    server.bind({ fd: bound(netns, port) });
    client.bind({ fd: bound(from, 0) });
    const answer = once(client, 'message', { signal: AbortSignal.timeout(30_000) });
    client.send('hello', toPort, to);
    return String((await answer)[0]);
  } finally {
    server.close();
    client.close();
  }
}

test('limits stand at both ends of the veth, as tc shows them', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  const bandwidth = { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 40e9, egressBurst: 8e6 };
  const result = await world.must('ADD', world.config({ runtimeConfig: { bandwidth } }), { netns });
  const bucket = (where: string, link: string) => {
    const [{ kind, options }] = world.json(where, 'tc', '-j', 'qdisc', 'show', 'dev', link);
    return [kind, options.rate];
  };
  assert.deepEqual(bucket(world.node, result.interfaces[0].name), ['tbf', 1e6]);
  assert.deepEqual(bucket(netns, 'eth0'), ['tbf', 5e9]);
});

test('a UDP port is published, and a client that speaks all the time follows it to the next container', {
  skip,
}, async () => {
  using world = new World();
  const config = world.config({
    runtimeConfig: { portMappings: [{ hostPort: 5353, containerPort: 53, protocol: 'udp' }] },
  });
  const client = createSocket('udp4');
  client.bind({ fd: bound(world.outside, 0) });
  const say = () => client.send('hello', 5353, NODE_IP);
  for (const container of ['a', 'b']) {
    // Now the kernel tracks a flow to the node itself.
    say();
    const netns = world.container();
    await world.must('ADD', config, { netns, container });
    const server = createSocket('udp4');
    const heard = new Promise<string>((resolve) => server.once('message', (text) => resolve(text.toString())));
    server.bind({ fd: bound(netns, 53) }, say);
    assert.equal(await heard, 'hello');
    server.close();
    await world.must('DEL', config, { netns, container });
  }
  client.close();
});

function bound(netns: string, port: number): number {
  const fd = socketIn(netns, 'inet', 'dgram');
  bindSocket(fd, '0.0.0.0', port);
  return fd;
}

test('whenever an ADD is killed, DEL or GC leaves nothing of it', { skip }, async () => {
  using world = new World();
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
  const config = world.config({ runtimeConfig });
  const start = performance.now();
  await world.must('ADD', config, { netns: world.container(), container: 'whole' });
  const whole = performance.now() - start;
  await world.must('DEL', config, { container: 'whole' });
  for (let i = 0; i < 12; i++) {
    const call = { netns: world.container(), container: `c${i}` };
    // Mostly in its second half, when it has begun to do something.
    const outcome = world.call('ADD', config, { ...call, killAfter: whole * (0.3 + 0.06 * i) });
    await outcome.catch(() => undefined);
    if (i % 2 === 0) await world.must('DEL', config, call);
    else await world.must('GC', { ...config, 'cni.dev/valid-attachments': [] });
    assert.deepEqual(world.remains(), []);
    assert.deepEqual(
      heldInNetworks(join(world.dir, 'data')).filter(({ state }) => state !== 'resting'),
      [],
    );
  }
});

test('state that was torn, and a boot that is over, keep nobody from an address', { skip }, async () => {
  using world = new World();
  const netns = world.container();
  await world.must('ADD', world.config(), { netns });
  const network = join(world.dir, 'data', 'networks', 'net1');
  const attachments = join(network, 'attachments.jsonl');
  truncateSync(attachments, statSync(attachments).size - 10);
  await world.must('DEL', world.config(), { netns });
  const links = world.remains().filter((each) => each.startsWith('pw'));
  assert.deepEqual(links, []);
  const leases = join(network, 'ipam', 'leases.jsonl');
  const ofEarlierBoot = readFileSync(leases, 'utf8').replace(/"boot":"[^"]*"/, '"boot":"an earlier one"');
  writeFileSync(leases, ofEarlierBoot);
  const result = await world.must('ADD', world.config(), { netns });
  assert.equal(result.ips[0].address, '10.22.0.2/32');
});

test('a bundle that is older than the source is passed over', { skip }, async () => {
  const { plugin: installedPlugin, remove } = installPlugin();
  try {
    const root = join(dirname(installedPlugin), '..');
    symlinkSync(installed('src'), join(root, 'src'));
    const bundle = join(root, 'generated', 'bundle', 'cni.js');
    const say = (words: string) => writeFileSync(bundle, `console.log(${JSON.stringify(words)});`);
    const ask = () => execFileSync(installedPlugin, { env: { ...process.env, CNI_COMMAND: 'VERSION' }, input: '{}' });
    say('{"of":"the bundle"}');
    assert.deepEqual(JSON.parse(ask().toString()), { of: 'the bundle' });
    utimesSync(bundle, 1, 1);
    assert.ok(JSON.parse(ask().toString()).supportedVersions);
  } finally {
    remove();
  }
});
