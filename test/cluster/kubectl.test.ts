// What a user types: plain kubectl against a running cluster.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kubectlSkip, Machine, until } from './machine.ts';

const skip = kubectlSkip() ?? false;
let machine: Machine;

before(async () => {
  if (skip) return;
  machine = await Machine.create('kctl');
  await machine.mustPodwire('up', '--nodes', '2');
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const SHOP = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  labels:
    app: shop
spec:
  replicas: 2
  selector:
    matchLabels:
      app: shop
  template:
    metadata:
      labels:
        app: shop
    spec:
      containers:
      - name: agnhost
        image: registry.k8s.io/e2e-test-images/agnhost:2.47
        args: ["netexec", "--http-port=8080"]
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet:
            path: /healthz
            port: 8080
          periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: shop
spec:
  selector:
    app: shop
  ports:
  - protocol: TCP
    port: 80
    targetPort: 8080
`;

test('a Deployment and a Service: apply, rollout status, get, scale, logs, delete', { skip }, async () => {
  await machine.apply(SHOP);
  assert.match(
    await machine.kubectl('rollout', 'status', 'deployment/shop', '--timeout=120s'),
    /successfully rolled out/,
  );
  const columns = (text: string) =>
    text
      .split('\n')[0]!
      .trim()
      .split(/\s{2,}/);
  assert.deepEqual(columns(await machine.kubectl('get', 'deployments')), [
    'NAME',
    'READY',
    'UP-TO-DATE',
    'AVAILABLE',
    'AGE',
  ]);
  assert.deepEqual(columns(await machine.kubectl('get', 'pods')), ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE']);
  assert.deepEqual(columns(await machine.kubectl('get', 'svc')), [
    'NAME',
    'TYPE',
    'CLUSTER-IP',
    'EXTERNAL-IP',
    'PORT(S)',
    'AGE',
  ]);
  const everything = await machine.kubectl('get', 'nodes,pods,svc', '-A', '-o', 'wide');
  assert.match(everything, /node\/node-1\s+Ready/);
  assert.match(everything, /pod\/shop-\S+\s+1\/1\s+Running/);
  assert.match(everything, /service\/kubernetes\s+ClusterIP\s+10\.96\.0\.1/);

  await machine.kubectl('scale', 'deployment/shop', '--replicas=4');
  await machine.kubectl('wait', '--for=jsonpath={.status.readyReplicas}=4', 'deployment/shop', '--timeout=120s');
  assert.match(await machine.kubectl('logs', 'deployment/shop'), /8080/);
  await machine.kubectl('set', 'env', 'deployment/shop', 'COLOR=green');
  assert.match(
    await machine.kubectl('rollout', 'status', 'deployment/shop', '--timeout=120s'),
    /successfully rolled out/,
  );
  assert.match(await machine.kubectl('rollout', 'history', 'deployment/shop'), /\n2\s/);
  await machine.kubectl('rollout', 'undo', 'deployment/shop');
  await machine.kubectl('rollout', 'status', 'deployment/shop', '--timeout=120s');
  const template = JSON.parse(await machine.kubectl('get', 'deployment/shop', '-o', 'json')).spec.template;
  assert.equal(template.spec.containers[0].env, undefined);
  await machine.apply(SHOP);
  await machine.kubectl('delete', 'deployment/shop', 'service/shop');
  await until('the pods are gone', async () => (await machine.kubectl('get', 'pods', '-o', 'name')).trim() === '');
});

test('get -w shows changes as they happen', { skip }, async () => {
  const watch = machine.spawn('kubectl', ['get', 'configmaps', '-w', '-o', 'name']);
  let seen = '';
  watch.stdout!.on('data', (chunk) => {
    seen += chunk;
  });
  await until(
    'the watch has begun',
    async () => seen.includes('kube-root-ca.crt') || seen.length > 0 || undefined,
    5000,
  ).catch(() => {});
  await machine.kubectl('create', 'configmap', 'seen', '--from-literal=a=b');
  await until('the watch shows it', async () => seen.includes('configmap/seen'));
  watch.kill('SIGKILL');
  await machine.kubectl('delete', 'configmap', 'seen');
});

test('explain describes a field from the schema', { skip }, async () => {
  const text = await machine.kubectl('explain', 'service.spec');
  assert.match(text, /KIND:\s+Service/);
  assert.match(text, /clusterIP\s+<string>/);
  assert.match(text, /externalTrafficPolicy/);
});

test('a wrong manifest is refused with the field and the cause', { skip }, async () => {
  const wrong = SHOP.replace('containerPort: 8080', 'containerPort: 99999').replace('replicas: 2', 'replicas: -1');
  const outcome = await machine.run('kubectl', ['apply', '-f', '-'], wrong);
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /The Deployment "shop" is invalid/);
  assert.match(outcome.stderr, /spec\.replicas: Invalid value: -1: must be greater than or equal to 0/);
  assert.match(
    outcome.stderr,
    /containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive/,
  );
  const mistyped = await machine.run('kubectl', ['apply', '-f', '-'], SHOP.replace('replicas: 2', 'replica: 2'));
  assert.notEqual(mistyped.code, 0);
  assert.match(mistyped.stderr, /unknown field "spec\.replica"/);
  await machine.run('kubectl', ['delete', 'service', 'shop', '--ignore-not-found']);
});

const TOOLS = `
apiVersion: v1
kind: Pod
metadata:
  name: tools
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - name: first
    image: host
    command: ["sh", "-c", "echo prepared > /data/first"]
    volumeMounts: [{name: work, mountPath: /data}]
  containers:
  - name: sh
    image: host
    command: ["sh", "-c", "echo started at $(cat /data/first); trap 'exit 0' TERM; while :; do sleep 1; done"]
    env:
    - {name: MY_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    volumeMounts: [{name: work, mountPath: /data}, {name: settings, mountPath: /settings}]
  volumes:
  - {name: work, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
`;

test('exec with and without a terminal, cp both ways, logs -f, exit codes', { skip }, async () => {
  await machine.kubectl('create', 'configmap', 'settings', '--from-literal=color=green');
  await machine.apply(TOOLS);
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/tools', '--timeout=120s');
  // Ready is the container that has been started: what it does first may take a moment more.
  await until('its first line is there', async () =>
    /started at prepared/.test(await machine.kubectl('logs', 'tools')),
  );
  const exec = (...words: string[]) => machine.run('kubectl', ['exec', 'tools', '--', ...words]);
  assert.equal((await exec('sh', '-c', 'echo $MY_NAME; cat /settings/color')).stdout, 'tools\ngreen');
  assert.equal((await exec('sh', '-c', 'exit 7')).code, 7);
  assert.match((await exec('sh', '-c', 'echo oops >&2')).stderr, /oops/);
  const piped = await machine.run('kubectl', ['exec', '-i', 'tools', '--', 'sh', '-c', 'wc -c'], 'x'.repeat(100_000));
  assert.equal(piped.stdout.trim(), '100000');
  // Its standard input stays open, as a person's does: at its end `script` would hang up, finished or not.
  const terminal = machine.spawn('script', [
    '-qec',
    'kubectl exec -it tools -- sh -c "tty && test -t 0 && stty size"',
    '/dev/null',
  ]);
  let shown = '';
  terminal.stdout!.on('data', (chunk) => {
    shown += chunk;
  });
  await until('the terminal tells its name', async () => /\/dev\/pts\/\d+/.test(shown));
  terminal.stdin!.end();

  mkdirSync(join(machine.state, 'cp'));
  const original = join(machine.state, 'cp', 'big');
  writeFileSync(original, Buffer.alloc(3_000_000, 'podwire '));
  await machine.kubectl('cp', original, 'tools:/data/big');
  await machine.kubectl('cp', 'tools:/data/big', `${original}.back`);
  assert.ok(readFileSync(original).equals(readFileSync(`${original}.back`)));
  await machine.kubectl('delete', 'pod/tools', 'configmap/settings');
});

test('a container that crashes shows its earlier log and backs off', { skip }, async () => {
  const pod = (name: string, image: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: ${image}, command: [sh, -c, "echo attempt; exit 3"]}]
`;
  await machine.apply(pod('crash', 'host'));
  await until('it has been restarted', async () => {
    const status = JSON.parse(await machine.kubectl('get', 'pod', 'crash', '-o', 'json')).status;
    return (
      status.containerStatuses?.[0]?.restartCount >= 1 &&
      status.containerStatuses[0].lastState.terminated?.exitCode === 3
    );
  });
  assert.match(await machine.kubectl('logs', 'crash', '--previous'), /attempt/);
  await until('kubectl says CrashLoopBackOff', async () =>
    /CrashLoopBackOff/.test(await machine.kubectl('get', 'pod', 'crash')),
  );
  await machine.apply(pod('missing', 'shop.example/nosuch:1'));
  await until('kubectl says ErrImagePull', async () =>
    /ErrImagePull|ImagePullBackOff/.test(await machine.kubectl('get', 'pod', 'missing')),
  );
  assert.match(await machine.kubectl('describe', 'pod', 'missing'), /podwire image load/);
  await machine.kubectl('delete', 'pod', 'crash', 'missing');
});

test('a pod that fits nowhere says why', { skip }, async () => {
  await machine.apply(
    TOOLS.replace('name: tools', 'name: large').replace('spec:', 'spec:\n  nodeSelector: {nosuch: label}'),
  );
  await until('the event is there', async () =>
    /0\/2 nodes are available/.test(await machine.kubectl('describe', 'pod', 'large')),
  );
  await machine.kubectl('delete', 'pod', 'large');
});

test('delete ns deletes what it holds', { skip }, async () => {
  await machine.kubectl('create', 'namespace', 'shop');
  await machine.must('kubectl', ['-n', 'shop', 'apply', '-f', '-'], SHOP);
  await machine.kubectl('-n', 'shop', 'rollout', 'status', 'deployment/shop', '--timeout=120s');
  await machine.kubectl('delete', 'ns', 'shop', '--timeout=120s');
  assert.equal((await machine.run('kubectl', ['get', 'ns', 'shop'])).code, 1);
  assert.doesNotMatch(await machine.kubectl('get', 'pods', '-A'), /shop/);
});

test('without a certificate there is nothing to see', { skip }, async () => {
  const config = JSON.parse(await machine.kubectl('config', 'view', '--raw', '-o', 'json'));
  const server = config.clusters[0].cluster.server as string;
  const answer = await machine.must('curl', ['-sk', '-w', '%{http_code}', `${server}/api/v1/pods`]);
  assert.match(answer, /401$/);
});

test('a pod speaks to the API server by name, with the token and the CA that it was given', { skip }, async () => {
  await machine.apply(`
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: host, command: [sleep, "3600"]}]
`);
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/caller', '--timeout=120s');
  const call = `cd /var/run/secrets/kubernetes.io/serviceaccount &&
    curl -s --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://kubernetes.default.svc/api/v1/namespaces/$(cat namespace)`;
  const answer = JSON.parse(await machine.kubectl('exec', 'caller', '--', 'sh', '-c', call));
  assert.equal(answer.metadata?.name, 'default', JSON.stringify(answer));
  await machine.kubectl('delete', 'pod', 'caller');
});
