// The commands beside up and down: node exec, image, check, status; and what of a cluster the machine's other users can see.
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BUSYBOX, busyboxLayers, dockerSave, ociLayout } from '../runtime/archives.ts';
import { clusterSkip, kubectlSkip, Machine, PODWIRE, until } from './machine.ts';

const skip = clusterSkip() ?? false;
const imageSkip = kubectlSkip() ?? (existsSync(BUSYBOX) ? false : 'busybox-static is not installed');
let machine: Machine;

const imagePod = (name: string, image: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { restartPolicy: 'Never', containers: [{ name: 'c', image }] },
});

describe('a cluster of one node', { skip }, () => {
  before(async () => {
    machine = await Machine.create('cmd');
    // As sudo tells who the user is.
    await machine.must('env', ['SUDO_UID=65534', 'SUDO_GID=65534', PODWIRE, 'up', '--nodes', '1']);
  });
  after(async () => {
    await machine[Symbol.asyncDispose]();
  });

  test('node exec runs a command in the node, with its input, output and exit code', async () => {
    const exec = (...words: string[]) => machine.podwire('node', 'exec', 'node-1', '--', ...words);
    const routes = JSON.parse((await exec('ip', '-j', 'route')).stdout) as { dst: string }[];
    assert.ok(routes.some(({ dst }) => dst === '172.30.0.0/24'));
    assert.equal((await exec('sh', '-c', 'exit 7')).code, 7);
    assert.equal((await exec('sh', '-c', 'kill -9 $$')).code, 137);
    assert.equal((await exec('printf', '%s', '--name')).stdout, '--name');
    const piped = await machine.run('sh', ['-c', '"$0" node exec node-1 -- wc -c', PODWIRE], 'x'.repeat(70_000));
    assert.equal(piped.stdout.trim(), '70000');
    const unknown = await exec('no-such-program');
    assert.deepEqual([unknown.code, unknown.stderr.trim().split('\n').length], [127, 1]);
    const nowhere = await machine.podwire('node', 'exec', 'node-7', '--', 'true');
    assert.match(nowhere.stderr, /has no node "node-7"\. Its nodes are node-1\n$/);
    assert.equal(nowhere.code, 1);
  });

  test('image load, ls and rm; a pod runs the image as its config says', { skip: imageSkip }, async () => {
    const layers = busyboxLayers(machine.state);
    await machine.apply(JSON.stringify(imagePod('early', 'box:v1')));
    const state = async (pod: string) =>
      JSON.parse(await machine.kubectl('get', 'pod', pod, '-o', 'json')).status.containerStatuses?.[0]?.state ?? {};
    await until('the image is missing', async () => (await state('early')).waiting?.reason === 'ErrImagePull');
    assert.match((await state('early')).waiting.message, /podwire image load/);

    const loaded = await machine.mustPodwire('image', 'load', dockerSave(machine.state, layers, ['box:v1']));
    assert.match(loaded, /^Loaded docker\.io\/library\/box:v1 \(\d+\.\d MiB unpacked\)\.\n$/);
    const { file } = ociLayout(machine.state, layers, 'registry.example/box:v2');
    await machine.mustPodwire('image', 'load', file);
    const [image, ...more] = JSON.parse(await machine.mustPodwire('image', 'ls', '-o', 'json'));
    assert.deepEqual(image.names.sort(), ['docker.io/library/box:v1', 'registry.example/box:v2']);
    assert.deepEqual(more, []);
    assert.match(await machine.mustPodwire('image', 'ls'), /^IMAGE +REF +SIZE +LOADED\n/);

    await machine.apply(JSON.stringify(imagePod('late', 'registry.example/box:v2')));
    for (const pod of ['early', 'late']) {
      await until(`${pod} has run`, async () => (await state(pod)).terminated?.exitCode === 0);
      const lines = (await machine.kubectl('logs', pod)).trim().split('\n');
      assert.deepEqual(lines, ['from the image', 'uid=1001(app) gid=1002(app) groups=50(staff)', '/home/app', 'sour']);
    }
    // As podman saves it.
    const saved = await machine.mustPodwire('image', 'load', dockerSave(machine.state, layers, ['localhost/cask:v1']));
    assert.match(saved, /^Loaded .*localhost\/cask:v1/);
    await machine.apply(JSON.stringify(imagePod('short', 'cask:v1')));
    await until('it is found without localhost', async () => (await state('short')).terminated?.exitCode === 0);
    await machine.mustPodwire('image', 'rm', 'cask:v1');
    await machine.kubectl('delete', 'pod', 'early', 'late', 'short');
    await machine.mustPodwire('image', 'rm', 'box:v1');
    await machine.mustPodwire('image', 'rm', 'registry.example/box:v2');
    assert.deepEqual(JSON.parse(await machine.mustPodwire('image', 'ls', '-o', 'json')), []);
    const folder = await machine.podwire('image', 'load', machine.state);
    assert.match(folder.stderr, /is a folder\. Make an archive of an OCI layout: tar -C /);
    const again = await machine.podwire('image', 'rm', 'box:v1');
    assert.deepEqual(
      [again.code, again.stderr],
      [1, 'podwire: there is no loaded image box:v1. Try: podwire image ls\n'],
    );
  });

  test('check looks the machine over, and says all that it found', async () => {
    const rows = JSON.parse((await machine.podwire('check', '-o', 'json')).stdout) as { what: string; state: string }[];
    const state = (what: string) => rows.find((row) => row.what === what)?.state;
    for (const what of ['privilege', 'veth', 'vxlan', 'nftables with NAT', 'overlayfs'])
      assert.equal(state(what), 'ok', what);
    assert.match((await machine.podwire('check')).stdout, /^CHECK +STATE +DETAIL\n/);
    // Without the folders in which conmon stands.
    const poor = await machine.run('env', [
      `PATH=${join(process.execPath, '..')}`,
      process.execPath,
      cliScript(),
      'check',
    ]);
    assert.equal(poor.code, 1);
    assert.match(poor.stdout, /conmon: apt-get install -y --no-install-recommends conmon/);
  });

  test('every command has help with an example, and a version', async () => {
    for (const command of [
      'up',
      'down',
      'status',
      'kubeconfig',
      'check',
      'node exec',
      'image load',
      'image ls',
      'image rm',
    ]) {
      const help = await machine.mustPodwire(...command.split(' '), '--help');
      assert.equal(/--name <name>/.test(help), !command.startsWith('image'), command);
      assert.match(help, new RegExp(`\\nExample:\\n  .*podwire ${command}`), command);
    }
    assert.match(await machine.mustPodwire('--version'), /^\d+\.\d+\.\d+\n$/);
    assert.equal((await machine.podwire('status', '-o', 'yaml')).code, 2);
  });

  test('a cluster that is not there: each command names those that are, and what starts one', async () => {
    const commands = [
      ['status'],
      ['kubeconfig'],
      ['check'],
      ['lb'],
      ['flows'],
      ['dns'],
      ['dns', 'trace', 'a', 'b'],
      ['trace', 'a', 'b'],
      ['policy', 'matrix'],
      ['node', 'add'],
      ['node', 'exec', 'node-1', '--', 'true'],
      ['overlay', 'show'],
      ['overlay', 'set', 'vxlan'],
      ['ipam', 'show'],
      ['cni', 'install', '--node', 'node-1', '--bin-dir', machine.state, '--conf-dir', machine.state],
    ];
    const { cluster } = machine;
    for (const [verb, ...words] of commands) {
      const at = verb === 'node' && words[0] === 'exec' ? 1 : words.length;
      const outcome = await machine.podwire(verb!, ...words.slice(0, at), '--name', 'nix', ...words.slice(at));
      assert.equal(outcome.code, 1, words.join(' '));
      assert.match(
        outcome.stderr,
        new RegExp(
          `^podwire: there is no cluster nix\\. There is ${cluster} \\(--name ${cluster}\\); podwire up --name nix starts it`,
        ),
      );
    }
  });

  test('check and down of no cluster in particular name those that are there', async () => {
    const { cluster } = machine;
    const checked = await machine.run('env', ['-u', 'PODWIRE_CLUSTER', PODWIRE, 'check']);
    assert.ok(checked.stdout.endsWith(`\nThe paths of ${cluster}: podwire check --name ${cluster}\n`), checked.stdout);
    const ended = await machine.podwire('down', '--name', 'nix');
    assert.deepEqual(
      [ended.code, ended.stderr],
      [
        1,
        `podwire: there is no cluster nix. Try: podwire down --name ${cluster}, of ${cluster}; or podwire down --all\n`,
      ],
    );
  });

  test('a wrong call says what there is', async () => {
    const said = async (...words: string[]) => {
      const { code, stderr } = await machine.podwire(...words);
      return [code, stderr.trim()];
    };
    assert.deepEqual(await said('image', 'pull'), [
      2,
      "podwire: unknown command 'pull'\n(podwire image has load, ls, rm; --help says more)",
    ]);
    assert.deepEqual(await said('overlay', 'set'), [
      2,
      "podwire: missing required argument 'backend'\n(podwire overlay set --help shows an example)",
    ]);
    assert.deepEqual(await said('up', '--overley', 'vxlan'), [
      2,
      "podwire: unknown option '--overley'\n(Did you mean --overlay?)\n(podwire up --help shows an example)",
    ]);
  });

  test('keys, logs and pods’ files are for root alone, the kubeconfig for who ran sudo', async () => {
    const dir = join(machine.state, 'clusters', machine.cluster);
    const mode = (file: string) => (statSync(join(dir, file)).mode & 0o777).toString(8);
    assert.deepEqual(['kubeconfig', 'api', 'nodes', 'daemon.log'].map(mode), ['600', '700', '700', '640']);
    const owner = (file: string) => statSync(join(dir, file)).uid;
    assert.deepEqual(['kubeconfig', 'api', 'nodes', 'daemon.log'].map(owner), [65534, 0, 0, 0]);
  });

  test('the user behind sudo is told what to type', async () => {
    const said = await machine.must('env', ['SUDO_UID=65534', 'SUDO_GID=65534', PODWIRE, 'status', '--next-steps']);
    assert.match(
      said,
      new RegExp(`\n {2}sudo \\S*podwire node exec --name ${machine.cluster} node-1 -- nft list map `),
    );
  });

  test('a plain user is told that it takes root', async () => {
    for (const words of [
      ['status'],
      ['image', 'ls'],
      ['down'],
      ['node', 'exec', 'node-1', '--', 'true'],
      ['ipam', 'show'],
      ['ipam', 'check'],
      ['cni', 'show'],
    ]) {
      const outcome = await machine.run('unshare', ['--user', process.execPath, cliScript(), ...words]);
      assert.deepEqual(
        [outcome.code, /needs root.* Run it with sudo\n$/.test(outcome.stderr)],
        [1, true],
        words.join(' '),
      );
    }
  });

  test('the machine hears the API server on loopback only, and nothing else', async () => {
    const listening = (await machine.must('ss', ['-H', '-ltun'])).trim().split('\n').filter(Boolean);
    assert.equal(listening.length, 1, listening.join('\n'));
    assert.match(listening[0]!, /^tcp +LISTEN .* 127\.0\.0\.1:\d+ /);
  });
});

const cliScript = () => join(import.meta.dirname, '..', '..', 'bin', 'podwire.js');
