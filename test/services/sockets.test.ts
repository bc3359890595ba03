// Services at the socket against Services by nftables: the same flows of two pods of one node, one of them in the cgroup.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { MemoryInformer } from '../../src/cache/memory-informer.fixture.ts';
import type { Client } from '../../src/client/client.ts';
import { makeCgroup, removeCgroup } from '../../src/kernel/cgroup.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { socketLbLacks } from '../../src/kernel/socket-lb.ts';
import { type RunningProxy, startProxy } from '../../src/node/proxy.ts';
import { SocketServices } from '../../src/node/socket-services.ts';
import type { EndpointSlice, Node, Service } from '../../src/objects/types.ts';
import { createReconciler } from '../../src/reconcile/loop.ts';
import { SOCKET_HOOKS, type SocketHook } from '../../src/wire/bpf/socket-lb.ts';
import { until } from '../cluster/machine.ts';
import { detach } from './detach.ts';
import { BY_SERVICE, nodeOf, serviceOf, sliceOf } from './objects.ts';
import { NODE_OPTIONS } from './one-node.ts';
import type { Load, Protocol } from './peer.ts';
import { ADDRESSES, Topology } from './topology.ts';

const missing = ['ip', 'nft'].filter((tool) => spawnSync(tool, ['-V']).error !== undefined);
const lacking =
  process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `needs ${missing.join(', ')}` : socketLbLacks();

const options = { ...NODE_OPTIONS, dnsIPs: [] };
const VIP = ['10.96.0.1', 'fd00:10:96::1'] as const;
const PORTS = [8080, 8081, 8082] as const;
const NODE_PORT = 30_080;

