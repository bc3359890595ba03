// containerd's CRI, as a kubelet calls it: a pod sandbox on our network publishes a port, and leaves nothing.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findProgram } from '../../src/cluster/programs.ts';
import { heldInNetworks } from '../../src/cni/audit.ts';
import { until } from '../cluster/machine.ts';
import { criCall, type Message } from './cri-client.ts';
import { NODE_IP, plugin, REFERENCE, rootSkip, World } from './world.ts';

const CGROUPS = '/sys/fs/cgroup';
/** The sandbox's cgroup goes below one of the test's own. */
const CGROUP = `pwt-cri-${process.pid}`;

const missing = ['containerd', 'ctr', 'runc', 'busybox'].filter((program) => !findProgram(program));
const skip =
  rootSkip ||
  (missing.length > 0 ? `${missing.join(' and ')} not installed` : false) ||
  (existsSync(join(REFERENCE, 'loopback')) ? false : `no loopback plugin in ${REFERENCE}`);

/** The sandbox's own program is the server: no further container is needed. */
function webImage(dir: string): string {
  const rootfs = join(dir, 'image-root');
  for (const folder of ['bin', 'www', 'tmp', 'proc', 'sys', 'dev', 'etc'])
    mkdirSync(join(rootfs, folder), { recursive: true });
  copyFileSync(findProgram('busybox')!, join(rootfs, 'bin', 'busybox'));
  writeFileSync(join(rootfs, 'www', 'index.html'), 'hello');
  const image = join(dir, 'image');
  mkdirSync(image);
  execFileSync('tar', ['-C', rootfs, '-cf', join(image, 'layer.tar'), '.']);
  const sum = execFileSync('sha256sum', [join(image, 'layer.tar')], { encoding: 'utf8' }).split(' ')[0];
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/www'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sum}`] },
  };
  writeFileSync(join(image, 'config.json'), JSON.stringify(config));
  const manifest = [{ Config: 'config.json', RepoTags: ['podwire.test/web:1'], Layers: ['layer.tar'] }];
  writeFileSync(join(image, 'manifest.json'), JSON.stringify(manifest));
  execFileSync('tar', ['-C', image, '-cf', join(dir, 'image.tar'), 'manifest.json', 'config.json', 'layer.tar']);
  return join(dir, 'image.tar');
}

function conflist(world: World): object {
  const capabilities = { portMappings: true, bandwidth: true };
  const ipam = { type: 'podwire', ranges: [[{ subnet: '10.88.0.0/16' }]] };
  const ours = { type: 'podwire-cni', dataDir: join(world.dir, 'data'), ipMasq: true, capabilities, ipam };
  return { cniVersion: '1.0.0', name: 'podwire', plugins: [ours] };
}

/** In each hierarchy, or in the one that there is. */
function removeCgroups(): void {
  for (const hierarchy of ['', ...readdirSync(CGROUPS)]) {
    const ours = join(CGROUPS, hierarchy, CGROUP);
    if (!existsSync(ours)) continue;
    for (const each of readdirSync(ours, { withFileTypes: true }))
      if (each.isDirectory()) rmdirSync(join(ours, each.name));
    rmdirSync(ours);
  }
}

/** containerd in the node's namespace, and in mount and PID namespaces that end with it. */
async function startContainerd(world: World): Promise<AsyncDisposable> {
  const script = join(import.meta.dirname, 'runtimes', 'cri.sh');
  const namespaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const env = { ...process.env, DIR: world.dir, PLUGIN: plugin(), IMAGE: webImage(world.dir) };
  const words = [`--net=${world.node}`, 'unshare', ...namespaces, 'sh', script];
  const runtime = spawn('nsenter', words, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => runtime.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    runtime.stdout.once('data', () => resolve());
    runtime.once('exit', (code) => reject(new Error(`containerd did not start (${code})`)));
  });
  return {
    [Symbol.asyncDispose]: async () => {
      runtime.stdin.end();
      await ended;
      removeCgroups();
    },
  };
}

test('containerd’s CRI: a sandbox with a host port is reached from outside and from the node, and leaves nothing', {
  skip,
}, async () => {
  using world = new World();
  writeFileSync(join(world.dir, 'podwire.conflist'), JSON.stringify(conflist(world)));
  {
    await using _ = await startContainerd(world);
    const cri = (method: string, message: Message) => criCall(join(world.dir, 'sock'), method, message);
    // It hears of an imported image by an event.
    await until(
      'CRI knows the image',
      async () => (await cri('ImageService/ImageStatus', { 1: { 1: 'podwire.test/web:1' } })) !== '',
    );
    const metadata = { 1: 'web', 2: 'uid-1', 3: 'shop' };
    const config = { 1: metadata, 2: 'web', 5: [{ 2: 80, 3: 8080 }], 8: { 1: `/${CGROUP}` } };
    const id = await cri('RuntimeService/RunPodSandbox', { 1: config });
    const page = `busybox wget -qO- http://${NODE_IP}:8080/ 2>&1`;
    const get = (from: string) => world.in(from, 'sh', '-c', page);
    await until('the server answers', async () => get(world.outside) === 'hello');
    assert.equal(get(world.node), 'hello');
    const [held] = heldInNetworks(join(world.dir, 'data'));
    assert.deepEqual([held?.pod, held?.holder], ['shop/web', `${id}/eth0`]);
    await cri('RuntimeService/StopPodSandbox', { 1: id });
    await cri('RuntimeService/RemovePodSandbox', { 1: id });
  }
  assert.deepEqual(world.remains(), []);
  const left = heldInNetworks(join(world.dir, 'data')).filter(({ state }) => state !== 'resting');
  assert.deepEqual(left, []);
});
