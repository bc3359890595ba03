// Room node: containers as the runtime takes them, and volumes on disk.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { containerSpec } from './container-spec.ts';
import { container, pod, SANDBOX_ID } from './pod-view.fixture.ts';
import type { Container, PodSpec } from './pod-view.ts';
import { makeVolumes, volumeMounts } from './volumes.ts';

const dir = mkdtempSync(join(tmpdir(), 'podwire-spec-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const dataDir = join(dir, 'data');
const image = { name: 'host', ref: 'host', entrypoint: [], cmd: [], env: [], workingDir: '/', user: '' };

function spec(own: Partial<Container>, ofPod: Partial<PodSpec> = {}, user = '') {
  const env = new Map([['WHO', 'me']]);
  const places = { sandboxId: SANDBOX_ID, stateDir: dir, dataDir };
  return containerSpec({
    pod: pod(ofPod),
    container: container('app', own),
    attempt: 3,
    image: { ...image, user },
    env,
    ...places,
  });
}

describe('a container for the runtime', () => {
  it('has an identity of its own, expanded arguments, and a log', () => {
    const made = spec({ command: ['echo', '$(WHO)'], args: ['$(NOBODY)'] });
    assert.match(made.id, /^[0-9a-f]{32}$/);
    assert.deepEqual([made.command, made.args], [['echo', 'me'], ['$(NOBODY)']]);
    assert.match(made.logPath, /\/pods\/shop_web_[^/]+\/app\/3\.log$/);
  });

  it('mounts the files of the pod, outer mounts first, and what the manifest puts in their place', () => {
    const volumes = [{ name: 'v', hostPath: { path: '/srv' } }];
    const volumeMounts = [
      { name: 'v', mountPath: '/a/b/c/d' },
      { name: 'v', mountPath: '/etc/hosts', readOnly: true },
      { name: 'v', mountPath: '/a' },
    ];
    const targets = spec({ volumeMounts, terminationMessagePath: '/last' }, { volumes }).mounts.map(
      ({ target }) => target,
    );
    assert.deepEqual(targets, ['/last', '/a', '/etc/hostname', '/etc/resolv.conf', '/etc/hosts', '/a/b/c/d']);
  });

  it('runs as whom the manifest says, the container before the pod', () => {
    assert.equal(spec({}).user, undefined);
    const securityContext = { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000] };
    assert.deepEqual(spec({ securityContext: { runAsUser: 7 } }, { securityContext }).user, {
      uid: 7,
      gid: 2000,
      supplementalGids: [4000, 3000],
    });
  });

  it('refuses to run as root what must not', () => {
    const securityContext = { runAsNonRoot: true };
    assert.throws(() => spec({ securityContext }), /runAsNonRoot and image will run as root/);
    assert.equal(spec({ securityContext }, {}, '1000').user, undefined);
  });
});

describe('volumes on disk', () => {
  const sources = {} as Parameters<typeof makeVolumes>[2];
  const withVolume = (volume: object) => pod({ volumes: [{ name: 'v', ...volume }] });
  const mount = (rest: object, volume: object = { emptyDir: {} }) =>
    volumeMounts(
      withVolume(volume),
      container('app', { volumeMounts: [{ name: 'v', mountPath: '/v', ...rest }] }),
      dataDir,
      new Map([['WHO', 'me']]),
    );

  it('an emptyDir is for everyone, or for its fsGroup', async () => {
    await makeVolumes(withVolume({ emptyDir: {} }), dataDir, sources);
    assert.equal(statSync(join(dataDir, 'volumes/v')).mode & 0o7777, 0o777);
  });

  it('a hostPath is made or must be of its type', async () => {
    const path = join(dir, 'made');
    await makeVolumes(withVolume({ hostPath: { path, type: 'DirectoryOrCreate' } }), dataDir, sources);
    assert.equal(statSync(path).isDirectory(), true);
    const wrong = makeVolumes(withVolume({ hostPath: { path, type: 'File' } }), dataDir, sources);
    await assert.rejects(
      wrong,
      /MountVolume.SetUp failed for volume "v" : hostPath type check failed: .* is not a File/,
    );
  });

  it('a kind that is not known is named', async () => {
    const claim = withVolume({ persistentVolumeClaim: { claimName: 'x' } });
    await assert.rejects(makeVolumes(claim, dataDir, sources), /kind persistentVolumeClaim are not known/);
  });

  it('a subPath is made, and must not lead out', () => {
    assert.equal(mount({ subPathExpr: 'logs/$(WHO)' })[0]!.source, join(dataDir, 'volumes/v/logs/me'));
    assert.equal(existsSync(join(dataDir, 'volumes/v/logs/me')), true);
    assert.throws(() => mount({ subPath: 'none' }, { configMap: { name: 'x' } }), /"none" is not in the volume/);
    assert.throws(() => mount({ subPath: '../x' }), /must be a path within the volume/);
    mkdirSync(join(dir, 'outside'));
    symlinkSync(join(dir, 'outside'), join(dataDir, 'volumes/v/link'));
    assert.throws(() => mount({ subPath: 'link' }), /leads out of the volume/);
  });

  it('files of ours are read-only', () => {
    assert.equal(mount({}, { configMap: { name: 'x' } })[0]!.readOnly, true);
    assert.equal(mount({})[0]!.readOnly, false);
  });
});
