// Tests of room runtime: names of images mean what they mean to Docker and containerd.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { builtinImage } from './builtin.ts';
import { formatName, normalizeName, possibleNames } from './name.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

for (const [text, expected] of [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['team/app', 'docker.io/team/app:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
  ['docker.io/team/app:v1', 'docker.io/team/app:v1'],
  ['localhost/app', 'localhost/app:latest'],
  ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
  ['registry.k8s.io/e2e-test-images/agnhost:2.47', 'registry.k8s.io/e2e-test-images/agnhost:2.47'],
  ['registry.example/a/b/c_d--e.f', 'registry.example/a/b/c_d--e.f:latest'],
] as const) {
  it(`${text} is ${expected}`, () => assert.equal(formatName(normalizeName(text)!), expected));
}

for (const [text, expected] of [
  ['shop:1', ['docker.io/library/shop:1', 'localhost/shop:1']],
  ['team/shop', ['docker.io/team/shop:latest', 'localhost/team/shop:latest']],
  ['docker.io/shop:1', ['docker.io/library/shop:1']],
  ['localhost/shop:1', ['localhost/shop:1']],
  ['localhost:5000/shop:1', ['localhost:5000/shop:1']],
  ['registry.example/shop', ['registry.example/shop:latest']],
  ['a b', []],
] as const) {
  it(`${text} may be loaded as ${expected.join(' or ')}`, () => assert.deepEqual(possibleNames(text), expected));
}

it('a digest needs no tag, and keeps one', () => {
  assert.deepEqual(normalizeName(`busybox@${DIGEST}`), { repository: 'docker.io/library/busybox', digest: DIGEST });
  assert.equal(normalizeName(`busybox:v1@${DIGEST}`)!.tag, 'v1');
});

for (const text of ['', 'Busybox', 'a b', 'busybox:', 'busybox:-x', '/busybox', 'a//b', 'busybox@sha256:12', '../x']) {
  it(`${JSON.stringify(text)} is no name`, () => assert.equal(normalizeName(text), undefined));
}

it('the built-in images answer to their names', () => {
  for (const name of ['host', 'podwire.io/host', 'host:latest']) assert.equal(builtinImage(name)!.ref, 'host');
  for (const name of ['podwire.io/agnhost', 'podwire.io/agnhost:1', 'registry.k8s.io/e2e-test-images/agnhost:2.53']) {
    assert.equal(builtinImage(name)!.ref, 'builtin:agnhost');
  }
  assert.equal(builtinImage('agnhost'), undefined);
  assert.equal(builtinImage('nginx'), undefined);
});
