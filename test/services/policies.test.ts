// What Services promise beyond reaching an endpoint, with real packets from pods, the node, another node and outside, in each family, over TCP and
// UDP.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EndpointSlice, Service } from '../../src/objects/types.ts';
import { serviceOf, sliceOf } from './objects.ts';
import { MODES, type Mode, type NodeUnderTest, skipMode, startNode } from './one-node.ts';
import type { Protocol } from './peer.ts';
import { ADDRESSES, type Place } from './topology.ts';

const VIP = ['10.96.0.1', 'fd00:10:96::1'] as const;
const BALANCED = ['172.30.9.200', 'fd00:30::200'] as const;
const EXTERNAL = ['203.0.113.7', '2001:db8::7'] as const;

type Pod = 'pod1' | 'pod2' | 'remote';
type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

const suite = (mode: Mode, protocol: Protocol) => () => {
  const ofKubernetes = protocol.toUpperCase();
  const PORTS = [{ name: 'http', port: 8080, protocol: ofKubernetes }];
  let world: NodeUnderTest;
  before(async () => {
    world = await startNode({}, mode);
    for (const pod of ['pod1', 'pod2'] as const) {
      for (const host of ADDRESSES[pod]) await world.serve(pod, protocol, host, 8080, pod);
    }
    for (const host of ADDRESSES.remote) await world.serve('other', protocol, host, 8080, 'remote');
    // Addresses of no interface: the fabric brings them to the node, as a router or an answer to ARP would.
    for (const [ip] of [BALANCED, EXTERNAL])
      world.topology.run('client', `ip route add ${ip}/32 via ${ADDRESSES.node[0]}`);
    for (const [, ip] of [BALANCED, EXTERNAL])
      world.topology.run('client', `ip route add ${ip}/128 via ${ADDRESSES.node[1]}`);
  });
  after(() => world?.[Symbol.asyncDispose]());

  for (const [i, family] of (['IPv4', 'IPv6'] as const).entries()) {
    const at = (place: keyof typeof ADDRESSES) => ADDRESSES[place][i]!;
    const put = async (spec: Partial<Service['spec']>, endpoints: readonly (Pod | Endpoint)[], status: object = {}) => {
      const base = {
        clusterIPs: [VIP[i]!],
        ports: [{ name: 'http', port: 80, nodePort: 30080, protocol: ofKubernetes }],
      };
      const full: Endpoint[] = endpoints.map((each) =>
        typeof each === 'string'
          ? { addresses: [at(each)], conditions: { ready: true }, nodeName: each === 'remote' ? 'other' : 'node' }
          : each,
      );
      world.slices.set(sliceOf('web', i === 0 ? 4 : 6, PORTS, full));
      world.services.set({ ...serviceOf('web', { ...base, ...spec }), status });
      await world.planned();
    };
    const ask = (from: Place, host: string, port: number, rest = {}) => world.ask(from, host, port, protocol, rest);
    /** Where so many connections in a row went, or so many first datagrams. */
    const targets = async (from: 'pod1' | 'client' | 'node' | 'other', host: string, port: number, count = 12) => {
      const found = new Set<string>();
      for (let n = 0; n < count; n++) found.add((await ask(from, host, port)).split(' ')[0]!);
      return [...found].sort();
    };
    const balanced = { loadBalancer: { ingress: [{ ip: BALANCED[i]! }] } };
    const dropped = (host: string) => world.count('dropped', host);

    describe(family, () => {
      test('sessionAffinity ClientIP, switched on a live Service: a client stays, another may go elsewhere, each for its own', async () => {
        await put({}, ['pod1', 'pod2', 'remote']);
        await world.until('all three answer', async () => (await targets('client', VIP[i]!, 80, 20)).length === 3);
        const affinity = { clientIP: { timeoutSeconds: 3600 } };
        await put({ sessionAffinity: 'ClientIP', sessionAffinityConfig: affinity }, ['pod1', 'pod2', 'remote']);
        const [home, ...others] = await targets('client', VIP[i]!, 80);
        assert.deepEqual(others, []);
        assert.equal((await targets('pod1', VIP[i]!, 80)).length, 1);
        // Others come and go, the places of endpoints change: it stays.
        const rest = (['pod1', 'pod2', 'remote'] as const).filter((pod) => pod !== home);
        await put({ sessionAffinity: 'ClientIP', sessionAffinityConfig: affinity }, [rest[1]!, home as Pod]);
        assert.deepEqual(await targets('client', VIP[i]!, 80), [home]);
        // Its endpoint is gone: it finds another one at once, and stays there.
        await put({ sessionAffinity: 'ClientIP', sessionAffinityConfig: affinity }, rest);
        const [next, ...more] = await targets('client', VIP[i]!, 80);
        assert.ok(rest.includes(next as Pod));
        assert.deepEqual(more, []);
        await put({}, ['pod1', 'pod2', 'remote']);
        await world.until('it is free again', async () => (await targets('client', VIP[i]!, 80, 20)).length === 3);
      });

      test('a session ends when its time is over', async () => {
        const affinity = { clientIP: { timeoutSeconds: 1 } };
        await put({ sessionAffinity: 'ClientIP', sessionAffinityConfig: affinity }, ['pod1', 'pod2', 'remote']);
        const homes = new Set<string>();
        await world.until('two homes', async () => {
          homes.add((await targets('client', VIP[i]!, 80, 1))[0]!);
          await world.until('it is forgotten', () => !world.remembers(at('client')));
          return homes.size > 1;
        });
      });

      test('a session outlives a restart of the agent', async () => {
        const affinity = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 3600 } } };
        await put(affinity, ['pod1', 'pod2', 'remote']);
        const home = await targets('client', VIP[i]!, 80, 3);
        await world.restart();
        assert.deepEqual(await world.repair(), []);
        assert.deepEqual(await targets('client', VIP[i]!, 80), home);
      });

      test('a client outside that stayed with an endpoint elsewhere comes to one here once externalTrafficPolicy is Local, and stays there', async () => {
        const sticky = { type: 'NodePort', sessionAffinity: 'ClientIP' } as const;
        await put({ ...sticky, externalTrafficPolicy: 'Cluster' }, ['remote']);
        assert.deepEqual(await targets('client', at('node'), 30080, 2), ['remote']);
        await put({ ...sticky, externalTrafficPolicy: 'Local' }, ['pod1', 'pod2', 'remote']);
        const [home, ...others] = await targets('client', at('node'), 30080);
        assert.ok(home === 'pod1' || home === 'pod2', home);
        assert.deepEqual(others, []);
        await put({ ...sticky, externalTrafficPolicy: 'Cluster' }, ['pod1', 'pod2', 'remote']);
        assert.deepEqual(await targets('client', at('node'), 30080), [home]);
      });

      test('internalTrafficPolicy Local: to this node alone; none here is a drop that is counted, none anywhere a refusal', async () => {
        await put({ internalTrafficPolicy: 'Local' }, ['pod2', 'remote']);
        assert.deepEqual(await targets('pod1', VIP[i]!, 80), ['pod2']);
        assert.deepEqual(await targets('node', VIP[i]!, 80), ['pod2']);
        await put({ internalTrafficPolicy: 'Local' }, ['remote']);
        assert.equal(await ask('pod1', VIP[i]!, 80, { timeout: 700 }), 'ETIMEDOUT');
        const { packets, comment } = dropped(VIP[i]!);
        assert.ok(packets > 0);
        assert.equal(comment, 'Service/shop/web: no endpoint on this node');
        await put({ internalTrafficPolicy: 'Local' }, []);
        assert.equal(await ask('pod1', VIP[i]!, 80), 'ECONNREFUSED');
      });

      test('externalTrafficPolicy Cluster: any endpoint answers, and sees the node', async () => {
        await put({ type: 'NodePort', externalTrafficPolicy: 'Cluster' }, ['pod1', 'remote']);
        assert.deepEqual(await targets('client', at('node'), 30080, 20), ['pod1', 'remote']);
        await put({ type: 'NodePort', externalTrafficPolicy: 'Cluster' }, ['pod1']);
        assert.equal(await ask('client', at('node'), 30080), `pod1 ${at('node')}`);
      });

      test('externalTrafficPolicy Local: an endpoint here sees the client itself; pods and nodes reach all of them', async () => {
        await put({ type: 'NodePort', externalTrafficPolicy: 'Local' }, ['pod1', 'remote']);
        assert.deepEqual(await targets('client', at('node'), 30080), ['pod1']);
        assert.equal(await ask('client', at('node'), 30080), `pod1 ${at('client')}`);
        assert.deepEqual(await targets('pod1', at('node'), 30080, 20), ['pod1', 'remote']);
        assert.deepEqual(await targets('node', at('node'), 30080, 20), ['pod1', 'remote']);
        await put({ type: 'NodePort', externalTrafficPolicy: 'Local' }, ['remote']);
        assert.equal(await ask('client', at('node'), 30080, { timeout: 700 }), 'ETIMEDOUT');
        assert.ok(dropped(at('node')).packets > 0);
        assert.deepEqual(await targets('pod1', at('node'), 30080), ['remote']);
        await put({ type: 'NodePort', externalTrafficPolicy: 'Local' }, []);
        assert.equal(await ask('client', at('node'), 30080), 'ECONNREFUSED');
      });

      test('an endpoint that still serves while it terminates answers when nothing else does here', async () => {
        const leaving = {
          addresses: [at('pod2')],
          nodeName: 'node',
          conditions: { ready: false, serving: true, terminating: true },
        };
        await put({ type: 'NodePort', externalTrafficPolicy: 'Local' }, [leaving, 'remote']);
        assert.equal(await ask('client', at('node'), 30080), `pod2 ${at('client')}`);
        assert.deepEqual(await targets('pod1', VIP[i]!, 80), ['remote']);
        await put({}, [leaving]);
        assert.deepEqual(await targets('client', VIP[i]!, 80), ['pod2']);
      });

      test("a load balancer's address and an external one lead to the Service, from outside and from pods", async () => {
        await put({ type: 'LoadBalancer', externalIPs: [EXTERNAL[i]!] }, ['pod2', 'remote'], balanced);
        for (const host of [BALANCED[i]!, EXTERNAL[i]!]) {
          assert.deepEqual(await targets('client', host, 80, 20), ['pod2', 'remote']);
          assert.deepEqual(await targets('pod1', host, 80, 20), ['pod2', 'remote']);
        }
        await put(
          { type: 'LoadBalancer', externalTrafficPolicy: 'Local', externalIPs: [EXTERNAL[i]!] },
          ['pod2', 'remote'],
          balanced,
        );
        for (const host of [BALANCED[i]!, EXTERNAL[i]!]) {
          assert.equal(await ask('client', host, 80), `pod2 ${at('client')}`);
          assert.deepEqual(await targets('pod1', host, 80, 20), ['pod2', 'remote']);
        }
      });

      test('an address with ipMode Proxy is not ours', async () => {
        const ingress = [{ ip: BALANCED[i]!, ipMode: 'Proxy' }];
        await put({ type: 'LoadBalancer' }, ['pod2'], { loadBalancer: { ingress } });
        assert.doesNotMatch(
          world.topology.run('node', 'nft list ruleset'),
          new RegExp(`${BALANCED[i]!} \\. ${protocol}`),
        );
      });

      test('loadBalancerSourceRanges: who is in them comes through, all others are dropped and counted', async () => {
        const near = i === 0 ? '172.30.9.0/24' : 'fd00:30::/64';
        await put({ type: 'LoadBalancer', loadBalancerSourceRanges: [near] }, ['pod2'], balanced);
        assert.deepEqual(await targets('client', BALANCED[i]!, 80), ['pod2']);
        assert.equal(await ask('pod1', BALANCED[i]!, 80, { timeout: 700 }), 'ETIMEDOUT');
        const { packets, comment } = dropped(BALANCED[i]!);
        assert.ok(packets > 0);
        assert.equal(comment, 'Service/shop/web: not in loadBalancerSourceRanges');
        assert.deepEqual(await targets('pod1', VIP[i]!, 80), ['pod2']);
        await put({ type: 'LoadBalancer' }, ['pod2'], balanced);
        assert.deepEqual(await targets('pod1', BALANCED[i]!, 80), ['pod2']);
      });

      test('a pod that is sent to itself reaches itself, at every address of the Service', async () => {
        await put({ type: 'LoadBalancer', externalIPs: [EXTERNAL[i]!] }, ['pod1'], balanced);
        for (const [host, port] of [
          [VIP[i]!, 80],
          [at('node'), 30080],
          [BALANCED[i]!, 80],
          [EXTERNAL[i]!, 80],
        ] as const) {
          // By nftables the answer must come by the node; at the socket it is a connection to oneself.
          const seen = at(mode === 'ebpf' ? 'pod1' : 'node');
          assert.equal(await ask('pod1', host, port), `pod1 ${seen}`, host);
        }
      });
    });
  }
};

for (const mode of MODES) {
  for (const protocol of ['tcp', 'udp'] as const) {
    describe(`Services with policies, ${mode}, ${protocol}`, { skip: skipMode(mode) }, suite(mode, protocol));
  }
}
