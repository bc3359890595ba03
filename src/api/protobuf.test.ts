// Room api: tests of reading protobuf bodies: written here field by field, since only what Go wrote is known otherwise (test/api/kubectl.test.ts).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeProtobuf } from './protobuf.ts';

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

type Value = string | number | boolean | Buffer;

function field(number: number, value: Value): Buffer {
  if (typeof value === 'number' || typeof value === 'boolean') {
    return Buffer.concat([varint(number << 3), varint(BigInt(value))]);
  }
  const bytes = Buffer.from(value as string);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

/** Field numbers and values by turns. */
function message(...fields: readonly (readonly [number: number, value: Value])[]): Buffer {
  return Buffer.concat(fields.map(([number, value]) => field(number, value)));
}

function envelope(apiVersion: string, kind: string, raw: Buffer): Buffer {
  const typeMeta = message([1, apiVersion], [2, kind]);
  return Buffer.concat([Buffer.from('k8s\0'), message([1, typeMeta], [2, raw], [3, ''], [4, ''])]);
}

test('maps, bytes, times and zeros become what they are in JSON', async () => {
  const metadata = message(
    [1, 'settings'],
    [2, ''],
    [7, 0],
    [8, message()],
    [11, message([1, 'app'], [2, 'web'])],
    [11, message([1, 'tier'])],
    [9, message([1, 1_767_225_600], [2, 0])],
  );
  const raw = message([1, metadata], [2, message([1, 'k'], [2, Buffer.from([0xff, 0])])], [5, false]);
  assert.deepEqual(await decodeProtobuf(envelope('v1', 'Secret', raw)), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'settings', labels: { app: 'web', tier: '' }, deletionTimestamp: '2026-01-01T00:00:00Z' },
    data: { k: '/wA=' },
    immutable: false, // behind a pointer in Go: somebody set it
  });
});

test('ports by name or number, embedded structs and quantities', async () => {
  const probe = message([1, message([2, message([1, '/live'], [2, message([1, 1], [3, 'http'])])])], [3, 1]);
  const port = message([2, 0], [3, 8080], [4, 'TCP']);
  const limits = message([1, 'cpu'], [2, message([1, '500m'])]);
  const container = message([1, 'web'], [2, 'nginx'], [6, port], [8, message([1, limits])], [10, probe]);
  const volume = message([1, 'tmp'], [2, message([2, message()])]);
  const { spec } = (await decodeProtobuf(
    envelope('v1', 'Pod', message([2, message([1, volume], [2, container], [4, 0])])),
  )) as { spec: object };
  assert.deepEqual(spec, {
    volumes: [{ name: 'tmp', emptyDir: {} }],
    containers: [
      {
        name: 'web',
        image: 'nginx',
        ports: [{ containerPort: 8080, protocol: 'TCP' }],
        resources: { limits: { cpu: '500m' } },
        livenessProbe: { httpGet: { path: '/live', port: 'http' }, timeoutSeconds: 1 },
      },
    ],
    terminationGracePeriodSeconds: 0,
  });
});

test('numbers below zero and beyond 32 bits, and fields that are newer than the table', async () => {
  const raw = message([2, message([1, -1], [2, 2 ** 40], [4000, 'new'])]);
  const { spec } = (await decodeProtobuf(envelope('apps/v1', 'Deployment', raw))) as { spec: { replicas: number } };
  assert.equal(spec.replicas, -1);
});

test('a DeleteOptions is known under whichever version it comes', async () => {
  const raw = message([1, 0], [4, 'Orphan']);
  assert.deepEqual(await decodeProtobuf(envelope('policy/v1', 'DeleteOptions', raw)), {
    apiVersion: 'policy/v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: 0,
    propagationPolicy: 'Orphan',
  });
});

test('whatever bytes come, the answer is an object or 400', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, asPod) => {
      const body = asPod ? envelope('v1', 'Pod', Buffer.from(bytes)) : Buffer.from(bytes);
      try {
        assert.equal(typeof (await decodeProtobuf(body)), 'object');
      } catch (error) {
        assert.equal((error as { code: number }).code, 400);
      }
    }),
  );
});
