// What packets of pods must do whatever way they take: every pod of 3 nodes x 3 reaches every other: by address, by Service and by
// name, over TCP and UDP, with its own address.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clusterSkip, kubectlSkip, Machine, until } from './machine.ts';
import { outsideHost } from './outside.ts';

const NODES = ['node-1', 'node-2', 'node-3'];
const HOST_PORT = 18080;
/** Where pods in the network of their node listen; UDP one above. */
const HOST_POD = 18180;

interface TestPod {
  readonly name: string;
  readonly ip: string;
  readonly node: string;
  readonly nodeIP: string;
  readonly clusterIP: string;
}

/** `flags`: of `podwire up`. `lacking`: why it cannot run here. */
export function packetSuite(flags: readonly string[], lacking?: string): void {
  const skip = kubectlSkip() ?? clusterSkip() ?? lacking ?? false;
  let machine: Machine;
  let pods: TestPod[] = [];
  /** Those in the network of their node. */
  let hosts: TestPod[] = [];

  function manifest(): string {
    const objects = NODES.flatMap((node) => [1, 2, 3].flatMap((i) => podAndService(`${node}-${i}`, node)));
    const hosts = ['node-1', 'node-2'].map(hostPod);
    return [...objects, ...hosts].map((object) => JSON.stringify(object)).join('\n');
  }

  /** In the network of its node, whose address is its own. */
  function hostPod(node: string): object {
    const args = ['netexec', `--http-port=${HOST_POD}`, `--udp-port=${HOST_POD + 1}`];
    const readinessProbe = { httpGet: { path: '/healthz', port: HOST_POD }, periodSeconds: 1 };
    const containers = [{ name: 'host', image: 'podwire.io/agnhost', args, readinessProbe }];
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `host-${node}`, namespace: 'default' },
      spec: { nodeName: node, hostNetwork: true, terminationGracePeriodSeconds: 0, containers },
    };
  }

  function podAndService(name: string, node: string): object[] {
    const container = (port: number, udp: number) => ({
      name: `port-${port}`,
      image: 'podwire.io/agnhost',
      args: ['netexec', `--http-port=${port}`, `--udp-port=${udp}`],
      readinessProbe: { httpGet: { path: '/healthz', port }, periodSeconds: 1 },
      // One pod of each node has a port of the node.
      ...(port === 8080 && name.endsWith('-1') && { ports: [{ containerPort: port, hostPort: HOST_PORT }] }),
    });
    return [
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default', labels: { pod: name } },
        spec: {
          nodeName: node,
          terminationGracePeriodSeconds: 0,
          containers: [container(8080, 8081), container(9080, 9081)],
        },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: `s-${name}`, namespace: 'default' },
        spec: {
          type: 'NodePort',
          selector: { pod: name },
          ports: [
            { name: 'http', port: 80, targetPort: 8080 },
            { name: 'udp', port: 81, targetPort: 8081, protocol: 'UDP' },
          ],
        },
      },
    ];
  }

  /** Asks a pod to send a request of its own and returns what came back. */
  async function dial(
    from: TestPod,
    host: string,
    port: number,
    protocol: 'http' | 'udp',
    request: string,
    at = 8080,
  ): Promise<string> {
    const query = new URLSearchParams({ host, port: String(port), protocol, request, tries: '1' });
    const answer = await machine.must('curl', ['-s', '--max-time', '20', `http://${from.ip}:${at}/dial?${query}`]);
    const { responses, errors } = JSON.parse(answer) as { responses?: string[]; errors?: string[] };
    assert.ok(responses?.[0], `${from.name} -> ${host}:${port}/${protocol}: ${JSON.stringify(errors ?? answer)}`);
    return responses[0];
  }

  const inNodes = () => hosts.flatMap((host) => pods.map((pod) => [host, pod] as const));
  const addressOf = (clientip: string) => clientip.replace(/:\d+$/, '');
  const pairs = () => pods.flatMap((from) => pods.map((to) => [from, to] as const));

  before(async () => {
    if (skip) return;
    machine = await Machine.create(`packets${flags.length}`);
    await machine.mustPodwire('up', '--nodes', '3', ...flags);
    await machine.apply(manifest());
    await machine.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
    const all = await readPods();
    pods = all.filter(({ name }) => !name.startsWith('host-'));
    hosts = all.filter(({ name }) => name.startsWith('host-'));
  });

  async function readPods(): Promise<TestPod[]> {
    type Item = {
      metadata: { name: string };
      spec: { nodeName: string; clusterIP: string };
      status: { podIP: string; hostIP: string };
    };
    const read = async (kind: string) => JSON.parse(await machine.kubectl('get', kind, '-o', 'json')).items as Item[];
    const services = new Map((await read('services')).map((each) => [each.metadata.name, each.spec.clusterIP]));
    return (await read('pods')).map((pod) => ({
      name: pod.metadata.name,
      ip: pod.status.podIP,
      node: pod.spec.nodeName,
      nodeIP: pod.status.hostIP,
      clusterIP: services.get(`s-${pod.metadata.name}`)!,
    }));
  }

  after(async () => {
    await machine?.[Symbol.asyncDispose]();
  });

  test('the cluster has the datapath and the proxy mode that were asked for', { skip }, async () => {
    const status = JSON.parse(await machine.mustPodwire('status', '-o', 'json'));
    for (const [part, flag] of [
      ['datapath', '--datapath'],
      ['proxy', '--proxy-mode'],
    ] as const) {
      const { detail } = status.parts.find((each: { part: string }) => each.part === part);
      const asked = flags.includes(flag) ? flags[flags.indexOf(flag) + 1]! : 'nftables';
      assert.equal(/^\w+/.exec(detail)?.[0], asked, detail);
    }
  });

  test('nine pods stand on three nodes, each with an address of its node', { skip }, () => {
    assert.equal(pods.length, 9);
    assert.deepEqual([...new Set(pods.map((pod) => pod.node))].sort(), NODES);
    assert.equal(new Set(pods.map((pod) => pod.ip)).size, 9);
  });

  for (const [protocol, port] of [
    ['http', 8080],
    ['udp', 8081],
  ] as const) {
    test(`every pod reaches every pod by address over ${protocol}, and its own address is seen`, { skip }, async () => {
      for (const [from, to] of pairs()) {
        const seen = await dial(from, to.ip, port, protocol, 'clientip');
        assert.equal(addressOf(seen), from.ip, `${from.name} -> ${to.name}`);
      }
    });
  }

  for (const [protocol, port] of [
    ['http', 80],
    ['udp', 81],
  ] as const) {
    test(`every pod reaches every Service over ${protocol}, and its own address is seen`, { skip }, async () => {
      for (const [from, to] of pairs()) {
        assert.equal(await dial(from, to.clusterIP, port, protocol, 'hostname'), to.name);
        const seen = await dial(from, to.clusterIP, port, protocol, 'clientip');
        if (from !== to) assert.equal(addressOf(seen), from.ip, `${from.name} -> ${to.name}`);
      }
    });

    test(`every pod reaches every Service by name over ${protocol}`, { skip }, async () => {
      for (const [from, to] of pairs())
        assert.equal(await dial(from, `s-${to.name}`, port, protocol, 'hostname'), to.name);
    });
  }

  test('pods and pods in the network of a node see each other’s address, on any node', { skip }, async () => {
    for (const { ip, nodeIP } of hosts) assert.equal(ip, nodeIP);
    for (const [protocol, port] of [
      ['http', 0],
      ['udp', 1],
    ] as const) {
      for (const [host, pod] of inNodes()) {
        const toHost = await dial(pod, host.ip, HOST_POD + port, protocol, 'clientip');
        assert.equal(addressOf(toHost), pod.ip, `${pod.name} -> ${host.name} over ${protocol}`);
        const toPod = await dial(host, pod.ip, 8080 + port, protocol, 'clientip', HOST_POD);
        assert.equal(addressOf(toPod), host.ip, `${host.name} -> ${pod.name} over ${protocol}`);
        const service = await dial(host, pod.clusterIP, 80 + port, protocol, 'hostname', HOST_POD);
        assert.equal(service, pod.name, `${host.name} -> Service of ${pod.name} over ${protocol}`);
      }
    }
  });

  test('containers of one pod meet on localhost', { skip }, async () => {
    const names = await Promise.all(pods.map((pod) => dial(pod, '127.0.0.1', 9080, 'http', 'hostname')));
    assert.deepEqual(
      names,
      pods.map((pod) => pod.name),
    );
  });

  test('the outside sees the address of the node, and reaches a NodePort on every node', { skip }, async () => {
    await using outside = await outsideHost(machine, '172.30.0.100');
    for (const pod of pods) {
      assert.equal(addressOf(await dial(pod, outside.ip, 8080, 'http', 'clientip')), pod.nodeIP, pod.name);
    }
    const service = JSON.parse(await machine.kubectl('get', 'service', 's-node-2-1', '-o', 'json'));
    const nodePort = service.spec.ports[0].nodePort as number;
    for (const nodeIP of new Set(pods.map((pod) => pod.nodeIP))) {
      const answer = await outside.run('curl', ['-sf', '--max-time', '20', `http://${nodeIP}:${nodePort}/hostname`]);
      assert.equal(answer.trim(), 'node-2-1');
    }
    for (const pod of pods.filter(({ name }) => name.endsWith('-1'))) {
      const ask = (path: string) =>
        outside.run('curl', ['-sf', '--max-time', '20', `http://${pod.nodeIP}:${HOST_PORT}/${path}`]);
      assert.equal((await ask('hostname')).trim(), pod.name, 'a published port');
      assert.equal(addressOf(await ask('clientip')), outside.ip, 'its pod sees who asks');
    }
  });

  test('the machine itself reaches pods, Services and NodePorts', { skip }, async () => {
    const [pod] = pods;
    const service = JSON.parse(await machine.kubectl('get', 'service', `s-${pod!.name}`, '-o', 'json'));
    const nodePort = service.spec.ports[0].nodePort as number;
    for (const target of [
      `${pod!.ip}:8080`,
      `${pod!.clusterIP}:80`,
      ...pods.map((each) => `${each.nodeIP}:${nodePort}`),
    ]) {
      const answer = await machine.must('curl', ['-sf', '--max-time', '20', `http://${target}/hostname`]);
      assert.equal(answer.trim(), pod!.name, target);
    }
  });

  test('a full-size packet passes between nodes without fragments, and a larger one says what fits', {
    skip,
  }, async () => {
    const from = pods.find((pod) => pod.node === 'node-1')!;
    const to = pods.find((pod) => pod.node === 'node-2')!;
    const ping = (bytes: number) =>
      machine.run('kubectl', [
        'exec',
        from.name,
        '-c',
        'port-8080',
        '--',
        'ping',
        '-c1',
        '-W5',
        '-M',
        'do',
        '-s',
        String(bytes),
        to.ip,
      ]);
    const fits = await ping(1450 - 28);
    assert.equal(fits.code, 0, fits.stdout + fits.stderr);
    const tooLarge = await ping(1450 - 27);
    assert.notEqual(tooLarge.code, 0);
    assert.match(tooLarge.stdout + tooLarge.stderr, /mtu ?= ?1450|message too long/i);
  });

  test('a Service whose pods are gone refuses at once, and serves again when one is back', { skip }, async () => {
    const [from, to] = pods as [TestPod, TestPod];
    await machine.kubectl(
      'patch',
      'service',
      `s-${to.name}`,
      '--type=merge',
      '-p',
      '{"spec":{"selector":{"pod":"none"}}}',
    );
    const connect = async () => {
      const query = new URLSearchParams({
        host: to.clusterIP,
        port: '80',
        protocol: 'http',
        request: 'hostname',
        tries: '1',
      });
      return machine.must('curl', ['-s', '--max-time', '30', `http://${from.ip}:8080/dial?${query}`]);
    };
    await until('the Service refuses', async () => /refused/i.test(await connect()));
    await machine.kubectl(
      'patch',
      'service',
      `s-${to.name}`,
      '--type=merge',
      '-p',
      `{"spec":{"selector":{"pod":"${to.name}"}}}`,
    );
    await until('the Service answers', async () => (await connect()).includes(`"${to.name}"`));
  });
}
