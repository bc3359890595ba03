// `podwire policy` on manifests: who may speak to whom, why, and what was likely not meant.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { staticOutcome } from '../plan/policy/cases.ts';
import { differenceOf } from '../plan/policy/difference.ts';
import { junitText, tapText } from '../plan/policy/expectations.ts';
import { verdictText } from '../plan/policy/explain.ts';
import { judge } from '../plan/policy/judge.ts';
import { lint } from '../plan/policy/lint.ts';
import { matrixOf } from '../plan/policy/matrix.ts';
import { readExpectations } from './expectation-file.ts';
import { ofObjects, readManifests } from './policy-source.ts';

const folder = mkdtempSync(join(tmpdir(), 'podwire-policy-'));
after(() => rmSync(folder, { recursive: true }));

const MANIFEST = `
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: shop}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: shop}
  spec:
    template:
      metadata: {labels: {app: web}}
      spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i, ports: [{name: sql, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: spy}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: shop}
spec: {hostNetwork: true, containers: [{name: c, image: i}]}
`;
const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
  - from: [{podSelector: {matchLabels: {app: nobody}}}]
    ports: [{port: 99}]
`;

function source() {
  writeFileSync(join(folder, 'objects.yaml'), MANIFEST);
  writeFileSync(join(folder, 'policy.yml'), POLICY);
  writeFileSync(join(folder, 'notes.txt'), 'not a manifest');
  return ofObjects(readManifests(folder));
}

test('a matrix over a folder: pods and workloads, in ports', () => {
  const { cells, groups } = matrixOf(source().engine);
  assert.deepEqual(
    groups.map(({ name }) => name),
    ['default/spy', 'kube-system/kube-dns', 'shop/db', 'shop/web'],
  );
  const allowed = (from: string, to: string) => cells.find((cell) => cell.from === from && cell.to === to)!.allowed;
  assert.deepEqual(allowed('shop/web', 'shop/db'), ['TCP 5432']);
  assert.deepEqual(allowed('default/spy', 'shop/db'), []);
  assert.deepEqual(allowed('shop/db', 'shop/web'), []);
  assert.equal(allowed('shop/db', 'shop/db'), 'all');
  assert.equal(allowed('default/spy', 'shop/web'), 'all');
});

test('a difference tells what a change denies and allows', () => {
  const objects = parseAllDocuments(MANIFEST).flatMap((document) => document.toJS().items ?? [document.toJS()]);
  const policy = parseAllDocuments(POLICY)[0]!.toJS();
  const changes = differenceOf(ofObjects(objects).engine, ofObjects([...objects, policy]).engine);
  const text = changes.map(({ from, to, before, after: then }) => `${from} -> ${to}: ${before} -> ${then}`);
  assert.ok(text.includes('default/spy -> shop/db: all -> '), text.join('\n'));
  assert.ok(text.includes('shop/web -> shop/db: all -> TCP 5432'));
  assert.ok(text.includes('shop/db -> shop/web: all -> '));
  assert.deepEqual(differenceOf(ofObjects(objects).engine, ofObjects(objects).engine), []);
});

test('an explanation names both sides, the rule or its absence', () => {
  const { engine } = source();
  const ip = (key: string) => engine.pods.get(key)!.ips[0]!;
  const explain = (from: string, port: number) =>
    verdictText(judge(engine, { from: ip(from), to: ip('shop/db'), protocol: 'TCP', port }));
  assert.deepEqual(explain('shop/web', 5432), [
    'egress   shop/web allowed: no policy isolates it',
    'ingress  shop/db allowed by NetworkPolicy/shop/db ingress[0] (namespace shop pods (app=web))',
    'allowed',
  ]);
  assert.deepEqual(explain('default/spy', 5432).slice(1), [
    'ingress  shop/db denied: isolated by NetworkPolicy/shop/db, no rule allows',
    'denied: an ingress rule from the peer and port, in a policy that selects shop/db, would allow it',
  ]);
});

test('lint finds nobody, no port, no DNS, and who is out of reach', () => {
  const { engine, dns } = source();
  const found = lint(engine, dns).map(({ check, where }) => `${check} ${where}`);
  assert.deepEqual(found, [
    'host-network NetworkPolicy/shop/db',
    'peer-matches-nothing NetworkPolicy/shop/db ingress[1]',
    'no-such-port NetworkPolicy/shop/db ingress[1]',
    'denies-dns NetworkPolicy/shop/db',
  ]);
});

test('expectations hold or not, as TAP and as JUnit', () => {
  const { engine, directory } = source();
  const file = join(folder, 'expect.yaml.txt');
  const lines = [
    '{from: shop/web, to: shop/db, port: sql, expect: allow}',
    '{from: spy, to: shop/db, port: 5432, expect: allow}',
  ];
  writeFileSync(file, `expectations: [${lines.join(', ')}]`);
  const outcomes = readExpectations(file, 'default').map((each) => staticOutcome(each, engine, directory));
  const tap = tapText(outcomes).split('\n');
  assert.deepEqual(tap.slice(0, 4), [
    'TAP version 13',
    '1..2',
    'ok 1 - shop/web -> shop/db sql allow',
    'not ok 2 - spy -> shop/db 5432 allow',
  ]);
  assert.match(
    junitText(outcomes),
    /tests="2" failures="1" skipped="0"[\s\S]*name="spy -&gt; shop\/db 5432 allow">\n {4}<failure/,
  );
  writeFileSync(file, 'expectations: []');
  assert.throws(() => readExpectations(file, 'default'), { name: 'Fault', message: /expects nothing/ });
  writeFileSync(file, 'expectations: [{from: spy, to: shop/db, port: 80, expect: maybe}]');
  assert.throws(() => readExpectations(file, 'default'), { message: /expectations\[0\]\.expect is "maybe"/ });
});

test('a policy that the API would refuse is refused here, with its field', () => {
  const bad = POLICY.replace('port: 99', 'port: 99, endPort: 9');
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, bad);
  assert.throws(() => ofObjects(readManifests(file)), {
    name: 'Fault',
    message: /^NetworkPolicy\/shop\/db: spec\.ingress\[1\]\.ports\[0\]\.endPort: Invalid value: 9: /,
  });
  rmSync(file);
});

const WRONG: Record<string, [text: string, problem: RegExp]> = {
  'no YAML': ['a: [1, 2\nb: }', /wrong\.yaml: Flow sequence .* at line 2, column 1$/],
  'no name': ['kind: Pod', /wrong\.yaml: a Pod has no metadata\.name$/],
  'no spec': ['kind: Pod\nmetadata: {name: web}', /wrong\.yaml: Pod web has no spec$/],
  'no template': ['kind: Deployment\nmetadata: {name: web}\nspec: {}', /Deployment web has no spec\.template\.spec$/],
  'an item that is no object': ['kind: List\nitems: [1]', /wrong\.yaml: an item has no kind$/],
};
for (const [name, [text, problem]] of Object.entries(WRONG)) {
  test(`manifests at fault are named with their file: ${name}`, () => {
    const file = join(folder, 'wrong.yaml');
    writeFileSync(file, text);
    try {
      assert.throws(() => readManifests(file), problem);
    } finally {
      rmSync(file);
    }
  });
}

test('a file that is not there is named', () => {
  const values = join(folder, 'values.yaml');
  writeFileSync(values, 'replicas: 3\n');
  assert.throws(() => readManifests(values), /values\.yaml is no manifest: it has no kind$/);
  assert.doesNotThrow(() => readManifests(folder));
  rmSync(values);
  assert.throws(() => readManifests(join(folder, 'none.yaml')), /none\.yaml cannot be read: there is no such file$/);
});
