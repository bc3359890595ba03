// Namespaces, mounts and sockets of room sys against the kernel and `ip netns`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { mountPoints } from '../../src/sys/mount.ts';
import {
  createNamespaces,
  createNetns,
  inNetns,
  isPinned,
  netnsPath,
  removeNamespace,
  socketIn,
} from '../../src/sys/netns.ts';
import { bindSocket, listenOn } from '../../src/sys/socket.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const name = (what: string) => `pwt-sys-${what}-${process.pid}`;
const current = (kind: string) => readlinkSync(`/proc/thread-self/ns/${kind}`);

test('a namespace that we pin is listed and entered by ip netns, and is gone once removed', { skip }, () => {
  const path = netnsPath(name('a'));
  const before = current('net');
  createNetns(path);
  try {
    assert.equal(current('net'), before);
    assert.match(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }), new RegExp(name('a')));
    const links = JSON.parse(execFileSync('ip', ['-n', name('a'), '-j', 'link'], { encoding: 'utf8' }));
    assert.ok(links.some((link: { ifname: string }) => link.ifname === 'lo'));
    assert.throws(() => createNetns(path), { code: 'EEXIST' });
  } finally {
    removeNamespace(path);
  }
  assert.equal(isPinned(path), false);
  assert.equal(existsSync(path), false);
  removeNamespace(path);
});

test('inNetns always comes back, also when what it runs throws', { skip }, () => {
  const path = netnsPath(name('b'));
  createNetns(path);
  try {
    const before = current('net');
    const inside = inNetns(path, () => current('net'));
    assert.notEqual(inside, before);
    assert.throws(() => inNetns(path, () => assert.fail('inside')), /inside/);
    assert.equal(current('net'), before);
    assert.throws(() => inNetns(netnsPath('pwt-none'), () => 0), { code: 'ENOENT' });
    assert.equal(current('net'), before);
  } finally {
    removeNamespace(path);
  }
});

test('a visit within a visit comes back to the first', { skip }, () => {
  const [outer, inner] = [netnsPath(name('v1')), netnsPath(name('v2'))];
  const before = current('net');
  try {
    createNetns(outer);
    createNetns(inner);
    inNetns(outer, () => {
      const first = current('net');
      const second = inNetns(inner, () => current('net'));
      assert.equal(new Set([before, first, second]).size, 3);
      assert.equal(current('net'), first);
      assert.throws(() => inNetns(inner, () => assert.fail('inside')), /inside/);
      assert.equal(current('net'), first);
    });
    assert.equal(current('net'), before);
  } finally {
    for (const path of [outer, inner]) if (existsSync(path)) removeNamespace(path);
  }
});

test('a listener on a socket of another namespace is reached from there alone', { skip }, async () => {
  const path = netnsPath(name('c'));
  createNetns(path);
  try {
    execFileSync('ip', ['-n', name('c'), 'link', 'set', 'lo', 'up']);
    const fd = listenOn(socketIn(path, 'inet', 'stream'), '127.0.0.1', 4711);
    const server = createServer((socket) => socket.end('from inside'));
    await new Promise<void>((resolve) => server.listen({ fd }, resolve));
    assert.throws(() => listenOn(socketIn(path, 'inet', 'stream'), '127.0.0.1', 4711), { code: 'EADDRINUSE' });
    const free = socketIn(undefined, 'inet', 'stream');
    bindSocket(free, '127.0.0.1', 0);
    closeSync(free);
    const { spawn } = await import('node:child_process');
    const child = spawn('nsenter', [`--net=${path}`, 'bash', '-c', 'cat < /dev/tcp/127.0.0.1/4711']);
    let text = '';
    for await (const chunk of child.stdout) text += chunk;
    assert.equal(text, 'from inside');
    await new Promise((resolve) => server.close(resolve));
  } finally {
    removeNamespace(path);
  }
});

test('net, uts and ipc namespaces are pinned together and the thread keeps its own', { skip }, () => {
  const paths = { net: netnsPath(name('d')), uts: `/run/pwt-${process.pid}/uts`, ipc: `/run/pwt-${process.pid}/ipc` };
  const before = ['net', 'uts', 'ipc'].map(current);
  createNamespaces(paths);
  try {
    assert.deepEqual(['net', 'uts', 'ipc'].map(current), before);
    for (const path of Object.values(paths)) assert.equal(isPinned(path), true);
  } finally {
    for (const path of Object.values(paths)) removeNamespace(path);
    execFileSync('rmdir', [`/run/pwt-${process.pid}`]);
  }
});

test('a worker with mounts of its own pins namespaces for the machine and keeps no copies of older pins', {
  skip,
}, async () => {
  const old = netnsPath(name('old'));
  const fresh = netnsPath(name('new'));
  createNetns(old);
  const worker = new Worker(new URL('./mounts.worker.ts', import.meta.url), { workerData: { old, fresh } });
  try {
    const seen = await new Promise<Record<string, unknown>>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    assert.deepEqual(seen, { inherited: false, freshVisible: true, oldOpened: true, exposed: true, tmpfsHere: true });
    assert.equal(isPinned(fresh), true);
    assert.match(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }), new RegExp(name('new')));
    assert.deepEqual(
      mountPoints('tmpfs').filter((point) => point === '/mnt'),
      [],
    );
    worker.postMessage('remove');
    await new Promise((resolve) => worker.once('exit', resolve));
    assert.equal(isPinned(fresh), false);
    assert.equal(existsSync(fresh), false);
  } finally {
    await worker.terminate();
    for (const path of [old, fresh]) removeNamespace(path);
  }
});

test('a pin that ip netns has covered with its own mount is removed all the same', { skip }, () => {
  const script = `
    import { createNetns, isPinned, removeNamespace } from '${new URL('../../src/sys/netns.ts', import.meta.url)}';
    import { execFileSync } from 'node:child_process';
    import { existsSync, readFileSync } from 'node:fs';
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
    const path = '/run/netns/pwt-covered';
    createNetns(path);
    execFileSync('ip', ['netns', 'add', 'pwt-covering']);
    const pins = () => readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter((line) => line.includes(path)).length;
    const before = pins();
    removeNamespace(path);
    process.stdout.write(JSON.stringify({ before, after: pins(), file: existsSync(path) }));
  `;
  const args = ['--mount', '--propagation', 'private', process.execPath, '--input-type=module', '-e', script];
  const result = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' }));
  assert.deepEqual(result, { before: 2, after: 0, file: false });
});
