// Runtimes that know nothing of us: podman and containerd of Debian with our conflist alone, no agent, no API server.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { findProgram } from '../../src/cluster/programs.ts';
import { heldInNetworks } from '../../src/cni/audit.ts';
import { NODE_IP, plugin, REFERENCE, rootSkip, World } from './world.ts';

function skipWithout(...programs: string[]): string | false {
  const missing = programs.filter((program) => !findProgram(program));
  return rootSkip || (missing.length > 0 ? `${missing.join(' and ')} not installed` : false);
}

/** A root file system of busybox alone, with a page to serve. */
function prepare(world: World): void {
  const rootfs = join(world.dir, 'rootfs');
  for (const folder of ['bin', 'www', 'tmp', 'proc', 'sys', 'dev', 'etc'])
    mkdirSync(join(rootfs, folder), { recursive: true });
  copyFileSync(findProgram('busybox')!, join(rootfs, 'bin', 'busybox'));
  writeFileSync(join(rootfs, 'www', 'index.html'), 'hello');
  const ours = {
    type: 'podwire-cni',
    dataDir: join(world.dir, 'data'),
    ipMasq: true,
    capabilities: { portMappings: true, ips: true, mac: true },
    ipam: { type: 'podwire', ranges: [[{ subnet: '10.88.0.0/16' }]] },
  };
  const conflist = { cniVersion: '0.4.0', name: 'podwire', plugins: [ours] };
  writeFileSync(join(world.dir, 'podwire.conflist'), JSON.stringify(conflist));
}

/** The script's lines: first word to the rest. */
async function runScript(world: World, script: string): Promise<Record<string, string>> {
  prepare(world);
  const path = join(import.meta.dirname, 'runtimes', script);
  const words = [`--net=${world.node}`, 'unshare', '--mount', '--propagation', 'private', 'sh', path];
  const { stdout } = await promisify(execFile)('nsenter', words, {
    env: { ...process.env, DIR: world.dir, PLUGIN: plugin(), OUTSIDE: world.outside, NODE_IP },
    timeout: 240_000,
  });
  return Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
}

function assertNothingLeft(world: World): void {
  assert.deepEqual(world.remains(), []);
  const held = heldInNetworks(join(world.dir, 'data')).filter(({ state }) => state !== 'resting');
  assert.deepEqual(held, []);
}

test('podman: containers talk to each other, a port is published, one with an address of its own starts again, nothing is left', {
  skip: skipWithout('podman', 'runc', 'conmon', 'busybox'),
}, async () => {
  using world = new World();
  const said = await runScript(world, 'podman.sh');
  const pages = { pod: 'hello', node: 'hello', localhost: 'hello', near: 'hello', outside: 'hello' };
  assert.deepEqual(said, { address: '10.88.0.2', ...pages, again: '10.88.0.77' });
  assertNothingLeft(world);
});

test('containerd: containers talk to each other and to the node, nothing is left', {
  skip:
    skipWithout('containerd', 'ctr', 'runc', 'busybox') ||
    (existsSync(join(REFERENCE, 'loopback')) ? false : `no loopback plugin in ${REFERENCE}`),
}, async () => {
  using world = new World();
  const said = await runScript(world, 'containerd.sh');
  assert.deepEqual(said, { address: '10.88.0.2', pod: 'hello', node: 'hello' });
  // ctr calls no DEL for a detached container; its successor's first GC, which libcni has since 1.2, clears that away.
  const leaked = heldInNetworks(join(world.dir, 'data')).filter(({ state }) => state === 'leaked');
  assert.deepEqual(
    leaked.map(({ ip }) => ip),
    ['10.88.0.2'],
  );
  const ipam = { type: 'podwire', subnet: '10.88.0.0/16' };
  await world.must('GC', world.config({ name: 'podwire', ipam, 'cni.dev/valid-attachments': [] }));
  assertNothingLeft(world);
});
