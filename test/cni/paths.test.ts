// The plugin alone where the path is narrow, IPv6 the only family, the protocol SCTP, and the containers many.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { mock, test } from 'node:test';
import { OneCall } from '../../src/cni/host.ts';
import { run } from '../../src/cni/run.ts';
import { NetlinkSocket } from '../../src/sys/netlink-socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { serveIn, talk } from '../node/cluster-net.ts';
import { OUTSIDE_IP, rootSkip as skip, World } from './world.ts';

const DUAL = { ipam: { type: 'podwire', ranges: [[{ subnet: '10.22.0.0/16' }], [{ subnet: 'fd00:22::/64' }]] } };

test('the MTU is that of the node’s way out, unless the configuration names one', { skip }, async () => {
  using world = new World();
  const mtuOf = async (container: string, more: object = {}) => {
    const netns = world.container();
    const result = await world.must('ADD', world.config({ ...DUAL, ...more }), { netns, container });
    assert.equal(world.json(netns, 'ip', '-j', 'link', 'show', 'eth0')[0].mtu, result.interfaces[1].mtu);
    return result.interfaces[1].mtu;
  };
  assert.equal(await mtuOf('a'), 1500);
  const node = (...words: string[]) => world.in(world.node, 'ip', ...words);
  node('link', 'set', 'up0', 'mtu', '1420');
  node('route', 'add', 'default', 'via', OUTSIDE_IP);
  assert.equal(await mtuOf('b'), 1420);
  node('-6', 'route', 'add', 'default', 'via', '2001:db8::2', 'mtu', '1380');
  assert.equal(await mtuOf('c'), 1380);
  assert.equal(await mtuOf('d', { mtu: 9000 }), 9000);
});

test('IPv6 alone: neighbours, outside, a published port, CHECK and DEL; nothing of IPv4 is touched', {
  skip,
}, async () => {
  using world = new World();
  const [a, b] = [world.container(), world.container()];
  const ipam = { type: 'podwire', ranges: [[{ subnet: 'fd00:22::/64' }]] };
  await using server = await serveIn(b, '::');
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: server.port, protocol: 'tcp' }] };
  const config = world.config({ ipam, runtimeConfig });
  await world.must('ADD', world.config({ ipam }), { netns: a, container: 'a' });
  const prevResult = await world.must('ADD', config, { netns: b, container: 'b' });
  assert.deepEqual(
    prevResult.ips.map((each: { address: string }) => each.address),
    ['fd00:22::3/128'],
  );
  // Usable at once: nobody waits for duplicate address detection, as nobody else can have the address.
  const [{ addr_info: addresses }] = world.json(b, 'ip', '-j', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'global');
  assert.equal(addresses[0].tentative, undefined);
  assert.equal((await talk(a, 'fd00:22::3', server.port))[0], 'fd00:22::2');
  assert.equal((await talk(world.outside, '2001:db8::1', 8080))[0], '2001:db8::2');
  await using outside = await serveIn(world.outside, '2001:db8::2');
  assert.equal((await talk(a, '2001:db8::2', outside.port))[0], '2001:db8::1');
  assert.equal(world.in(world.node, 'nft', 'list', 'tables').trim(), 'table ip6 podwire-cni');
  await world.must('CHECK', { ...config, prevResult }, { netns: b, container: 'b' });
  await world.must('DEL', world.config({ ipam }), { netns: a, container: 'a' });
  await world.must('DEL', config, { netns: b, container: 'b' });
  assert.deepEqual(world.remains(), []);
});

test('an SCTP port is published by a rule of its own', { skip }, async () => {
  using world = new World();
  const portMappings = [{ hostPort: 9000, containerPort: 9003, protocol: 'sctp' }];
  const config = world.config({ runtimeConfig: { portMappings } });
  const call = { netns: world.container() };
  const prevResult = await world.must('ADD', config, call);
  const map = world.in(world.node, 'nft', 'list', 'map', 'ip', 'podwire-cni', 'host-ports');
  assert.match(map, /sctp \. 9000 .*: 10\.22\.0\.2 \. 9003/);
  const rules = world.in(world.node, 'nft', 'list', 'table', 'ip', 'podwire-cni');
  assert.match(rules, /sctp.* dport map @host-ports/);
  await world.must('CHECK', { ...config, prevResult }, call);
  await world.must('DEL', config, call);
  assert.deepEqual(world.remains(), []);
});

test('ADD asks the kernel for no list and reads no folder, however many containers there are', { skip }, async () => {
  using world = new World();
  using host = new OneCall();
  const { dump } = NetlinkSocket.prototype;
  let lists = 0;
  NetlinkSocket.prototype.dump = function (request) {
    lists++;
    return dump.call(this, request);
  };
  const folders = mock.method(fs, 'readdirSync');
  syncBuiltinESMExports();
  try {
    const runtimeConfig = (i: number) => ({ portMappings: [{ hostPort: 8000 + i, containerPort: 80 }] });
    for (let i = 0; i < 20; i++) {
      const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: `c${i}`, CNI_IFNAME: 'eth0', CNI_NETNS: world.container() };
      const text = JSON.stringify(world.config({ runtimeConfig: runtimeConfig(i) }));
      const { exitCode, stdout } = await inNetns(world.node, () => run('interface', env, () => text, host));
      assert.equal(exitCode, 0, stdout);
    }
    assert.deepEqual([lists, folders.mock.callCount()], [0, 0]);
  } finally {
    NetlinkSocket.prototype.dump = dump;
    folders.mock.restore();
    syncBuiltinESMExports();
  }
});
