// Tests of room runtime: images from archives, and containers that run from them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { missingImageMessage, openImageStore } from '../../src/runtime/images/store.ts';
import { BUSYBOX, busyboxLayers, dockerSave, ociLayout } from './archives.ts';
import { skip as cannot, container, removeDir, run, stdout, useNode } from './node.ts';

const skip = cannot || (existsSync(BUSYBOX) ? false : 'needs busybox-static');

describe('an image archive', { skip }, () => {
  const scene = useNode();
  const { node } = scene;
  const scratch = mkdtempSync('/var/tmp/pwt-archives-');
  const layers = existsSync(BUSYBOX) ? busyboxLayers(scratch) : [];
  after(async () => {
    removeDir({ ...node, dir: scratch });
  });

  async function output(name: string, image: string, more: object): Promise<string[]> {
    const resolved = scene.runtime.images.resolve(image)!;
    const { status, lines } = await run(
      scene.runtime,
      container(scene.runtime, node, 'pod', name, [], { image: resolved, ...more }),
    );
    assert.equal(status.exitCode, 0, JSON.stringify([status, lines]));
    return stdout(lines);
  }

  it('of docker save is loaded under its tags, and runs as its config says', async () => {
    const loaded = await scene.runtime.images.load(
      dockerSave(scratch, layers, ['box:v1', 'example.com:5000/team/box:v1']),
    );
    assert.deepEqual(loaded.names, ['docker.io/library/box:v1', 'example.com:5000/team/box:v1']);
    assert.ok(loaded.size > 500_000);
    assert.equal(scene.runtime.images.resolve('box'), undefined, 'no tag is latest');
    assert.equal(scene.runtime.images.resolve('docker.io/library/box:v1')!.ref, loaded.ref);
    assert.deepEqual(await output('own', 'box:v1', {}), [
      'from the image',
      'uid=1001(app) gid=1002(app) groups=50(staff)',
      '/home/app',
      'sour',
    ]);
  });

  it('of the OCI layout, gzipped, has the same ref, and a name more', async () => {
    const { file, manifest } = ociLayout(scratch, layers, 'registry.example/box:v2');
    const loaded = await scene.runtime.images.load(file);
    assert.equal(scene.runtime.images.resolve('registry.example/box:v2')!.ref, loaded.ref);
    assert.equal(scene.runtime.images.resolve('box:v1')!.ref, loaded.ref);
    assert.equal(scene.runtime.images.resolve(`registry.example/box@${manifest}`)!.ref, loaded.ref);
    assert.equal(scene.runtime.images.list().length, 1);
  });

  it('keeps what upper layers hide hidden, hard links and owners', async () => {
    const script =
      'ls /gone 2>/dev/null; cat /kept; ls /hidden; cat /hidden/new; ls -ln /home | cat; [ /bin/hard -ef /bin/busybox ] && echo hard';
    const lines = await output('layers', 'box:v1', { args: [script] });
    assert.deepEqual(lines.slice(0, 3), ['kept', 'new', 'new']);
    assert.match(lines.join('\n'), /1001\s+1002/);
    assert.equal(lines.at(-1), 'hard');
  });

  it('takes command and args as Kubernetes does, and a user by number', async () => {
    assert.deepEqual(await output('cmd', 'box:v1', { command: ['/bin/echo'], args: ['x', 'y'] }), ['x y']);
    assert.deepEqual(await output('uid', 'box:v1', { args: ['id -u; id -g'], user: { uid: 1001 } }), ['1001', '1002']);
    assert.deepEqual(await output('root', 'box:v1', { args: ['id -u'], user: { uid: 0 } }), ['0']);
  });

  it('gives each container a root of its own', async () => {
    const root = { user: { uid: 0 } };
    assert.deepEqual(await output('w1', 'box:v1', { ...root, args: ['echo a > /kept; cat /kept'] }), ['a']);
    assert.deepEqual(await output('w2', 'box:v1', { ...root, args: ['cat /kept'] }), ['kept']);
  });

  it('is not removed while a container runs from it, then with all its layers', async () => {
    const image = scene.runtime.images.resolve('box:v1')!;
    const sleeper = container(scene.runtime, node, 'pod', 'sleeper', ['sleep', '1000'], { image });
    await scene.runtime.startContainer(sleeper);
    const store = openImageStore(node.options.imageDir);
    assert.throws(() => store.remove(image.ref), /used by a running container/);
    await scene.runtime.removeContainer(sleeper.id);
    store.remove('box:v1');
    assert.equal(store.resolve('box:v1'), undefined);
    assert.equal(store.resolve('registry.example/box:v2')!.ref, image.ref, 'the other names stay');
    store.remove(image.ref);
    assert.deepEqual(store.list(), []);
    assert.deepEqual(readdirSync(join(node.options.imageDir, 'l')), []);
    assert.throws(() => store.remove('box:v1'), /there is no loaded image/);
  });

  it('that is none, or damaged, is refused, and leaves nothing', async () => {
    const store = openImageStore(node.options.imageDir);
    const text = join(scratch, 'text.tar');
    writeFileSync(text, 'not a tar archive');
    await assert.rejects(store.load(text), /text\.tar: not an image archive/);
    await assert.rejects(store.load('/nowhere.tar'), /\/nowhere\.tar: no such file/);
    const other = join(scratch, 'other');
    mkdirSync(other);
    writeFileSync(join(other, 'file'), 'x');
    execFileSync('tar', ['-cf', join(scratch, 'other.tar'), '-C', other, 'file']);
    await assert.rejects(store.load(join(scratch, 'other.tar')), /neither manifest\.json .* nor index\.json/);
    // A byte of the first layer changed: the diff id tells.
    const damaged = layers.map((layer) => Buffer.from(layer));
    const file = dockerSave(scratch, damaged, ['bad:1']);
    const dir = mkdtempSync(join(scratch, 'bad-'));
    execFileSync('tar', ['-xf', file, '-C', dir]);
    damaged[1]![700] = 0x7f;
    writeFileSync(join(dir, 'layer1/layer.tar'), damaged[1]!);
    execFileSync('tar', ['-cf', file, '-C', dir, '.']);
    await assert.rejects(store.load(file), /damaged|tar:/);
    // A compressed layer cut short.
    const cut = gzipSync(layers[0]!).subarray(0, 10_000);
    await assert.rejects(store.load(dockerSave(scratch, [cut], ['bad:1'])), /tar:|damaged/);
    assert.equal(store.resolve('bad:1'), undefined);
    assert.deepEqual(
      readdirSync(node.options.imageDir).filter((name) => name.startsWith('loading')),
      [],
    );
  });

  it('cannot write outside of its layer by a link of an earlier layer', async () => {
    const target = join(scratch, 'outside');
    mkdirSync(target);
    const make = (entries: (dir: string) => void) => {
      const dir = mkdtempSync(join(scratch, 'evil-'));
      entries(dir);
      return execFileSync('tar', ['--create', `--directory=${dir}`, '.']);
    };
    const first = make((dir) => execFileSync('ln', ['-s', target, join(dir, 'way')]));
    const second = make((dir) => {
      mkdirSync(join(dir, 'way'));
      writeFileSync(join(dir, 'way/file'), 'escaped');
    });
    await scene.runtime.images.load(dockerSave(scratch, [first, second], ['evil:1']));
    assert.deepEqual(readdirSync(target), []);
    scene.runtime.images.remove('evil:1');
  });

  it('that is missing is told of with how to load it', () => {
    assert.match(missingImageMessage('nginx:1.27'), /nginx:1\.27 .*`podwire image load FILE\.tar`/);
  });
});
