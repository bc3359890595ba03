// Room node: the files of volumes, as data and on disk.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { ConfigMap, Secret } from '../objects/types.ts';
import { writeAtomically } from './atomic-dir.ts';
import { pod } from './pod-view.fixture.ts';
import { referencedConfig, type Volume, type VolumeSources, volumeFiles } from './volume-files.ts';

const config = { data: { a: '1', b: '2' }, binaryData: { c: 'AQI=' } } as unknown as ConfigMap;
const secret = { data: { token: Buffer.from('x').toString('base64') } } as unknown as Secret;
const sources: VolumeSources = {
  facts: {
    pod: pod({}, { labels: { app: 'web' } }),
    nodeName: 'worker-1',
    hostIPs: [],
    podIPs: [],
    allocatable: { cpu: '1', memory: '1Gi', 'ephemeral-storage': '1Gi' },
  },
  configMap: (name) => (name === 'settings' ? config : undefined),
  secret: (name) => (name === 'login' ? secret : undefined),
  token: async (audience, seconds) => `${audience}/${seconds}`,
};

/** `a=1 644`, sorted. */
async function files(volume: Partial<Volume>): Promise<string[] | undefined> {
  const found = await volumeFiles({ name: 'v', ...volume }, sources);
  return found && [...found].map(([path, f]) => `${path}=${Buffer.from(f.data)} ${f.mode.toString(8)}`).sort();
}

describe('the files of a volume', () => {
  const cases: Record<string, [volume: Partial<Volume>, expected: string[] | undefined]> = {
    'of a ConfigMap': [{ configMap: { name: 'settings' } }, ['a=1 644', 'b=2 644', 'c=\u0001\u0002 644']],
    'chosen by items, with modes': [
      {
        configMap: {
          name: 'settings',
          defaultMode: 0o400,
          items: [
            { key: 'a', path: 'x/y' },
            { key: 'b', path: 'z', mode: 0o755 },
          ],
        },
      },
      ['x/y=1 400', 'z=2 755'],
    ],
    'of a Secret': [{ secret: { secretName: 'login', defaultMode: 0o400 } }, ['token=x 400']],
    'of an optional ConfigMap that is not there': [{ configMap: { name: 'no', optional: true } }, []],
    'of an optional key that is not there': [
      { configMap: { name: 'settings', optional: true, items: [{ key: 'no', path: 'p' }] } },
      [],
    ],
    'of the downward API': [
      { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
      ['labels=app="web" 644'],
    ],
    projected: [
      {
        projected: {
          sources: [
            { configMap: { name: 'settings', items: [{ key: 'a', path: 'ca.crt' }] } },
            { serviceAccountToken: { path: 'token', audience: 'api', expirationSeconds: 600 } },
            { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
          ],
        },
      },
      ['ca.crt=1 644', 'namespace=shop 644', 'token=api/600 644'],
    ],
    'of an emptyDir: none of ours': [{ emptyDir: {} }, undefined],
  };
  for (const [name, [volume, expected]] of Object.entries(cases)) {
    it(name, async () => assert.deepEqual(await files(volume), expected));
  }

  it('names what is missing', async () => {
    await assert.rejects(files({ configMap: { name: 'no' } }), /^ConfigError: configmap "no" not found$/);
    await assert.rejects(
      files({ secret: { secretName: 'login', items: [{ key: 'no', path: 'p' }] } }),
      /secret references non-existent config key: no/,
    );
    await assert.rejects(
      files({ configMap: { name: 'settings', items: [{ key: 'a', path: '../up' }] } }),
      /invalid path/,
    );
  });

  it('finds every ConfigMap and Secret that a pod names', () => {
    const { configMaps, secrets } = referencedConfig({
      volumes: [
        { name: 'v', configMap: { name: 'one' } },
        { name: 'w', projected: { sources: [{ secret: { name: 'two' } }] } },
      ],
      containers: [
        {
          name: 'app',
          envFrom: [{ secretRef: { name: 'three' } }],
          env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'four', key: 'k' } } }],
        },
      ],
    });
    assert.deepEqual([...configMaps], ['one', 'four']);
    assert.deepEqual([...secrets], ['two', 'three']);
  });
});

describe('a directory that changes all at once', () => {
  const dir = mkdtempSync(join(tmpdir(), 'podwire-volume-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  const write = (entries: Record<string, string>) =>
    writeAtomically(dir, new Map(Object.entries(entries).map(([k, v]) => [k, { data: Buffer.from(v), mode: 0o640 }])));
  const names = () =>
    readdirSync(dir)
      .filter((name) => !name.startsWith('..'))
      .sort();

  it('holds the files, through ..data', () => {
    assert.equal(write({ a: '1', 'sub/b': '2' }), true);
    assert.deepEqual(names(), ['a', 'sub']);
    assert.equal(readlinkSync(join(dir, 'a')), '..data/a');
    assert.equal(readFileSync(join(dir, 'sub/b'), 'utf8'), '2');
    assert.equal(statSync(join(dir, 'a')).mode & 0o777, 0o640);
  });

  it('is left alone when nothing has changed', () => {
    const before = readlinkSync(join(dir, '..data'));
    assert.equal(write({ a: '1', 'sub/b': '2' }), false);
    assert.equal(readlinkSync(join(dir, '..data')), before);
  });

  it('changes by one rename and leaves nothing of the old', () => {
    assert.equal(write({ a: '3' }), true);
    assert.deepEqual(names(), ['a']);
    assert.equal(readFileSync(join(dir, 'a'), 'utf8'), '3');
    assert.equal(readdirSync(dir).filter((name) => name.startsWith('..2')).length, 1);
  });
});
