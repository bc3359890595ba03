// Room client: tests of kubeconfigs: which server, which credentials, and what is said when it does not tell.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Fault } from '../observe/fault.ts';
import { openKubeconfig, readKubeconfig } from './kubeconfig.ts';

const directory = mkdtempSync(join(tmpdir(), 'podwire-kubeconfig-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(directory, 'config');
  writeFileSync(path, text);
  return path;
}

const CONFIG = `
current-context: one
clusters:
- name: c
  cluster: {server: "https://one:6443/", certificate-authority: ca.pem, tls-server-name: api}
- name: d
  cluster: {server: "https://two:6443", insecure-skip-tls-verify: true}
users:
- name: cert
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: token
  user: {tokenFile: token}
contexts:
- name: one
  context: {cluster: c, user: cert}
- name: two
  context: {cluster: d, user: token}
- name: lost
  context: {cluster: gone, user: cert}
`;

test('certificates come as data or as files beside the kubeconfig', async () => {
  writeFileSync(join(directory, 'ca.pem'), 'authority');
  const { server, tls, authorization } = await readKubeconfig(file(CONFIG));
  assert.equal(server, 'https://one:6443/');
  assert.deepEqual(
    [String(tls.ca), String(tls.cert), String(tls.key), tls.servername],
    ['authority', 'cert', 'key', 'api'],
  );
  assert.equal(tls.rejectUnauthorized, undefined);
  assert.equal(authorization?.(), undefined);
});

test('a token file is read anew, since tokens are renewed', async () => {
  writeFileSync(join(directory, 'token'), 'first\n');
  const { tls, authorization } = await readKubeconfig(file(CONFIG), 'two');
  assert.equal(tls.rejectUnauthorized, false);
  assert.equal(authorization?.(), 'Bearer first');
  writeFileSync(join(directory, 'token'), 'second\n');
  assert.equal(authorization?.(), 'Bearer second');
});

test('what cannot be used is said in one line', async () => {
  const faults = (promise: Promise<unknown>, message: RegExp) =>
    assert.rejects(promise, (error) => error instanceof Fault && message.test(error.message));
  await faults(readKubeconfig(join(directory, 'missing')), /cannot be read/);
  await faults(readKubeconfig(file('a: [')), /cannot be read/);
  await faults(readKubeconfig(file(''), 'x'), /has no context "x"/);
  await faults(readKubeconfig(file(CONFIG), 'lost'), /names no server/);
  await faults(openKubeconfig(join(directory, 'missing')).request({ method: 'GET', path: '/api' }), /cannot be read/);
});

test('a kubeconfig of somebody else is said to be so, with what to do', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, async () => {
  const path = file(CONFIG);
  chmodSync(directory, 0o755);
  chmodSync(path, 0o600);
  // Nobody. What is read is read at once, before we are ourselves again.
  process.seteuid!(65534);
  const asked = readKubeconfig(path);
  process.seteuid!(0);
  await assert.rejects(
    asked,
    (error) => error instanceof Fault && /is not yours to read$/.test(error.message) && /sudo/.test(error.mend ?? ''),
  );
});
