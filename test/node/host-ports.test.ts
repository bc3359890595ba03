// Published ports with real packets: from outside, from the node, from pods, over both families; what becomes of UDP flows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { Socket } from 'node:dgram';
import { on } from 'node:events';
import { after, before, test } from 'node:test';
import type { IP } from '../../src/addr/ip.ts';
import type { HostPort } from '../../src/plan/host-ports.ts';
import { NETNS_DIR } from '../../src/sys/netns.ts';
import { ClusterNet, serveIn, type TestNode, type TestPod, talk, udpSocketIn } from './cluster-net.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const NODES = [1, 2].map((i) => ({
  name: `node-${i}`,
  ips: [`172.30.0.1${i}`, `fd00:172:30::1${i}`],
  podCIDRs: [`10.244.${i}.0/24`, `fd00:10:244:${i}::/64`],
}));
const OUTSIDE = ['172.30.0.1', 'fd00:172:30::1'];

let net: ClusterNet;
let one: TestNode;
let two: TestNode;

before(() => {
  if (skip) return;
  net = new ClusterNet(`t${process.pid}p`, NODES);
  [one, two] = [net.nodes[0]!, net.nodes[1]!];
  net.enforceRules();
});

after(() => net?.[Symbol.dispose]());

function publish(node: TestNode, sandboxId: string, hostPorts: readonly HostPort[]): TestPod {
  return net.addPod(node, sandboxId, { hostPorts });
}

function ruleset(node: TestNode): string {
  return execFileSync('nsenter', [`--net=${node.netns}`, 'nft', 'list', 'ruleset'], { encoding: 'utf8' });
}

