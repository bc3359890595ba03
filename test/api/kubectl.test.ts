// Test api: plain kubectl, as it stands on the machine, against the server.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { ApiServer } from '../../src/api/server.ts';
import { startApiServer } from '../../src/api/start.ts';
import { Client } from '../../src/client/client.ts';
import { TEST_API_OPTIONS } from './server.ts';

function kubectlIsThere(): boolean {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const WEB = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 80}]
      - name: side
        image: busybox:1
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 80}]
`;

describe('kubectl', { timeout: 120_000, skip: kubectlIsThere() ? false : 'kubectl is not installed' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-kubectl-'));
  const env = { ...process.env, KUBECONFIG: join(directory, 'config'), HOME: directory };
  let server: ApiServer;
  let client: Client;

  /** Standard output; a failure rejects with what kubectl said. */
  async function kubectl(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('kubectl', args, { env });
    return stdout.trim();
  }

  async function apply(manifest: string, ...args: string[]): Promise<string> {
    const file = join(directory, 'manifest.yaml');
    writeFileSync(file, manifest);
    return kubectl('apply', '-f', file, ...args);
  }

  before(async () => {
    server = await startApiServer({ ...TEST_API_OPTIONS, listen: [{ host: '127.0.0.1', port: 0 }] });
    client = new Client(server.transport);
    writeFileSync(env.KUBECONFIG, server.kubeconfig);
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test('version, api-resources and explain know the kinds', async () => {
    assert.match(await kubectl('version'), /Server Version: v1\.36\.0\+podwire/);
    const resources = await kubectl('api-resources', '-o', 'name');
    for (const name of [
      'pods',
      'deployments.apps',
      'endpointslices.discovery.k8s.io',
      'networkpolicies.networking.k8s.io',
    ]) {
      assert.ok(resources.split('\n').includes(name), name);
    }
    assert.match(await kubectl('explain', 'service.spec'), /clusterIP\s+<string>/);
    assert.match(await kubectl('api-versions'), /^apps\/v1$/m);
  });

  test('apply creates, leaves alone, and merges lists by their keys', async () => {
    assert.match(await apply(WEB), /deployment\.apps\/web created\nservice\/web created/);
    assert.match(await apply(WEB), /deployment\.apps\/web unchanged\nservice\/web unchanged/);
    await kubectl('set', 'image', 'deployment/web', 'side=busybox:2');
    const changed = WEB.replace('nginx:1', 'nginx:2').replace('replicas: 2', 'replicas: 3');
    assert.match(await apply(changed.replace('busybox:1', 'busybox:2')), /deployment\.apps\/web configured/);
    const images = '{.spec.replicas} {.spec.template.spec.containers[*].image}';
    assert.equal(await kubectl('get', 'deploy', 'web', '-o', `jsonpath=${images}`), '3 nginx:2 busybox:2');
    const withoutSide = changed.replace(/ {6}- name: side\n.*\n/, '');
    await apply(withoutSide);
    assert.equal(await kubectl('get', 'deploy', 'web', '-o', `jsonpath=${images}`), '3 nginx:2');
    assert.match(await kubectl('get', 'deploy,svc'), /NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE/);
    assert.match(await kubectl('get', 'svc', 'web'), /NodePort\s+10\.96\.\d+\.\d+\s+<none>\s+80:\d+\/TCP/);
  });

  test('a wrong manifest is refused with the field that is wrong', async () => {
    await assert.rejects(apply(WEB.replace('replicas: 2', 'replicas: -1')), /spec\.replicas: Invalid value: -1/);
    await assert.rejects(apply(WEB.replace('replicas: 2', 'replica: 2')), /unknown field "spec\.replica"/);
  });

  test('a List is applied, and what it holds is validated; a kind that is not served is named', async () => {
    const list = (field: string) => `
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: listed}
  data: {a: b}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: listed}
  spec:
    ${field}: 1
    selector: {matchLabels: {app: listed}}
    template:
      metadata: {labels: {app: listed}}
      spec:
        containers:
        - name: c
          image: nginx
          resources: {requests: {cpu: 100m}}
          readinessProbe: {httpGet: {port: 80}}`;
    assert.equal(await apply(list('replicas')), 'configmap/listed created\ndeployment.apps/listed created');
    assert.match(await apply(list('replicas'), '--validate=strict'), /unchanged/);
    await assert.rejects(apply(list('replica')), /unknown field "(io\.k8s\.\S+\.)?(spec\.)?replica"/);
    for (const [apiVersion, kind] of [
      ['batch/v1', 'Job'],
      ['apps/v1', 'DaemonSet'],
      ['v1', 'PersistentVolume'],
    ]) {
      await assert.rejects(
        apply(`apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: a}\n`),
        new RegExp(`no matches for kind "${kind}" in version "${apiVersion}"\\s+ensure CRDs are installed first`),
      );
    }
    await kubectl('delete', 'deployment,configmap', 'listed');
  });

  test('explain reads OpenAPI v2 as well as v3', async () => {
    const selector = await kubectl('explain', 'deployment.spec.selector');
    assert.equal(selector.match(/A label selector is a label query/g)?.length, 1, selector);
    for (const output of ['plaintext', 'plaintext-openapiv2']) {
      assert.match(
        await kubectl('explain', 'pod.spec.containers.livenessProbe', '--output', output),
        /httpGet\s+<\w+>/,
      );
      assert.doesNotMatch(await kubectl('explain', 'deployment.spec', '--output', output), /no description/);
      assert.match(await kubectl('explain', 'deployment', '--recursive', '--output', output), /maxSurge\s+<\S+>/);
    }
  });

  test('scale, rollout status and wait follow what controllers say', async () => {
    await kubectl('scale', 'deployment/web', '--replicas', '4');
    const waiting = kubectl('rollout', 'status', 'deployment/web', '--timeout', '30s');
    const { metadata } = await client.get('Deployment', 'web', 'default');
    const counts = { replicas: 4, updatedReplicas: 4, readyReplicas: 4, availableReplicas: 4 };
    const conditions = [{ type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' }];
    const status = { observedGeneration: metadata.generation, ...counts, conditions };
    await client.patch('Deployment', { name: 'web', namespace: 'default', subresource: 'status' }, { status });
    assert.match(await waiting, /successfully rolled out/);
    assert.match(await kubectl('wait', '--for=condition=Available', 'deploy/web', '--timeout', '30s'), /condition met/);
  });

  test('commands that send protobuf: create of many kinds, auth, token', async () => {
    await kubectl('create', 'namespace', 'shop');
    await kubectl('create', 'deployment', 'none', '--image', 'nginx', '--replicas', '0', '--port', '80', '-n', 'shop');
    await kubectl('create', 'service', 'clusterip', 'a', '--tcp', '80:http', '-n', 'shop');
    await kubectl('create', 'configmap', 'a', '--from-literal', 'k=v', '-n', 'shop');
    await kubectl('create', 'secret', 'generic', 'a', '--from-literal', 'k=v', '-n', 'shop');
    await kubectl('create', 'ingress', 'a', '--rule', 'example.com/*=a:80', '-n', 'shop');
    const { spec } = await client.get('Deployment', 'none', 'shop');
    assert.deepEqual(
      [spec.replicas, spec.template.spec?.containers[0]?.ports],
      [0, [{ containerPort: 80, protocol: 'TCP' }]],
    );
    assert.equal((await client.get('Service', 'a', 'shop')).spec.ports?.[0]?.targetPort, 'http');
    assert.deepEqual((await client.get('ConfigMap', 'a', 'shop')).data, { k: 'v' });
    assert.deepEqual((await client.get('Secret', 'a', 'shop')).data, { k: 'dg==' });
    assert.equal((await client.get('Ingress', 'a', 'shop')).spec?.rules?.[0]?.http?.paths[0]?.pathType, 'Prefix');
    assert.equal(await kubectl('auth', 'can-i', 'create', 'pods'), 'yes');
    assert.match(await kubectl('auth', 'can-i', '--list'), /\*\.\*\s+\[\]\s+\[\]\s+\[\*\]/);
    assert.match(await kubectl('auth', 'whoami'), /kubernetes-admin/);
    const asBob = await kubectl('auth', 'whoami', '--as', 'bob', '--as-group', 'a', '--as-group', 'b');
    assert.match(asBob, /Username\s+bob\nGroups\s+\[a b system:authenticated\]/);
    await kubectl('create', 'serviceaccount', 'robot', '-n', 'shop');
    assert.match(await kubectl('create', 'token', 'robot', '-n', 'shop'), /^[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  test('get --watch shows changes as rows', async () => {
    const watching = spawn('kubectl', ['get', 'cm', '--watch', '--output-watch-events', '-n', 'kube-public'], { env });
    let output = '';
    const shown = Promise.withResolvers<void>();
    watching.stdout.on('data', (chunk) => {
      output += chunk;
      if (/DELETED\s+seen/.test(output)) shown.resolve();
    });
    try {
      const made = client.create('ConfigMap', {
        metadata: { name: 'seen', namespace: 'kube-public' },
        data: { a: 'b' },
      });
      await made;
      await client.patch('ConfigMap', { name: 'seen', namespace: 'kube-public' }, { data: { c: 'd' } });
      while (!/seen/.test(output)) await new Promise((resolve) => setTimeout(resolve, 20));
      await client.delete('ConfigMap', 'seen', 'kube-public');
      await shown.promise;
      assert.match(output, /^EVENT\s+NAME\s+DATA\s+AGE\n/);
    } finally {
      watching.kill();
    }
  });

  test('delete waits until the object is gone', async () => {
    assert.match(await kubectl('delete', 'deploy,svc', 'web'), /deployment\.apps "web" deleted/);
    await assert.rejects(kubectl('get', 'deploy', 'web'), /deployments\.apps "web" not found/);
    await kubectl('run', 'lonely', '--image', 'nginx');
    await kubectl('delete', 'pod', 'lonely');
    await assert.rejects(kubectl('logs', 'lonely'), /pods "lonely" not found/);
  });
});
