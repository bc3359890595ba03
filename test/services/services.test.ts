// Services with real packets: pods, the node itself and a client outside reach endpoints through the node's nftables; and the same where
// pods find them at their sockets.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serviceOf, sliceOf } from './objects.ts';
import { MODES, type Mode, type NodeUnderTest, NODE_OPTIONS as options, skipMode, startNode } from './one-node.ts';
import type { Load, Protocol } from './peer.ts';
import { ADDRESSES, type Place } from './topology.ts';

const VIP = ['10.96.0.1', 'fd00:10:96::1'] as const;

const suite = (mode: Mode) => () => {
  let world: NodeUnderTest;
  const ask = (from: Place, host: string, port: number, protocol: Protocol = 'tcp', rest = {}) =>
    world.ask(from, host, port, protocol, rest);

  before(async () => {
    world = await startNode({}, mode);
    for (const place of ['pod1', 'pod2'] as const) {
      for (const protocol of ['tcp', 'udp'] as const) {
        for (const host of ADDRESSES[place]) await world.serve(place, protocol, host, 8080, place);
      }
      for (const host of ADDRESSES[place]) await world.serve(place, 'tcp', host, 8081, `${place}-admin`);
    }
    for (const host of ADDRESSES.remote) await world.serve('other', 'tcp', host, 8080, 'remote');
    for (const host of ADDRESSES.client) await world.serve('client', 'tcp', host, 9000, 'outside');
    for (const host of ADDRESSES.other) await world.serve('other', 'tcp', host, 9000, 'other');
  });
  after(() => world?.[Symbol.asyncDispose]());

  const PORTS = [
    { name: 'http', port: 8080 },
    { name: 'admin', port: 8081 },
  ];
  const web = (type: 'ClusterIP' | 'NodePort' = 'NodePort') =>
    serviceOf('web', {
      type,
      clusterIPs: [...VIP],
      ports: [
        { name: 'http', port: 80, targetPort: 8080, nodePort: 30080 },
        { name: 'admin', port: 81, targetPort: 'admin', nodePort: 30081 },
      ],
    });
  const putWeb = async (endpoints: readonly ('pod1' | 'pod2' | 'remote')[]) => {
    world.services.set(web());
    for (const [i, family] of ([4, 6] as const).entries()) {
      world.slices.set(
        sliceOf(
          'web',
          family,
          PORTS,
          endpoints.map((name) => ADDRESSES[name][i]!),
        ),
      );
    }
    await world.planned();
  };

  for (const [i, family] of (['IPv4', 'IPv6'] as const).entries()) {
    const at = (place: keyof typeof ADDRESSES) => ADDRESSES[place][i]!;

    describe(family, () => {
      test('a Service without endpoints refuses at once, from pod, node and outside, also at its NodePort', async () => {
        await putWeb([]);
        for (const place of ['pod1', 'node', 'client'] as const) {
          assert.equal(await ask(place, VIP[i]!, 80), 'ECONNREFUSED', `ClusterIP from ${place}`);
          assert.equal(await ask(place, at('node'), 30080), 'ECONNREFUSED', `NodePort from ${place}`);
        }
        assert.equal(await ask('pod1', VIP[i]!, 80, 'udp'), 'ECONNREFUSED', 'a protocol that the Service has not');
        assert.equal(await ask('pod1', VIP[i]!, 12345), 'ECONNREFUSED', 'a port that the Service has not');
      });

      test('ClusterIP: a pod and the node keep their addresses, a client outside gets the node’s', async () => {
        await putWeb(['pod2']);
        assert.equal(await ask('pod1', VIP[i]!, 80), `pod2 ${at('pod1')}`);
        assert.equal(await ask('node', VIP[i]!, 80), `pod2 ${at('node')}`);
        assert.equal(await ask('client', VIP[i]!, 80), `pod2 ${at('node')}`);
      });

      test('NodePort: answers come back through the node, wherever the endpoint is', async () => {
        for (const name of ['pod2', 'remote'] as const) {
          await putWeb([name]);
          assert.equal(await ask('client', at('node'), 30080), `${name} ${at('node')}`);
          assert.equal(await ask('pod1', at('node'), 30080), `${name} ${at('pod1')}`);
          assert.equal(await ask('node', at('node'), 30080), `${name} ${at('node')}`);
          assert.equal(await ask('other', at('node'), 30080), `${name} ${at('node')}`, 'from another node');
        }
      });

      test('several ports, each to its own target', async () => {
        await putWeb(['pod2']);
        assert.equal(await ask('pod1', VIP[i]!, 81), `pod2-admin ${at('pod1')}`);
        assert.equal(await ask('client', at('node'), 30081), `pod2-admin ${at('node')}`);
      });

      test('a pod reaches itself through its Service', async () => {
        await putWeb(['pod1']);
        // By nftables the answer must come by the node; at the socket it is a connection to oneself.
        const seen = at(mode === 'ebpf' ? 'pod1' : 'node');
        assert.equal(await ask('pod1', VIP[i]!, 80), `pod1 ${seen}`);
        assert.equal(await ask('pod1', at('node'), 30080), `pod1 ${seen}`);
      });

      test('connections spread over all endpoints', async () => {
        await putWeb(['pod1', 'pod2', 'remote']);
        const answers = await Promise.all(Array.from({ length: 60 }, () => ask('client', VIP[i]!, 80)));
        assert.deepEqual(
          [...new Set(answers)].toSorted(),
          ['pod1', 'pod2', 'remote'].map((name) => `${name} ${at('node')}`),
        );
      });

      test('pods meet pods and nodes by their own address, and the world by the node’s', async () => {
        assert.equal(await ask('pod1', at('remote'), 8080), `remote ${at('pod1')}`);
        assert.equal(await ask('pod1', at('other'), 9000), `other ${at('pod1')}`);
        assert.equal(await ask('node', at('pod1'), 8080), `pod1 ${at('node')}`);
        assert.equal(await ask('pod1', at('client'), 9000), `outside ${at('node')}`);
      });

      test('a Service of an endpoint outside the cluster, as the API server’s is', async () => {
        const outside = serviceOf('api', { clusterIPs: [...VIP], ports: [{ port: 443 }] });
        world.services.set(outside);
        world.slices.set(sliceOf('api', i === 0 ? 4 : 6, [{ name: '', port: 9000 }], [at('client')]));
        await world.planned();
        assert.equal(await ask('pod1', VIP[i]!, 443), `outside ${at('node')}`);
        assert.equal(await ask('node', VIP[i]!, 443), `outside ${at('node')}`);
        world.services.delete('shop/api');
        await world.planned();
        assert.equal(await ask('pod1', VIP[i]!, 443), 'ECONNREFUSED');
      });

      test('a UDP client that keeps its port follows the endpoints: one to another, to none, and back', async () => {
        const dns = serviceOf('names', {
          type: 'NodePort',
          clusterIPs: [...VIP],
          ports: [{ port: 53, protocol: 'UDP', targetPort: 8080, nodePort: 30053 }],
        });
        const put = async (...endpoints: string[]) => {
          world.services.set(dns);
          world.slices.set(sliceOf('names', i === 0 ? 4 : 6, [{ name: '', port: 8080, protocol: 'UDP' }], endpoints));
          await world.planned();
        };
        const flow = { from: 40000 + i };
        const outside = { from: 41000 + i };
        for (const [endpoints, answer] of [
          [[at('pod1')], 'pod1'],
          [[at('pod2')], 'pod2'],
          [[], 'ECONNREFUSED'],
          [[at('pod1')], 'pod1'],
        ] as const) {
          await put(...endpoints);
          assert.equal((await ask('node', VIP[i]!, 53, 'udp', flow)).split(' ')[0], answer);
          assert.equal((await ask('client', at('node'), 30053, 'udp', outside)).split(' ')[0], answer);
        }
        world.services.delete('shop/names');
        await world.planned();
        assert.equal(await ask('node', VIP[i]!, 53, 'udp', flow), 'ECONNREFUSED', 'the Service is gone');
      });

      test('no connection fails while endpoints come and go', async () => {
        await putWeb(['pod1']);
        const load = world.topology.at('client').call<Load>({ op: 'load', host: VIP[i]!, port: 80 });
        const sets = [['pod1', 'pod2'], ['pod2'], ['pod2', 'remote', 'pod1'], ['remote'], ['pod1', 'remote']] as const;
        for (let round = 0; round < 2000; round++) await putWeb(sets[round % sets.length]!);
        await world.topology.at('client').call({ op: 'stop' });
        const { answered, failed } = await load;
        assert.deepEqual(failed, []);
        assert.ok(answered > 50, `${answered} connections`);
      });

      // Of the rules alone: sockets know no more of it than of any other address.
      const ofRules = mode === 'nftables' ? false : 'it is the same rules for both modes';
      test('DNS is not translated and not tracked', { skip: ofRules }, async () => {
        world.services.set(
          serviceOf('kube-dns', { clusterIPs: ['10.96.0.10', 'fd00:10:96::a'], ports: [{ port: 53 }] }),
        );
        await world.planned();
        const ip = options.dnsIPs[i]!;
        world.topology.run(
          'node',
          `ip addr add ${i === 0 ? `${ip}/32` : `${ip}/128`} dev lo${i === 0 ? '' : ' nodad'}`,
        );
        await world.serve('node', 'udp', ip, 53, 'dns');
        assert.equal(await ask('pod1', ip, 53, 'udp'), `dns ${at('pod1')}`);
        assert.equal(await ask('node', ip, 53, 'udp'), `dns ${ip}`);
        assert.doesNotMatch(
          world.topology.run('node', `conntrack -L -p udp -f ${i === 0 ? 'ipv4' : 'ipv6'}`),
          /dport=53 /,
        );
      });
    });
  }

  test('after a restart what changed meanwhile is repaired, what did not is left alone, and no connection fails', async () => {
    await putWeb(['pod1', 'pod2']);
    const load = world.topology.at('client').call<Load>({ op: 'load', host: VIP[0], port: 80 });
    const before = world.topology.run('node', 'nft list ruleset');
    world.stop();
    world.slices.set(sliceOf('web', 4, PORTS, [ADDRESSES.pod2[0]]));
    await world.start();
    assert.equal(await ask('client', VIP[0], 80), `pod2 ${ADDRESSES.node[0]}`);
    await world.repair();
    assert.notEqual(world.topology.run('node', 'nft list ruleset'), before);
    world.slices.set(sliceOf('web', 4, PORTS, [ADDRESSES.pod1[0], ADDRESSES.pod2[0]]));
    await world.planned();
    world.stop();
    await world.start();
    assert.deepEqual(await world.repair(), []);
    await world.topology.at('client').call({ op: 'stop' });
    assert.deepEqual((await load).failed, []);
  });
};

for (const mode of MODES) describe(`Services, ${mode}`, { skip: skipMode(mode) }, suite(mode));
