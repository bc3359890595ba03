// Room api: tests of certificates against OpenSSL's own reading of them.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { clusterKeys } from './authority.ts';

const keys = clusterKeys(undefined, 'test');
const authority = new X509Certificate(keys.authority);

test('the authority is one, and signs itself', () => {
  assert.equal(authority.ca, true);
  assert.equal(authority.verify(authority.publicKey), true);
  assert.equal(authority.subject, 'CN=test authority');
});

test('a server certificate holds its names and is issued by the authority', () => {
  const { certificate } = keys.server(['localhost', '127.0.0.1', 'fd00:10:96::1', 'kubernetes.default.svc']);
  const server = new X509Certificate(certificate);
  assert.equal(server.verify(authority.publicKey), true);
  assert.equal(server.checkIssued(authority), true);
  assert.equal(server.ca, false);
  assert.equal(server.checkHost('kubernetes.default.svc'), 'kubernetes.default.svc');
  assert.equal(server.checkHost('kubernetes'), undefined);
  assert.equal(server.checkIP('127.0.0.1'), '127.0.0.1');
  assert.equal(server.checkIP('fd00:10:96::1'), 'fd00:10:96::1');
  assert.deepEqual(server.keyUsage, ['1.3.6.1.5.5.7.3.1']);
});

test('a client certificate names the user and its groups', () => {
  const client = new X509Certificate(keys.client('kubernetes-admin', ['system:masters', 'others']).certificate);
  assert.equal(client.subject, 'O=system:masters\nO=others\nCN=kubernetes-admin');
  assert.deepEqual(client.keyUsage, ['1.3.6.1.5.5.7.3.2']);
  assert.ok(client.validFromDate.getTime() < Date.now());
  assert.ok(client.validToDate.getTime() > Date.now() + 9 * 365 * 86_400_000);
});

test('many certificates: no serial number, key or signature makes DER that cannot be read', () => {
  for (let i = 0; i < 50; i++) {
    const certificate = new X509Certificate(keys.server([`host-${i}`]).certificate);
    assert.equal(certificate.verify(authority.publicKey), true);
  }
});

test('keys are made once, and only their owner can read them', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-pki-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const first = clusterKeys(directory, 'test');
  const second = clusterKeys(directory, 'test');
  assert.equal(first.authority, second.authority);
  assert.ok(first.tokenKey.equals(second.tokenKey));
  const server = new X509Certificate(second.server(['localhost']).certificate);
  assert.equal(server.verify(new X509Certificate(first.authority).publicKey), true);
  for (const file of readdirSync(join(directory, 'pki'))) {
    assert.equal(statSync(join(directory, 'pki', file)).mode & 0o777, 0o600, file);
  }
});