for (const [i, family] of (['IPv4', 'IPv6'] as const).entries()) {
  test(`${family}: everybody reaches a published port and is seen under the own address`, { skip }, async () => {
    const tcp = { hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const;
    const pod = publish(one, `s${i}`, [tcp]);
    const near = net.addPod(one, `n${i}`);
    const far = net.addPod(two, `f${i}`);
    const at = one.ips[i]!;
    await using _server = await serveIn(pod.netns, pod.ips[i]!, 80);
    for (const [who, netns, address] of [
      ['outside', net.host, OUTSIDE[i]],
      ['the node', one.netns, at],
      ['another node', two.netns, two.ips[i]],
      ['a pod of the node', near.netns, near.ips[i]],
      ['a pod of another node', far.netns, far.ips[i]],
    ] as const) {
      assert.deepEqual(await talk(netns, at, 8080), [address, 'ping'], who);
    }
    // The pod itself: its own address would come back to it from nowhere.
    assert.deepEqual(await talk(pod.netns, at, 8080), [at, 'ping']);
    for (const other of [pod, near, far]) net.detach(other);
    await assert.rejects(talk(net.host, at, 8080), { code: 'ECONNREFUSED' });
  });

  test(`${family}: a port of one address is on that alone`, { skip }, async () => {
    const [at, second] = [one.ips[i]!, i === 0 ? '172.30.0.91' : 'fd00:172:30::91'];
    const inNode = (...args: string[]) => execFileSync('ip', ['-n', one.netns.slice(NETNS_DIR.length + 1), ...args]);
    inNode('addr', 'add', `${second}/${i === 0 ? 32 : 128}`, 'dev', 'eth0', ...(i === 1 ? ['nodad'] : []));
    const tcp = { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: second } as const;
    const pod = publish(one, `h${i}`, [tcp]);
    await using _server = await serveIn(pod.netns, pod.ips[i]!, 80);
    assert.deepEqual(await talk(net.host, second, 8080), [OUTSIDE[i], 'ping']);
    assert.deepEqual(await talk(one.netns, second, 8080), [second, 'ping']);
    await assert.rejects(talk(net.host, at, 8080), { code: 'ECONNREFUSED' });
    net.detach(pod);
    inNode('addr', 'del', `${second}/${i === 0 ? 32 : 128}`, 'dev', 'eth0');
  });

  test(`${family}: a UDP client that never stops finds the pod that has the port now`, { skip }, async () => {
    const udp = { hostPort: 5353, containerPort: 53, protocol: 'udp' } as const;
    const at = one.ips[i]!;
    await using client = udpClient(net.host, OUTSIDE[i]!);
    // Nobody is there yet: such a flow is tracked too.
    await client.send(at, 5353);
    for (const name of [`u${i}`, `v${i}`, `w${i}`]) {
      const pod = publish(one, name, [udp]);
      {
        await using _server = await udpServer(pod, i);
        assert.equal(await client.ask(at, 5353), `${name} saw ${OUTSIDE[i]}`);
      }
      net.detach(pod);
    }
    const flows = execFileSync(
      'nsenter',
      [`--net=${one.netns}`, 'conntrack', '-L', '-p', 'udp', '-f', i === 0 ? 'ipv4' : 'ipv6'],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    assert.doesNotMatch(flows, /dport=5353/);
  });
}

test('a port is on the loopback of the node, alone where it is asked for, over TCP and UDP', { skip }, async () => {
  const at = one.ips[0]!;
  const tcp = { hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const;
  const udp = { hostPort: 5353, containerPort: 53, protocol: 'udp' } as const;
  for (const hostIP of ['127.0.0.1', undefined]) {
    const where = hostIP === undefined ? {} : { hostIP };
    await using client = udpClient(one.netns, '127.0.0.1');
    // Nobody is there yet: such a flow is tracked too.
    await client.send('127.0.0.1', 5353);
    const pod = publish(one, `l${hostIP}`, [
      { ...tcp, ...where },
      { ...udp, ...where },
    ]);
    await using _server = await serveIn(pod.netns, pod.ip, 80);
    await using _names = await udpServer(pod, 0);
    assert.deepEqual(await talk(one.netns, '127.0.0.1', 8080), [at, 'ping']);
    assert.equal(await client.ask('127.0.0.1', 5353), `l${hostIP} saw ${at}`);
    if (hostIP === undefined) assert.deepEqual(await talk(one.netns, at, 8080), [at, 'ping']);
    else await assert.rejects(talk(one.netns, at, 8080), { code: 'ECONNREFUSED' });
    net.detach(pod);
    await assert.rejects(talk(one.netns, '127.0.0.1', 8080), { code: 'ECONNREFUSED' });
  }
});

test('a pod with a port on the loopback does not reach what else listens there', { skip }, async () => {
  const at = one.ips[0]!;
  const pod = publish(one, 'g', [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '127.0.0.1' }]);
  const inPod = (command: string) => execFileSync('nsenter', [`--net=${pod.netns}`, 'sh', '-ec', command]);
  // What only a pod with CAP_NET_ADMIN can do, or one that makes its packets itself.
  inPod(`ip addr del 127.0.0.1/8 dev lo; sysctl -qw net.ipv4.conf.eth0.route_localnet=1`);
  inPod(`ip route add 127.0.0.1 via 169.254.1.1 dev eth0 onlink src ${pod.ip}`);
  const heard: string[] = [];
  const servers = [udpSocketIn(one.netns, '127.0.0.1', 4444), udpSocketIn(one.netns, at, 4445)];
  const client = udpSocketIn(pod.netns, pod.ip);
  const all = on(servers[1]!, 'message', { signal: AbortSignal.timeout(30_000) });
  try {
    servers[0]!.on('message', (message) => heard.push(String(message)));
    const ask = async (question: string) => {
      client.send(question, 4444, '127.0.0.1');
      client.send('after that', 4445, at);
      // Packets of one pod stay in order.
      await all.next();
    };
    await ask('with the guard');
    assert.deepEqual(heard, []);
    execFileSync('nsenter', [`--net=${one.netns}`, 'nft', 'delete chain ip podwire host-ports-guard']);
    const got = on(servers[0]!, 'message', { signal: AbortSignal.timeout(30_000) });
    await ask('without');
    await got.next();
    assert.deepEqual(heard, ['without']);
  } finally {
    for (const socket of [...servers, client]) await closed(socket);
    await one.reconciler.repair();
    net.detach(pod);
  }
});

test('rules name the pod, SCTP has its own, and with the last pod all of it is gone', { skip }, () => {
  const before = ruleset(one);
  const sctp = { hostPort: 9999, containerPort: 99, protocol: 'sctp' } as const;
  const pods = ['r1', 'r2'].map((name, i) =>
    publish(one, name, [
      { ...sctp, hostPort: 9999 + i },
      { hostPort: 7000 + i, containerPort: 7000, protocol: 'tcp' },
    ]),
  );
  const during = ruleset(one);
  assert.match(during, /sctp \. 9999 comment "Pod\/default\/r1" : 10\.244\.1\.\d+ \. 99/);
  assert.match(during, /tcp \. 7001 comment "Pod\/default\/r2" : fd00:10:244:1::\w+ \. 7000/);
  net.detach(pods[0]!);
  assert.doesNotMatch(ruleset(one), /default\/r1/);
  assert.match(ruleset(one), /default\/r2/);
  net.detach(pods[1]!);
  assert.equal(ruleset(one), before);
});

interface UdpClient extends AsyncDisposable {
  send(to: IP, port: number): Promise<void>;
  /** Asks until somebody answers. */
  ask(to: IP, port: number): Promise<string>;
}

/** Always from the same port. */
function udpClient(netns: string, ip: IP): UdpClient {
  const socket = udpSocketIn(netns, ip);
  const put = (question: string, to: IP, port: number) =>
    new Promise<void>((resolve) => socket.send(question, port, to, () => resolve()));
  let count = 0;
  return {
    send: (to, port) => put('who?', to, port),
    async ask(to, port) {
      // Answers to what was asked before may come late.
      const question = `who? ${count++}`;
      const again = setInterval(() => void put(question, to, port), 50);
      try {
        for await (const [message] of on(socket, 'message', { signal: AbortSignal.timeout(30_000) })) {
          const [answer, asked] = String(message).split('; ');
          if (asked === question) return answer!;
        }
        throw new Error('unreachable');
      } finally {
        clearInterval(again);
      }
    },
    [Symbol.asyncDispose]: () => closed(socket),
  };
}

async function udpServer({ netns, ips, sandboxId }: TestPod, family: number): Promise<AsyncDisposable> {
  const socket = udpSocketIn(netns, ips[family]!, 53);
  socket.on('message', (question, from) =>
    socket.send(`${sandboxId} saw ${from.address}; ${question}`, from.port, from.address),
  );
  return { [Symbol.asyncDispose]: () => closed(socket) };
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}