describe('Services at the socket and by nftables', { skip: lacking ?? false }, () => {
  const cgroup = `pwt-sock-${process.pid}`;
  const services = new MemoryInformer<Service>().sync();
  const slices = new MemoryInformer<EndpointSlice>(BY_SERVICE).sync();
  const nodes = new MemoryInformer<Node>().sync();
  let topology: Topology;
  let kernel: Kernel;
  let proxy: RunningProxy;
  let sockets: SocketServices;

  before(async () => {
    topology = new Topology();
    topology.podSide();
    // pod1 asks its sockets, pod2 the rules.
    writeFileSync(`${makeCgroup(cgroup)}/cgroup.procs`, `${topology.at('pod1').pid}`);
    for (const host of ADDRESSES.remote) {
      for (const port of PORTS) {
        for (const protocol of ['tcp', 'udp'] as const) {
          await topology.at('other').call({ op: 'serve', protocol, host, port, name: String(port) });
        }
      }
    }
    nodes.set(nodeOf('node', ADDRESSES.node, ['10.244.1.0/24', 'fd00:10:244:1::/64']));
    nodes.set(nodeOf('other', ADDRESSES.other, ['10.244.2.0/24', 'fd00:10:244:2::/64']));
    await start();
  });

  async function start(): Promise<void> {
    kernel = openKernel({ netns: topology.netns('node') });
    const namespaces = () => (['pod1', 'pod2'] as const).map((pod) => topology.netns(pod));
    sockets = new SocketServices({ cgroup: makeCgroup(cgroup), namespaces });
    const informers = { services, slices, nodes };
    const client = undefined as unknown as Client;
    proxy = startProxy({ client, reconciler: createReconciler(kernel), kernel, options, informers, sockets });
    await proxy.ready;
  }

  function stop(): void {
    proxy.close();
    sockets.close();
    kernel.close();
  }

  after(async () => {
    if (proxy) stop();
    topology?.[Symbol.dispose]();
    await removeCgroup(cgroup);
  });

  const planned = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  /** One Service of both families and protocols whose endpoints are some of the remote pod's ports. */
  async function put(
    ports: readonly number[],
    affinitySeconds?: number,
    protocols: readonly ('TCP' | 'UDP')[] = ['TCP', 'UDP'],
  ): Promise<void> {
    const sticky = { sessionAffinityConfig: { clientIP: { timeoutSeconds: affinitySeconds! } } };
    const spec: Service['spec'] = {
      type: 'NodePort',
      clusterIPs: [...VIP],
      ports: protocols.map((protocol) => ({ name: protocol, protocol, port: 80, nodePort: NODE_PORT })),
      ...(affinitySeconds && { sessionAffinity: 'ClientIP' as const, ...sticky }),
    };
    services.set(serviceOf('web', spec));
    for (const [i, family] of ([4, 6] as const).entries()) {
      for (const port of PORTS) {
        const slicePorts = protocols.map((protocol) => ({ name: protocol, protocol, port }));
        const endpoints = ports.includes(port) ? [ADDRESSES.remote[i]!] : [];
        slices.set(sliceOf('web', family, slicePorts, endpoints, String(port)));
      }
    }
    await planned();
  }

  const ask = (from: 'pod1' | 'pod2', host: string, port: number, protocol: Protocol, rest = {}) =>
    topology.at(from).call<string>({ op: 'ask', protocol, host, port, ...rest });

  test('the same flows have the same answers, whatever the Service is and was', async () => {
    const state = fc.record({ ports: fc.subarray([...PORTS]), sticky: fc.boolean() });
    const flow = fc.record({
      family: fc.constantFrom(0, 1),
      protocol: fc.constantFrom('tcp', 'udp'),
      byNodePort: fc.boolean(),
      unconnected: fc.boolean(),
    });
    const run = fc.asyncProperty(fc.array(fc.tuple(state, flow), { minLength: 1, maxLength: 6 }), async (steps) => {
      for (const [{ ports, sticky }, { family, protocol, byNodePort, unconnected }] of steps) {
        await put(ports, sticky ? 10_800 : undefined);
        const [host, port] = byNodePort ? [ADDRESSES.node[family]!, NODE_PORT] : [VIP[family]!, 80];
        // Without a connection an ICMP error has nobody to be told to: what refuses nftables' clients is told at the socket alone.
        const rest = { unconnected: unconnected && protocol === 'udp' && ports.length > 0 };
        for (const pod of ['pod1', 'pod2'] as const) {
          const answers = new Set<string>();
          for (let i = 0; i < 3; i++) answers.add(await ask(pod, host, port, protocol, rest));
          const seen = ADDRESSES[pod][family]!;
          const from = rest.unconnected ? ` from ${host} ${port}` : '';
          const allowed = ports.length === 0 ? ['ECONNREFUSED'] : ports.map((each) => `${each} ${seen}${from}`);
          for (const answer of answers) assert.ok(allowed.includes(answer), `${pod}: ${answer}, not ${allowed}`);
          if (sticky) assert.equal(answers.size, 1, `${pod} stays with one of ${[...answers]}`);
        }
      }
    });
    // A flow without an answer takes long to be told as such: the first that fails is enough.
    await fc.assert(run, { numRuns: 12, endOnFailure: true });
  });

  test('no rule of the node sees what a socket has translated', async () => {
    await put([8080]);
    const translated = () =>
      topology
        .run('node', 'conntrack -L')
        .split('\n')
        .filter((line) => line.includes(`dst=${VIP[0]} `));
    topology.run('node', 'conntrack -F');
    assert.equal(await ask('pod1', VIP[0], 80, 'tcp'), `8080 ${ADDRESSES.pod1[0]}`);
    assert.deepEqual(translated(), []);
    assert.equal(await ask('pod2', VIP[0], 80, 'tcp'), `8080 ${ADDRESSES.pod2[0]}`);
    assert.equal(translated().length, 1);
  });

  test('a UDP socket that sends datagram by datagram stays with its endpoint, and leaves one that is gone', async () => {
    await put(PORTS);
    const sent = await topology.at('pod1').call<string[]>({ op: 'datagrams', host: VIP[0], port: 80, count: 12 });
    assert.equal(new Set(sent).size, 1, `${sent}`);
    const flow = topology.at('pod1').call<string[]>({ op: 'datagrams', host: VIP[0], port: 80 });
    const first = Number(sent[0]!.split(' ')[0]);
    await put(PORTS.filter((port) => port !== first));
    await put([first]);
    await topology.at('pod1').call({ op: 'stop' });
    assert.ok(new Set(await flow).has(`${first} ${ADDRESSES.pod1[0]}`));
  });

  // Programs are only asked at connect(): without this such a socket would send to nobody for ever.
  test('a connected UDP socket whose endpoint is gone is ended, and its owner connects anew; others stay', async () => {
    for (const family of [0, 1] as const) {
      await put([8080]);
      const open = (id: string, host: string, port: number) =>
        topology.at('pod1').call<string>({ op: 'open', id, protocol: 'udp', host, port });
      const say = (id: string) => topology.at('pod1').call<string>({ op: 'say', id });
      const seen = ADDRESSES.pod1[family];
      assert.equal(await open('service', VIP[family], 80), `8080 ${seen}`);
      // To the endpoint itself, past any Service: that is nobody's business.
      assert.equal(await open('direct', ADDRESSES.remote[family]!, 8080), `8080 ${seen}`);
      await put([8080, 8081]);
      assert.equal(await say('service'), `8080 ${seen}`);
      await put([8081]);
      // Told at its next call, whichever that is.
      assert.match(await say('service'), /^(ECONNABORTED|EDESTADDRREQ|ENOTCONN)$/);
      assert.equal(await say('direct'), `8080 ${seen}`);
      assert.equal(await open('again', VIP[family], 80), `8081 ${seen}`);
      await put([]);
      assert.match(await say('again'), /^(ECONNABORTED|EDESTADDRREQ|ENOTCONN)$/);
    }
  });

  test('programs that others detach or replace are attached again', async () => {
    await put([8080]);
    const translated = () =>
      topology
        .run('node', `conntrack -L -p tcp -d ${VIP[0]}`)
        .split('\n')
        .filter((line) => line !== '').length > 0;
    for (const hooks of [['connect4'], Object.keys(SOCKET_HOOKS)] as SocketHook[][]) {
      for (const hook of hooks) detach(makeCgroup(cgroup), SOCKET_HOOKS[hook]);
      topology.run('node', 'conntrack -F');
      // Meanwhile the rules do it: nothing fails.
      assert.equal(await ask('pod1', VIP[0], 80, 'tcp'), `8080 ${ADDRESSES.pod1[0]}`);
      await until('no rule sees them any more', async () => {
        topology.run('node', 'conntrack -F');
        assert.equal(await ask('pod1', VIP[0], 80, 'tcp'), `8080 ${ADDRESSES.pod1[0]}`);
        return !translated();
      });
    }
  });

  test('affinity ends with its time', async () => {
    await put(PORTS, 1);
    const first = await ask('pod1', VIP[0], 80, 'tcp');
    await until('another endpoint has its turn', async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return (await ask('pod1', VIP[0], 80, 'tcp')) !== first;
    });
  });

  test('no connection fails while endpoints come and go, nor while the agent starts anew', async () => {
    // Of TCP alone: for UDP all tracked flows are looked through at each change, and there are many.
    await put([8080], undefined, ['TCP']);
    const load = topology.at('pod1').call<Load>({ op: 'load', host: VIP[0], port: 80 });
    const sets = [[8080, 8081], [8081], [8082, 8081, 8080], [8082], [8080, 8082]];
    for (let round = 0; round < 1500; round++) {
      await put(sets[round % sets.length]!, undefined, ['TCP']);
      if (round % 500 !== 499) continue;
      stop();
      await start();
    }
    await topology.at('pod1').call({ op: 'stop' });
    const { answered, failed } = await load;
    assert.deepEqual(failed, []);
    assert.ok(answered > 50, `${answered} connections`);
  });
});
