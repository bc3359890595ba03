// Which endpoints a Service sends packets to, with real packets: ports by name, several slices, hints, types that change, endpoints that go.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EndpointSlice, Service } from '../../src/objects/types.ts';
import { nodeOf, serviceOf, sliceOf } from './objects.ts';
import { MODES, type Mode, type NodeUnderTest, skipMode, startNode } from './one-node.ts';
import { ADDRESSES } from './topology.ts';

const VIP = ['10.96.0.1', 'fd00:10:96::1'] as const;
const NODE_PORT = 30080;

type Pod = 'pod1' | 'pod2' | 'remote';
type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

const suite = (mode: Mode) => () => {
  let world: NodeUnderTest;
  before(async () => {
    world = await startNode({ serviceCounters: true }, mode);
    for (const pod of ['pod1', 'pod2', 'remote'] as const) {
      const place = pod === 'remote' ? 'other' : pod;
      for (const host of ADDRESSES[pod]) {
        await world.serve(place, 'tcp', host, 8080, pod);
        await world.serve(place, 'tcp', host, 8081, `${pod}:8081`);
        await world.serve(place, 'udp', host, 8080, `${pod} by udp`);
        const stays = { protocol: 'tcp', stays: true, host, port: 8082, name: pod } as const;
        await world.topology.at(place).call({ op: 'serve', ...stays });
      }
    }
  });
  after(() => world?.[Symbol.asyncDispose]());

  for (const [i, family] of (['IPv4', 'IPv6'] as const).entries()) {
    const at = (place: keyof typeof ADDRESSES) => ADDRESSES[place][i]!;
    const vip = VIP[i]!;
    const endpoint = (pod: Pod, more: Partial<Endpoint> = {}): Endpoint => ({
      addresses: [at(pod)],
      conditions: { ready: true },
      nodeName: pod === 'remote' ? 'other' : 'node',
      ...more,
    });
    const http = [{ name: 'http', port: 8080 }];
    const slice = (suffix: string, ports: NonNullable<EndpointSlice['ports']>, endpoints: readonly Endpoint[]) =>
      world.slices.set(sliceOf('web', i === 0 ? 4 : 6, ports, endpoints, suffix));
    const clear = () => {
      for (const suffix of ['a', 'b', 'c']) world.slices.delete(`shop/web-v${i === 0 ? 4 : 6}-${suffix}`);
    };
    const put = async (spec: Partial<Service['spec']> = {}) => {
      world.services.set(
        serviceOf('web', {
          type: 'NodePort',
          clusterIPs: [vip],
          ports: [{ name: 'http', port: 80, nodePort: NODE_PORT }],
          ...spec,
        }),
      );
      await world.planned();
    };
    /** Who answered so many connections. */
    const targets = async (from: 'pod1' | 'client', host = vip as string, port = 80, count = 24) => {
      const found = new Set<string>();
      for (let n = 0; n < count; n++) found.add((await world.ask(from, host, port)).split(' ')[0]!);
      return [...found].sort();
    };

    describe(family, () => {
      test('the same port with different protocols: each has its own target', async () => {
        clear();
        slice(
          'a',
          [
            { name: 't', port: 8081 },
            { name: 'u', port: 8080, protocol: 'UDP' },
            { name: 's', port: 8080, protocol: 'SCTP' },
          ],
          [endpoint('pod2')],
        );
        const ports = [
          { name: 't', port: 53 },
          { name: 'u', port: 53, protocol: 'UDP' },
          { name: 's', port: 53, protocol: 'SCTP' },
        ];
        await put({ type: 'ClusterIP', ports });
        for (const from of ['pod1', 'node'] as const) {
          assert.equal(await world.ask(from, vip, 53), `pod2:8081 ${at(from)}`);
          assert.equal(await world.ask(from, vip, 53, 'udp'), `pod2 by udp ${at(from)}`);
        }
        // This kernel may have no sockets of SCTP: what packets would meet is there all the same.
        const held = world.elements(i === 0 ? 'ip' : 'ip6', 'endpoints').filter(({ key }) => key[1] === 'sctp');
        assert.deepEqual(held, [{ key: [vip, 'sctp', 53, 0], data: [at('pod2'), 8080], comment: 'Service/shop/web' }]);
      });

      test('a targetPort by name that is another in each pod', async () => {
        clear();
        slice('a', [{ name: 'http', port: 8080 }], [endpoint('pod1')]);
        slice('b', [{ name: 'http', port: 8081 }], [endpoint('pod2')]);
        await put();
        for (const from of ['pod1', 'client'] as const) assert.deepEqual(await targets(from), ['pod1', 'pod2:8081']);
      });

      test('several slices, and an endpoint that two of them have: each is one endpoint', async () => {
        clear();
        slice('a', http, [endpoint('pod1'), endpoint('pod2')]);
        slice('b', http, [endpoint('pod2'), endpoint('remote')]);
        slice('c', http, [endpoint('pod2', { conditions: { ready: false } })]);
        await put();
        assert.deepEqual(await targets('client'), ['pod1', 'pod2', 'remote']);
        const held = world.elements(i === 0 ? 'ip' : 'ip6', 'endpoints').filter(({ key }) => key[0] === vip);
        assert.deepEqual(held.map(({ data }) => data![0]).sort(), [at('pod1'), at('pod2'), at('remote')].sort());
      });

      test('an endpoint that is not ready is none; as soon as it is, it answers', async () => {
        clear();
        slice('a', http, [endpoint('pod1'), endpoint('pod2', { conditions: { ready: false, serving: false } })]);
        await put();
        assert.deepEqual(await targets('pod1'), ['pod1']);
        slice('a', http, [endpoint('pod2'), endpoint('pod1', { conditions: { ready: false, serving: false } })]);
        await world.planned();
        assert.deepEqual(await targets('pod1'), ['pod2']);
      });

      test('hints: endpoints for this node, else those for its zone; all where not every endpoint has one', async () => {
        world.nodes.set({
          ...nodeOf('node', ADDRESSES.node, ['10.244.1.0/24', 'fd00:10:244:1::/64']),
          metadata: { ...nodeOf('node', [], []).metadata, labels: { 'topology.kubernetes.io/zone': 'a' } },
        });
        const near = (name: string) => ({ hints: { forZones: [{ name }] } });
        clear();
        slice('a', http, [endpoint('pod1', near('b')), endpoint('pod2', near('a')), endpoint('remote', near('a'))]);
        await put();
        assert.deepEqual(await targets('pod1'), ['pod2', 'remote']);
        assert.deepEqual(await targets('client', at('node'), NODE_PORT), ['pod2', 'remote']);
        const mine = { hints: { forNodes: [{ name: 'node' }], forZones: [{ name: 'a' }] } };
        const theirs = { hints: { forNodes: [{ name: 'other' }], forZones: [{ name: 'a' }] } };
        slice('a', http, [endpoint('pod1', mine), endpoint('remote', theirs)]);
        await world.planned();
        assert.deepEqual(await targets('pod1'), ['pod1']);
        slice('a', http, [endpoint('pod1', near('b')), endpoint('remote', near('b'))]);
        await world.planned();
        assert.deepEqual(await targets('pod1'), ['pod1', 'remote'], 'none for this zone');
        slice('a', http, [endpoint('pod1', near('a')), endpoint('remote')]);
        await world.planned();
        assert.deepEqual(await targets('pod1'), ['pod1', 'remote'], 'one without');
      });

      test('a live Service goes through all types: what it has no more refuses at once', async () => {
        clear();
        slice('a', http, [endpoint('pod2')]);
        const all = { loadBalancer: { ingress: [{ ip: i === 0 ? '172.30.9.200' : 'fd00:30::200' }] } };
        const reached = async () => ({
          clusterIP: (await world.ask('pod1', vip, 80)).split(' ')[0],
          nodePort: (await world.ask('client', at('node'), NODE_PORT)).split(' ')[0],
          balanced: (await world.ask('pod1', all.loadBalancer.ingress[0]!.ip, 80, 'tcp', { timeout: 400 })).split(
            ' ',
          )[0],
        });
        const become = async (spec: Partial<Service['spec']>) => {
          world.services.set({
            ...serviceOf('web', {
              clusterIPs: [vip],
              ports: [{ name: 'http', port: 80, ...(spec.type !== 'ClusterIP' && { nodePort: NODE_PORT }) }],
              ...spec,
            }),
            status: spec.type === 'LoadBalancer' ? all : {},
          });
          await world.planned();
        };
        const refused = 'ECONNREFUSED';
        // Whoever has no address on the fabric is not found there.
        const nobody = (text: string | undefined) => assert.match(text ?? '', /ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/);
        await become({ type: 'ClusterIP' });
        const first = await reached();
        assert.deepEqual([first.clusterIP, first.nodePort], ['pod2', refused]);
        nobody(first.balanced);
        await become({ type: 'NodePort' });
        assert.deepEqual(Object.values(await reached()).slice(0, 2), ['pod2', 'pod2']);
        await become({ type: 'LoadBalancer' });
        assert.deepEqual(Object.values(await reached()), ['pod2', 'pod2', 'pod2']);
        await become({ type: 'ExternalName', externalName: 'www.example', clusterIPs: [] });
        const named = await reached();
        assert.deepEqual([named.clusterIP, named.nodePort], [refused, refused]);
        nobody(named.balanced);
        await become({ type: 'NodePort' });
        assert.deepEqual(Object.values(await reached()).slice(0, 2), ['pod2', 'pod2']);
        await become({ type: 'ClusterIP', clusterIP: 'None', clusterIPs: ['None'] });
        assert.deepEqual(Object.values(await reached()).slice(0, 2), [refused, refused]);
        await become({ type: 'ClusterIP' });
        assert.deepEqual(Object.values(await reached()).slice(0, 2), ['pod2', refused]);
        // Another address: the old one is nobody's.
        const other = i === 0 ? '10.96.0.2' : 'fd00:10:96::2';
        await become({ type: 'ClusterIP', clusterIPs: [other] });
        assert.equal(await world.ask('pod1', other, 80), `pod2 ${at('pod1')}`);
        assert.equal(await world.ask('pod1', vip, 80), refused);
      });

      test('TCP to an endpoint that is gone goes on while it answers, as with kube-proxy; new connections go elsewhere', async () => {
        clear();
        const ports = [{ name: 'http', port: 8082 }];
        slice('a', ports, [endpoint('pod2')]);
        await put();
        for (const from of ['pod1', 'client'] as const) {
          const open = { op: 'open', id: `${family} ${from}`, protocol: 'tcp', host: vip, port: 80 } as const;
          assert.match(await world.topology.at(from).call(open), /^pod2 /);
        }
        const both = () =>
          Promise.all(
            (['pod1', 'client'] as const).map((from) =>
              world.topology.at(from).call<string>({ op: 'say', id: `${family} ${from}` }),
            ),
          );
        for (const endpoints of [[endpoint('remote')], [], [endpoint('remote')]]) {
          slice('a', ports, endpoints);
          await world.planned();
          for (const answer of await both()) assert.match(answer, /^pod2 /);
        }
        for (const from of ['pod1', 'client'] as const) {
          const open = { op: 'open', id: 'new', protocol: 'tcp', host: vip, port: 80 } as const;
          assert.match(await world.topology.at(from).call(open), /^remote /);
        }
      });

      test("a Service's packets and bytes are counted, both ways", async () => {
        clear();
        slice('a', http, [endpoint('pod2')]);
        await put({ clusterIPs: [i === 0 ? '10.96.0.3' : 'fd00:10:96::3'] });
        const host = i === 0 ? '10.96.0.3' : 'fd00:10:96::3';
        assert.deepEqual(world.count('traffic', host), { packets: 0, bytes: 0, comment: 'Service/shop/web' });
        await targets('client', host, 80, 1);
        const once = world.count('traffic', host);
        // To and fro: SYN, ACK, data, two FINs and their ACKs.
        assert.ok(once.packets >= 7 && once.packets <= 12, `${once.packets} packets`);
        const least = once.packets * (i === 0 ? 52 : 72);
        assert.ok(once.bytes >= least && once.bytes <= least + 200, `${once.bytes} bytes`);
        await targets('client', host, 80, 9);
        const ten = world.count('traffic', host);
        assert.ok(ten.packets >= 70 && ten.packets <= 120, `${ten.packets} packets`);
      });
    });
  }
};

for (const mode of MODES) describe(`Endpoints of Services, ${mode}`, { skip: skipMode(mode) }, suite(mode));
