// Containers of another runtime on the pod network of a whole cluster: Services, a daemon that dies, and `down`.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { findProgram } from '../../src/cluster/programs.ts';
import { createNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { clusterSkip, inventory, Machine, until } from '../cluster/machine.ts';
import { agentSkip } from './agent-world.ts';
import type { Answer } from './world.ts';

const skip = clusterSkip() ?? (agentSkip || (findProgram('dig') ? false : 'dig is not installed'));

test('a container on a node resolves Services and reaches them; it outlives the daemon, and down takes all away', {
  skip,
}, async () => {
  await using machine = await Machine.create('cnibox');
  const before = await inventory(machine);
  const netns = netnsPath(`${machine.netns}-c`);
  createNetns(netns);
  try {
    await machine.mustPodwire('up', '--nodes', '1', '--demo');
    const [binDir, confDir] = [join(machine.state, 'bin'), join(machine.state, 'net.d')];
    const places = ['--bin-dir', binDir, '--conf-dir', confDir];
    const written = await machine.mustPodwire('cni', 'install', '--node', 'node-1', ...places);
    const [program = '', , conflist = ''] = written.trim().split('\n');
    const { plugins, name, cniVersions } = JSON.parse(readFileSync(conflist, 'utf8'));
    const config = { ...plugins[0], name, cniVersion: cniVersions.at(-1) };
    const call = (verb: string, more: object = {}) => callPlugin(program, verb, netns, { ...config, ...more });

    const added = await call('ADD');
    assert.equal(added.code, 0, JSON.stringify(added.json));
    const prevResult = added.json;
    const [{ address }] = prevResult.ips;
    const inside = (...words: string[]) => machine.must('nsenter', [`--net=${netns}`, ...words]);
    await until('the demo answers by its name', async () => {
      const found = await inside('dig', '+short', '+tries=1', '@10.96.0.10', 'web.demo.svc.cluster.local');
      return (await inside('curl', '-sf', '--max-time', '5', `http://${found.trim()}/hostname`)).startsWith('web-');
    });
    const held = JSON.parse(await machine.mustPodwire('ipam', 'show', '-o', 'json'));
    const ours = held.find((each: { holder: string }) => each.holder === 'guest/eth0');
    assert.deepEqual([`${ours.ip}/32`, ours.state], [address, 'held']);
    assert.equal(held.filter((each: { ip: string }) => each.ip === ours.ip).length, 1);

    const traced = async (...words: string[]) => {
      const { code, stdout, stderr } = await machine.podwire('trace', ...words, '--live', '-o', 'json');
      assert.ok(stdout.startsWith('{'), stderr);
      return [code, JSON.parse(stdout).ways[0].ending.kind];
    };
    // Nobody listens there: a reset, said and seen.
    assert.deepEqual(await traced('demo/client', `${ours.ip}:80`), [3, 'refused']);
    assert.deepEqual(await traced(ours.ip, 'svc/demo/web'), [0, 'delivered']);
    const nameless = await machine.podwire('trace', ours.ip, 'web.demo:80');
    assert.deepEqual([nameless.code, /its own runtime says/.test(nameless.stderr)], [2, true]);

    const pidfile = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
    process.kill(JSON.parse(readFileSync(pidfile, 'utf8')).pid, 'SIGKILL');
    await until('the agent is gone', async () => (await call('STATUS')).json?.code === 51);
    assert.equal((await call('ADD')).json.code, 11);
    await machine.mustPodwire('up', '--nodes', '1');
    const checked = await call('CHECK', { prevResult });
    assert.deepEqual(checked, { code: 0, json: undefined });
    assert.deepEqual(await call('STATUS'), { code: 0, json: undefined });
    const alone = await machine.podwire('cni', 'install', ...places);
    assert.equal(alone.code, 1);
    assert.match(alone.stderr, /is there already, a network of the node in .*\. --network NAME makes one beside it/);
    const ofNode = await machine.podwire('ipam', 'release', ours.ip);
    assert.match(ofNode.stderr, /is of .*guest on node .*\/node-1, no CNI network's\. The node’s agent takes it back/);
    assert.equal((await machine.podwire('cni', 'uninstall', ...places)).code, 1);
    const removed = await machine.mustPodwire('cni', 'uninstall', '--force', ...places);
    assert.equal(removed.trim().split('\n').length, 3);
  } finally {
    await machine.podwire('down');
    removeNamespace(netns);
  }
  assert.deepEqual(await inventory(machine), before);
});

function callPlugin(program: string, verb: string, netns: string, config: object): Promise<Answer> {
  const variables = { CNI_COMMAND: verb, CNI_CONTAINERID: 'guest', CNI_NETNS: netns, CNI_IFNAME: 'eth0' };
  const env = { ...process.env, ...variables, CNI_PATH: dirname(program) };
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const child = spawn(program, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.on('error', reject);
  child.on('close', (code) => resolve({ code: code ?? -1, json: stdout === '' ? undefined : JSON.parse(stdout) }));
  child.stdin.end(JSON.stringify(config));
  return promise;
}
