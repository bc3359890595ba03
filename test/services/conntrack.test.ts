// Connection tracking of Services: UDP flows follow every change of endpoints, and flows that are well are left alone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serviceOf, sliceOf } from './objects.ts';
import { type NodeUnderTest, skip, startNode } from './one-node.ts';
import { ADDRESSES } from './topology.ts';

const VIP = ['10.96.0.53', 'fd00:10:96::53'] as const;
type Pod = 'pod1' | 'pod2' | 'remote';

describe('UDP through Services', { skip }, () => {
  let world: NodeUnderTest;
  before(async () => {
    world = await startNode();
    for (const pod of ['pod1', 'pod2'] as const) {
      for (const host of ADDRESSES[pod]) {
        await world.serve(pod, 'udp', host, 5353, pod);
        await world.topology.at(pod).call({ op: 'serve', protocol: 'udp', host, port: 5454, name: pod, silent: true });
      }
    }
    for (const host of ADDRESSES.remote) await world.serve('other', 'udp', host, 5353, 'remote');
  });
  after(() => world?.[Symbol.asyncDispose]());

  for (const [i, family] of (['IPv4', 'IPv6'] as const).entries()) {
    const at = (place: keyof typeof ADDRESSES) => ADDRESSES[place][i]!;
    const vip = VIP[i]!;
    const put = async (...endpoints: readonly Pod[]) => {
      const ports = [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'one-way', port: 54, protocol: 'UDP' },
      ];
      const numbers = [
        { name: 'dns', port: 5353, protocol: 'UDP' },
        { name: 'one-way', port: 5454, protocol: 'UDP' },
      ];
      world.slices.set(sliceOf('names', i === 0 ? 4 : 6, numbers, endpoints.map(at)));
      world.services.set(serviceOf('names', { clusterIPs: [vip], ports }));
      await world.planned();
    };
    const tracked = (...options: string[]) =>
      world.topology
        .run('node', ['conntrack', '-L', '-f', i === 0 ? 'ipv4' : 'ipv6', '-p', 'udp', ...options].join(' '))
        .split('\n')
        .filter((line) => line.includes(`dst=${vip} `));
    /** Each question from a port of its own that stays the same: one flow. */
    const ask = async (from: number) => (await world.ask('pod1', vip, 53, 'udp', { from })).split(' ')[0];

    describe(family, () => {
      // kubernetes#125467, #48370, #19029, #59368, #66651
      test('a flow follows its Service: from one endpoint to another, to none, to one again, to two', async () => {
        await put('pod2');
        assert.equal(await ask(4001), 'pod2');
        await put('remote');
        assert.equal(await ask(4001), 'remote');
        await put();
        assert.equal(await ask(4001), 'ECONNREFUSED');
        assert.deepEqual(tracked(), []);
        await put('pod2');
        assert.equal(await ask(4001), 'pod2');
        await put('pod2', 'remote');
        assert.equal(await ask(4001), 'pod2');
        await put('remote');
        assert.equal(await ask(4001), 'remote');
      });

      test('a flow that began before its Service was there comes to it', async () => {
        world.services.delete('shop/names');
        world.slices.delete(`shop/names-v${i === 0 ? 4 : 6}-a`);
        await world.planned();
        assert.equal(await ask(4002), 'ECONNREFUSED');
        await put('pod2');
        assert.equal(await ask(4002), 'pod2');
      });

      // kubernetes PR 139629: nobody answers such a flow, so nothing but its sender keeps it alive.
      test('a sender that never hears anything: its flow ends with the last endpoint, and reaches the next one', async () => {
        await put('pod2');
        const before = await world.topology.at('pod2').call<number>({ op: 'received', host: at('pod2'), port: 5454 });
        const sending = world.topology.at('client').call({ op: 'send', host: vip, port: 54, from: 4003 });
        const taken = (pod: 'pod1' | 'pod2') =>
          world.topology.at(pod).call<number>({ op: 'received', host: at(pod), port: 5454 });
        await world.until('pod2 gets them', async () => (await taken('pod2')) > before);
        await put();
        await world.until(
          'no flow leads to pod2',
          () => !tracked().some((line) => line.includes(`src=${at('pod2')} `)),
        );
        await put('pod1');
        const first = await taken('pod1');
        await world.until('pod1 gets them', async () => (await taken('pod1')) > first);
        assert.ok(!tracked().some((line) => line.includes(`src=${at('pod2')} `)));
        await world.topology.at('client').call({ op: 'stop' });
        await sending;
      });

      test('a flow from outside does too, at each address that a Service has there, and when the address goes', async () => {
        const [balanced, external] = i === 0 ? ['172.30.9.200', '203.0.113.7'] : ['fd00:30::200', '2001:db8::7'];
        const bits = i === 0 ? 32 : 128;
        for (const ip of [balanced, external])
          world.topology.run('client', `ip route add ${ip}/${bits} via ${at('node')}`);
        const putOutside = async (endpoints: readonly Pod[], addresses = true) => {
          const port = { name: 'dns', port: 55, protocol: 'UDP', ...(addresses && { nodePort: 30055 }) };
          const spec = { type: 'LoadBalancer' as const, externalIPs: [external!] };
          world.slices.set(
            sliceOf('open', i === 0 ? 4 : 6, [{ name: 'dns', port: 5353, protocol: 'UDP' }], endpoints.map(at)),
          );
          world.services.set({
            ...serviceOf('open', {
              clusterIPs: [i === 0 ? '10.96.0.55' : 'fd00:10:96::55'],
              ports: [port],
              ...(addresses && spec),
            }),
            status: addresses ? { loadBalancer: { ingress: [{ ip: balanced! }] } } : {},
          });
          await world.planned();
        };
        const targets = [
          [balanced!, 55, 4005],
          [external!, 55, 4006],
          [at('node'), 30055, 4007],
        ] as const;
        for (const endpoints of [['pod2'], ['remote'], [], ['pod1'], ['pod1', 'pod2'], ['pod2']] as Pod[][]) {
          await putOutside(endpoints);
          for (const [host, port, from] of targets) {
            const [answer] = (await world.ask('client', host, port, 'udp', { from })).split(' ');
            assert.equal(answer, endpoints[0] ?? 'ECONNREFUSED', `${host} with ${endpoints}`);
          }
        }
        await putOutside(['pod2'], false);
        assert.equal(await world.ask('client', at('node'), 30055, 'udp', { from: 4007 }), 'ECONNREFUSED');
        for (const [host, port, from] of targets.slice(0, 2)) {
          const answer = await world.ask('client', host, port, 'udp', { from, timeout: 700 });
          assert.doesNotMatch(answer, /^pod/, `${host} is no address of it any more`);
        }
      });

      // kubernetes#122740
      test('a restart of the agent leaves a live flow as it is, and ends one whose endpoint went meanwhile', async () => {
        await put('pod2');
        assert.equal(await ask(4004), 'pod2');
        const id = () => tracked('-o', 'id').map((line) => [/sport=(\d+)/.exec(line)?.[1], /id=(\d+)/.exec(line)?.[1]]);
        const flow = () => id().find(([port]) => port === '4004');
        const before = flow();
        assert.ok(before);
        await world.restart();
        assert.deepEqual(flow(), before);
        world.stop();
        world.slices.set(
          sliceOf('names', i === 0 ? 4 : 6, [{ name: 'dns', port: 5353, protocol: 'UDP' }], [at('remote')]),
        );
        await world.start();
        assert.equal(flow(), undefined);
        assert.equal(await ask(4004), 'remote');
      });
    });
  }
});
