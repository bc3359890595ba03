// Files of expectations: as people write them, and those of netassert; what is wrong in them is named.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readExpectations } from './expectation-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'podwire-expect-'));
after(() => rmSync(folder, { recursive: true }));

function read(text: string) {
  const file = join(folder, 'tests.yaml');
  writeFileSync(file, text);
  return readExpectations(file, 'default');
}

test('ends, ports, answers over HTTP, names', () => {
  const [flow, http, dns, some, many] = read(`
expectations:
- { from: web, to: shop/db, port: sql, expect: deny }
- { from: web, to: www.example.com, http: { status: 403, path: /admin } }
- { from: deployment/shop/web, dns: db.shop, answers: [10.96.0.9] }
- { from: shop/web, dns: db.shop }
- { name: all of it, from: shop/*, to: 10.0.0.1, ports: [80, 53/udp], expect: allow, static: true }
`);
  assert.deepEqual(flow, {
    name: 'web -> shop/db sql deny',
    from: 'default/web',
    to: 'shop/db',
    ports: [{ protocol: 'TCP', port: 'sql' }],
    expect: 'deny',
    attempts: 2,
  });
  assert.deepEqual([http?.to, http?.expect, http?.http], ['www.example.com', 'allow', { status: 403, path: '/admin' }]);
  assert.equal(http?.name, 'web -> www.example.com 80 allow HTTP 403');
  assert.deepEqual(dns?.dns, { name: 'db.shop', answers: ['10.96.0.9'] });
  assert.equal(dns?.from, 'deployment/shop/web');
  assert.deepEqual([some?.expect, some?.dns], ['allow', { name: 'db.shop' }]);
  assert.equal(many?.name, 'all of it');
  assert.deepEqual(many?.ports, [
    { protocol: 'TCP', port: 80 },
    { protocol: 'UDP', port: 53 },
  ]);
});

test('what is wrong is named with its place', () => {
  for (const [entry, message] of [
    ['{to: b, port: 80, expect: deny}', /tests\.yaml: expectations\[0\]\.from is missing/],
    ['{from: a, port: 80, expect: deny}', /\.to is missing/],
    ['{from: a, to: b, expect: deny}', /\.port is missing/],
    ['{from: a, to: b, port: 70000, expect: deny}', /\.port is "70000"/],
    ['{from: a, to: b, port: 80}', /\.expect is missing: allow or deny/],
    ['{from: a, to: b, port: 80, expect: maybe}', /\.expect is "maybe", not allow or deny/],
    ['{from: a, to: b, port: 80, expects: deny}', /has no field expects/],
    ['{from: a, to: b, http: {code: 200}}', /\.http has no field code/],
  ] as const) {
    assert.throws(() => read(`expectations: [${entry}]`), { name: 'Fault', message });
  }
  assert.throws(() => read('expectations: []'), { message: /expects nothing/ });
  assert.throws(() => read('{}'), { message: /expects nothing/ });
  assert.throws(() => read('a: ['), { name: 'Fault' });
});

test('netassert, version 2', () => {
  const [open, closed] = read(`
- name: one
  type: k8s
  protocol: tcp
  targetPort: 8080
  exitCode: 0
  src: { k8sResource: { kind: deployment, name: busybox, namespace: tools } }
  dst: { k8sResource: { kind: pod, name: echo, namespace: shop } }
- name: two
  type: k8s
  protocol: udp
  targetPort: 53
  attempts: 5
  exitCode: 1
  src: { k8sResource: { kind: statefulset, name: web, namespace: shop } }
  dst: { host: { name: example.org } }
`);
  assert.deepEqual(open, {
    name: 'one',
    from: 'deployment/tools/busybox',
    to: 'shop/echo',
    ports: [{ protocol: 'TCP', port: 8080 }],
    expect: 'allow',
    attempts: 3,
  });
  assert.deepEqual([closed?.to, closed?.expect, closed?.attempts], ['example.org', 'deny', 5]);
  assert.throws(() => read('- {name: x, type: k8s, targetPort: 0, src: {}, dst: {}}'), {
    message: /\[0\]\.targetPort/,
  });
});

test('netassert, version 1', () => {
  const found = read(`
k8s:
  deployment:
    default:front:
      middle: 80, -TCP:81
      base.default.svc.cluster.local: [UDP:53, -22]
`);
  const text = found.map(
    ({ from, to, ports, expect }) => `${from} ${to} ${ports[0]!.protocol} ${ports[0]!.port} ${expect}`,
  );
  assert.deepEqual(text, [
    'deployment/default/front middle.default.svc TCP 80 allow',
    'deployment/default/front middle.default.svc TCP 81 deny',
    'deployment/default/front base.default.svc.cluster.local UDP 53 allow',
    'deployment/default/front base.default.svc.cluster.local TCP 22 deny',
  ]);
  assert.throws(() => read('host: {localhost: {1.2.3.4: 22}}'), { message: /hosts over SSH/ });
});
