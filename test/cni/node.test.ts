// The verbs on a node's own network: addresses, rules and restarts of a node's agent, called by the thin client.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { heldByNode } from '../../src/cni/audit.ts';
import { nodeSocket } from '../../src/cni/call.ts';
import { installProgram } from '../../src/cni/install.ts';
import { type NodeCni, startNodeCni } from '../../src/node/cni.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, type TestNode, talk } from '../node/cluster-net.ts';
import { agentSkip as skip } from './agent-world.ts';
import { type Answer, plugin } from './world.ts';

let count = 0;

/** Nodes with the CNI side of their agents, and containers that no agent made. */
class Nodes implements Disposable {
  readonly net: ClusterNet;
  readonly #dir = mkdtempSync(join(tmpdir(), 'pwt-cni-node-'));
  readonly #containers: string[] = [];
  readonly #served = new Map<TestNode, NodeCni>();
  missing: string[] = [];

  constructor(podCIDR = '10.244.0.0/24') {
    this.net = new ClusterNet(`cni${process.pid}x${count++}`, [
      { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: [podCIDR] },
      { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24'] },
    ]);
  }

  get first(): TestNode {
    return this.net.nodes[0]!;
  }

  async serve(node = this.first): Promise<TestNode> {
    const { options, network, kernel } = node;
    this.#served.set(node, await startNodeCni({ options, network, kernel, missing: () => this.missing }));
    return node;
  }

  /** As if its agent had been killed. */
  stop(node = this.first): void {
    this.#served.get(node)?.close();
    this.#served.delete(node);
    node.reconciler.close();
    node.overlay.close();
  }

  /** The next agent of the same node. */
  async restart(node: TestNode): Promise<TestNode> {
    const next = this.net.startNode(node);
    this.net.nodes[this.net.nodes.indexOf(node)] = next;
    node.kernel.close();
    return this.serve(next);
  }

  container(): string {
    const path = netnsPath(`pwt-cnic-${process.pid}-${count++}`);
    createNetns(path);
    this.#containers.push(path);
    return path;
  }

  config(more: object = {}): object {
    const nodeDir = this.first.options.stateDir;
    return { cniVersion: '1.1.0', name: 'pods', type: 'podwire-cni', nodeDir, ...more };
  }

  call(
    verb: string,
    config: object,
    { netns, container = 'c1', before = [] as string[], ifname = 'eth0', program = this.client() } = {} as Asked,
  ) {
    const binDir = join(this.#dir, 'bin');
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const env = { CNI_COMMAND: verb, CNI_CONTAINERID: container, CNI_IFNAME: ifname, CNI_PATH: binDir };
    const words = [...before, program];
    const child = spawn(words[0]!, words.slice(1), {
      env: { ...process.env, ...env, ...(netns !== undefined && { CNI_NETNS: netns }) },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let stdout = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, json: stdout === '' ? undefined : JSON.parse(stdout) }));
    child.stdin.end(JSON.stringify(config));
    return promise;
  }

  /** The thin client of the agent at a socket. */
  client(socket = nodeSocket(this.first.options.stateDir)): string {
    const binDir = join(this.#dir, 'bin');
    return installProgram({ binDir, socket, fallback: plugin(), architecture: process.arch })[0]!;
  }

  async must(verb: string, config: object, asked: Asked = {}) {
    const { code, json } = await this.call(verb, config, asked);
    if (code !== 0) throw new Error(`${verb}: ${JSON.stringify(json)}`);
    return json;
  }

  links(node = this.first): string[] {
    const links = JSON.parse(execFileSync('nsenter', [`--net=${node.netns}`, 'ip', '-j', 'link']).toString());
    return links.map((each: { ifname: string }) => each.ifname).filter((name: string) => /^pw[0-9a-f]{12}$/.test(name));
  }

  [Symbol.dispose](): void {
    for (const served of this.#served.values()) served.close();
    this.net[Symbol.dispose]();
    for (const path of this.#containers) removeNamespace(path);
    rmSync(this.#dir, { recursive: true });
  }
}

interface Asked {
  readonly netns?: string;
  readonly container?: string;
  readonly ifname?: string;
  /** Words that start the plugin. */
  readonly before?: string[];
  readonly program?: string;
}

test('a container has an address of the node, beside its own pods, and reaches pods of every node', {
  skip,
}, async () => {
  using nodes = new Nodes();
  const node = await nodes.serve();
  const pod = nodes.net.addPod(node, 'own');
  const far = nodes.net.addPod(nodes.net.nodes[1]!, 'far');
  const netns = nodes.container();
  const config = nodes.config();
  const result = await nodes.must('ADD', config, { netns });
  assert.deepEqual([pod.ip, result.ips[0].address], ['10.244.0.1', '10.244.0.2/32']);
  assert.deepEqual(result.dns.nameservers, ['10.96.0.10']);
  const [link] = JSON.parse(execFileSync('nsenter', [`--net=${netns}`, 'ip', '-j', 'link', 'show', 'eth0']).toString());
  assert.equal(link.mtu, result.interfaces[1].mtu);
  for (const { netns: other, ip } of [pod, far]) {
    await using server = await serveIn(other, ip);
    assert.equal((await talk(netns, ip, server.port))[0], '10.244.0.2');
  }
  await nodes.must('CHECK', { ...config, prevResult: result }, { netns });
  await nodes.must('STATUS', config);
  const again = await nodes.call('ADD', config, { netns });
  assert.deepEqual([again.code, again.json.code], [1, 4]);
  await nodes.must('DEL', config, { netns });
  await until('its interface is gone', async () => nodes.links().length === 1);
  await nodes.must('DEL', config, { netns });
  assert.equal(nodes.net.addPod(node, 'next').ip, '10.244.0.3');
});

test('a node’s agent answers whatever agent the folder of plugins knows: another node’s, none, or without the thin client', {
  skip,
}, async () => {
  using nodes = new Nodes();
  const [first, second] = nodes.net.nodes as [TestNode, TestNode];
  await nodes.serve(first);
  await nodes.serve(second);
  const ofSecond = nodes.config({ nodeDir: second.options.stateDir });
  const clients = {
    another: nodes.client(nodeSocket(first.options.stateDir)),
    alone: plugin(),
  };
  for (const [container, program] of Object.entries(clients)) {
    const call = { container, netns: nodes.container(), program };
    const prevResult = await nodes.must('ADD', ofSecond, call);
    assert.match(prevResult.ips[0].address, /^10\.244\.1\.\d+\/32$/, container);
    await nodes.must('CHECK', { ...ofSecond, prevResult }, call);
    const again = await nodes.call('ADD', ofSecond, call);
    assert.deepEqual([again.code, again.json.code], [1, 4], container);
    await nodes.must('DEL', ofSecond, call);
  }
  await until('no interface is left', async () => nodes.links(second).length === 0);
  const call = { container: 'none', netns: nodes.container(), program: nodes.client('/nonexistent/cni.sock') };
  await nodes.must('ADD', ofSecond, call);
  nodes.stop(second);
  assert.deepEqual((await nodes.call('STATUS', ofSecond, call)).json.code, 51);
});

test('published ports, a chosen MAC and a chosen address; CHECK says what drifted', { skip }, async () => {
  using nodes = new Nodes();
  const node = await nodes.serve();
  const [netns, client] = [nodes.container(), nodes.net.addPod(nodes.net.nodes[1]!, 'client')];
  await using server = await serveIn(netns, '0.0.0.0');
  const runtimeConfig = {
    portMappings: [{ hostPort: 8080, containerPort: server.port, protocol: 'tcp' }],
    mac: '02:00:00:00:12:34',
    ips: ['10.244.0.77/24'],
  };
  const config = nodes.config({ runtimeConfig });
  const prevResult = await nodes.must('ADD', config, { netns });
  assert.deepEqual([prevResult.ips[0].address, prevResult.interfaces[1].mac], ['10.244.0.77/32', runtimeConfig.mac]);
  assert.equal((await talk(client.netns, '172.30.0.11', 8080))[1], 'ping');
  await nodes.must('CHECK', { ...config, prevResult }, { netns });
  const drift = async (where: string, ...words: string[]) => {
    execFileSync('nsenter', [`--net=${where}`, ...words]);
    const { json } = await nodes.call('CHECK', { ...config, prevResult }, { netns });
    assert.equal(json?.code, 101);
    return json.msg;
  };
  assert.match(await drift(node.netns, 'nft', 'flush', 'ruleset'), /nft .* is gone/);
  await node.reconciler.repair();
  assert.match(await drift(netns, 'ip', 'route', 'del', 'default'), /the route to 0\.0\.0\.0\/0 .* is gone/);
  assert.match(await drift(netns, 'ip', 'addr', 'flush', 'dev', 'eth0'), /has lost its address 10\.244\.0\.77\/32/);
  const taken = await nodes.call('ADD', config, { netns: nodes.container(), container: 'c2' });
  assert.deepEqual([taken.code, taken.json.code], [1, 7]);
  const unknown = await nodes.call('CHECK', { ...config, prevResult }, { netns, container: 'nobody' });
  assert.equal(unknown.json.code, 3);
});

test('STATUS is 50 without addresses or before the node is ready, and ADD then 11; GC gives addresses back', {
  skip,
}, async () => {
  using nodes = new Nodes('10.244.0.0/30');
  await nodes.serve();
  nodes.missing = ['Services'];
  const early = await nodes.call('STATUS', nodes.config());
  assert.equal(early.json.code, 50);
  assert.match(early.json.msg, /node-1 is starting: no Services yet/);
  nodes.missing = [];
  const calls = ['a', 'b', 'c'].map((container) => ({ container, netns: nodes.container() }));
  for (const call of calls.slice(0, 2)) await nodes.must('ADD', nodes.config(), call);
  const full = await nodes.call('STATUS', nodes.config());
  assert.deepEqual([full.code, full.json.code], [1, 50]);
  assert.match(full.json.msg, /no free address in 10\.244\.0\.0\/30/);
  assert.equal((await nodes.call('ADD', nodes.config(), calls[2])).json.code, 11);
  const valid = [{ containerID: 'b', ifname: 'eth0' }];
  await nodes.must('GC', nodes.config({ name: 'another', 'cni.dev/valid-attachments': [] }));
  assert.equal((await nodes.call('STATUS', nodes.config())).json.code, 50);
  await nodes.must('GC', nodes.config({ 'cni.dev/valid-attachments': valid }));
  await until('one interface is left', async () => nodes.links().length === 1);
  assert.deepEqual(
    heldByNode(nodes.first.options.stateDir, 'node-1').map(({ holder, state }) => [holder, state]),
    [['b/eth0', 'held']],
  );
});

test('while no agent is there: ADD and CHECK are 11, STATUS 51, DEL is put down for the next one', {
  skip,
}, async () => {
  using nodes = new Nodes();
  const node = await nodes.serve();
  const calls = ['stays', 'deleted', 'lost'].map((container) => ({ container, netns: nodes.container() }));
  const config = nodes.config();
  const results: object[] = [];
  for (const call of calls) results.push(await nodes.must('ADD', config, call));
  const own = nodes.net.addPod(node, 'own');
  nodes.stop();
  const codes = async (verb: string) =>
    (await nodes.call(verb, { ...config, prevResult: results[0] }, calls[0])).json.code;
  assert.deepEqual([await codes('ADD'), await codes('CHECK'), await codes('STATUS')], [11, 11, 51]);
  await nodes.must('DEL', config, calls[1]);
  removeNamespace(calls[2]!.netns);
  const next = await nodes.restart(node);
  // The new agent's pods claim what is theirs.
  next.network.attach({ sandboxId: 'own', netns: own.netns, podUid: 'own', podNamespace: 'default', podName: 'own' });
  next.network.retain(new Set(['own']));
  await next.reconciler.repair();
  await nodes.must('CHECK', { ...config, prevResult: results[0] }, calls[0]);
  const held = heldByNode(next.options.stateDir, 'node-1');
  assert.deepEqual(
    held.map(({ ip, holder }) => [ip, holder]),
    [
      ['10.244.0.1', 'stays/eth0'],
      ['10.244.0.4', 'own'],
    ],
  );
  await using server = await serveIn(own.netns, own.ip);
  assert.equal((await talk(calls[0]!.netns, own.ip, server.port))[0], '10.244.0.1');
  await until('two interfaces are left', async () => nodes.links().length === 2);
});

test('a container whose runtime died gives its address back by itself', { skip }, async () => {
  using nodes = new Nodes();
  const node = await nodes.serve();
  const netns = nodes.container();
  await nodes.must('ADD', nodes.config(), { netns });
  removeNamespace(netns);
  await until('the lease is gone', async () => heldByNode(node.options.stateDir, 'node-1').length === 0);
});

test('a namespace that only the caller sees is found by its file descriptor, and kept', { skip }, async () => {
  using nodes = new Nodes();
  const node = await nodes.serve();
  const pod = nodes.net.addPod(node, 'own');
  await using server = await serveIn(pod.netns, pod.ip);
  const netns = nodes.container();
  // Another mount over the folder: what lies in it is the caller's alone.
  const hidden = `${netns}-hidden`;
  const script = `mount -t tmpfs none /run/netns && touch ${hidden} && mount --bind "$1" ${hidden} && shift && exec "$@"`;
  const before = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c'];
  const inside = (fd: string) => [...before, script, 'sh', fd];
  const keep = spawn('nsenter', [`--net=${netns}`, 'sleep', '600'], { stdio: 'ignore' });
  try {
    const home = readlinkSync('/proc/self/ns/net');
    await until('the process is inside', async () => readlinkSync(`/proc/${keep.pid}/ns/net`) !== home);
    for (const [program, ip] of [
      [nodes.client(), '10.244.0.2'],
      [plugin(), '10.244.0.3'],
    ] as const) {
      const call = { netns: hidden, before: inside(`/proc/${keep.pid}/ns/net`), program };
      assert.equal(existsSync(hidden), false);
      const prevResult = await nodes.must('ADD', nodes.config(), call);
      assert.equal((await talk(netns, pod.ip, server.port))[0], ip);
      await nodes.must('CHECK', nodes.config({ prevResult }), call);
      await nodes.must('DEL', nodes.config(), call);
      await until('its interface is gone', async () => nodes.links().length === 1);
    }
  } finally {
    keep.kill('SIGKILL');
  }
});
