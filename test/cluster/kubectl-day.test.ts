// What an engineer types on an ordinary day, beyond the first steps: plain kubectl against a running cluster.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { apiVersionOf, KINDS } from '../../src/objects/kinds.ts';
import { kubectlSkip, Machine, until } from './machine.ts';

const skip = kubectlSkip() ?? false;
let machine: Machine;

before(async () => {
  if (skip) return;
  machine = await Machine.create('kday');
  await machine.mustPodwire('up', '--nodes', '2');
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const sleeper = (name: string, replicas = 2) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: host, command: [sleep, infinity]}]
`;

const nodesOf = async (label: string) =>
  new Set(
    (await machine.kubectl('get', 'pods', '-l', label, '-o', 'jsonpath={.items[*].spec.nodeName}')).split(/\s+/).sort(),
  );

test('a directory for kustomize: what it would change, the change, and what is no longer in it', { skip }, async () => {
  const directory = join(machine.state, 'kustomize');
  mkdirSync(directory);
  const write = (replicas: number, generate: boolean) => {
    writeFileSync(join(directory, 'web.yaml'), sleeper('web', replicas));
    const generator = generate ? '\nconfigMapGenerator: [{name: settings, literals: [a=b]}]' : '';
    writeFileSync(
      join(directory, 'kustomization.yaml'),
      `resources: [web.yaml]\nnamePrefix: my-\nlabels: [{pairs: {part: mine}}]${generator}\n`,
    );
  };
  write(1, true);
  assert.match(
    await machine.kubectl('apply', '-k', directory),
    /configmap\/my-settings-\w+ created[\s\S]*my-web created/,
  );
  assert.equal((await machine.run('kubectl', ['diff', '-k', directory])).code, 0);
  write(2, false);
  const diff = await machine.run('kubectl', ['diff', '-k', directory]);
  assert.equal(diff.code, 1);
  assert.match(diff.stdout, /^- {2}replicas: 1\n\+ {2}replicas: 2$/m);
  const prune = ['--prune', '-l', 'part=mine', '--prune-allowlist=core/v1/ConfigMap'];
  assert.match(
    await machine.kubectl('apply', '-k', directory, ...prune),
    /my-web configured[\s\S]*configmap\/my-settings-\w+ pruned/,
  );
  await machine.kubectl('delete', '-k', directory);
});

test('a rollout is paused, resumed, restarted and undone', { skip }, async () => {
  await machine.apply(sleeper('roll', 1));
  const rollout = (...words: string[]) => machine.kubectl('rollout', words[0]!, 'deployment/roll', ...words.slice(1));
  const settled = async () => assert.match(await rollout('status', '--timeout=60s'), /successfully rolled out/);
  await settled();
  await rollout('pause');
  await machine.kubectl('set', 'image', 'deployment/roll', 'c=nosuch:1');
  const refused = await machine.run('kubectl', ['rollout', 'restart', 'deployment/roll']);
  assert.match(refused.stderr, /can't restart paused deployment/);
  await rollout('resume');
  await until('the new image is missed', async () =>
    /ErrImagePull|ImagePullBackOff/.test(await machine.kubectl('get', 'pods', '-l', 'app=roll')),
  );
  await rollout('undo');
  await settled();
  await rollout('restart');
  await settled();
  assert.match(await rollout('history'), /REVISION {2}CHANGE-CAUSE\n2 .*\n3 .*\n4 /);
  await machine.kubectl('delete', 'deployment', 'roll');
});

test('a node is drained: what it ran goes to the others; a taint drives pods away', { skip }, async () => {
  await machine.apply(sleeper('wander', 4));
  await machine.kubectl('rollout', 'status', 'deployment/wander', '--timeout=60s');
  assert.deepEqual(await nodesOf('app=wander'), new Set(['node-1', 'node-2']));
  assert.match(await machine.kubectl('drain', 'node-1', '--ignore-daemonsets'), /node\/node-1 drained/);
  assert.match(await machine.kubectl('get', 'node', 'node-1'), /Ready,SchedulingDisabled/);
  await machine.kubectl('rollout', 'status', 'deployment/wander', '--timeout=60s');
  assert.deepEqual(await nodesOf('app=wander'), new Set(['node-2']));
  await machine.kubectl('uncordon', 'node-1');
  await machine.kubectl('taint', 'node', 'node-2', 'maintenance=now:NoExecute');
  await until('all are on node-1', async () => {
    const nodes = await nodesOf('app=wander');
    return nodes.size === 1 && nodes.has('node-1');
  });
  await machine.kubectl('taint', 'node', 'node-2', 'maintenance-');
  await machine.kubectl('delete', 'deployment', 'wander');
});

test('run -i speaks to the process, shows its output once, and takes its exit code', { skip }, async () => {
  const words = ['run', 'talk', '--image=host', '-i', '--rm', '--restart=Never', '--', 'sh', '-c'];
  const outcome = await machine.run('kubectl', [...words, 'read line; echo "got $line"; exit 4'], 'hello\n');
  assert.equal(outcome.stdout.match(/got hello/g)?.length, 1, outcome.stdout);
  assert.equal(outcome.code, 4);
  assert.equal((await machine.run('kubectl', ['get', 'pod', 'talk'])).code, 1);
});

test('attach shows what a container says, and leaves it running', { skip }, async () => {
  await machine.kubectl('run', 'clock', '--image=host', '--', 'sh', '-c', 'while :; do echo tick; sleep 0.1; done');
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/clock', '--timeout=60s');
  const attached = machine.spawn('kubectl', ['attach', 'clock']);
  let seen = '';
  attached.stdout!.on('data', (chunk) => {
    seen += chunk;
  });
  await until('it ticks', async () => seen.includes('tick\n'));
  attached.kill('SIGKILL');
  const count = '{.status.phase} {.status.containerStatuses[0].restartCount}';
  assert.equal(await machine.kubectl('get', 'pod', 'clock', '-o', `jsonpath=${count}`), 'Running 0');
  await machine.kubectl('delete', 'pod', 'clock', '--now');
});

test('debug: a copy of a pod, and a pod on a node that sees its files', { skip }, async () => {
  await machine.kubectl('run', 'app', '--image=host', '--', 'sleep', 'infinity');
  await machine.kubectl('debug', 'app', '--image=host', '--copy-to=app-copy', '--', 'sleep', 'infinity');
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/app-copy', '--timeout=60s');
  await machine.kubectl('debug', 'node/node-1', '--image=host', '--profile=general', '--', 'ls', '/host/etc/hostname');
  const listed = () => machine.kubectl('get', 'pods', '-o', 'jsonpath={.items[*].metadata.name}');
  const debugger_ = (await listed()).split(' ').find((name) => name.startsWith('node-debugger-node-1-'));
  assert.ok(debugger_);
  await machine.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', `pod/${debugger_}`, '--timeout=60s');
  assert.equal(await machine.kubectl('logs', debugger_), '/host/etc/hostname\n');
  await machine.kubectl('delete', 'pod', 'app', 'app-copy', debugger_, '--now');
});

test('edit changes an object, and keeps the text that is refused', { skip }, async () => {
  await machine.apply(sleeper('edited', 1));
  const editor = join(machine.state, 'editor');
  const edit = (expression: string) => {
    writeFileSync(editor, `#!/bin/sh\nsed -i '${expression}' "$1"\n`);
    chmodSync(editor, 0o755);
    return machine.run('env', [`KUBE_EDITOR=${editor}`, 'kubectl', 'edit', 'deployment', 'edited']);
  };
  assert.equal((await edit('s/^  replicas: 1/  replicas: 3/')).stdout, 'deployment.apps/edited edited\n');
  const refused = await edit('s/^  replicas: 3/  replicas: -3/');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /deployments\.apps "edited" is invalid[\s\S]*A copy of your changes has been stored/);
  assert.match(await machine.kubectl('get', 'deployment', 'edited', '-o', 'jsonpath={.spec.replicas}'), /^3$/);
  await machine.kubectl('delete', 'deployment', 'edited');
});

const ALL_KINDS = `
${sleeper('one', 1)}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: one}
spec:
  selector: {app: rc}
  template:
    metadata: {labels: {app: rc}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, infinity]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: one}, spec: {selector: {app: one}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: one}, stringData: {a: b}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: one}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
---
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: one}, spec: {controller: example.com/one}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: one}
spec: {ingressClassName: one, defaultBackend: {service: {name: one, port: {number: 80}}}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: one}
spec: {tier: Baseline, priority: 1, subject: {namespaces: {matchLabels: {of: nobody}}}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: one}, spec: {order: 10}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: one}, spec: {selector: of == 'nobody'}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: one}, spec: {selector: of == 'nobody'}}
`;

/** kubectl before 1.33 describes these by networking.k8s.io/v1beta1, which Kubernetes 1.36 does not serve either. */
const DESCRIBED_BY_BETA: readonly string[] = ['ServiceCIDR', 'IPAddress'];

test('every kind is listed, described, explained and printed in all forms', { skip }, async () => {
  await machine.apply(ALL_KINDS);
  await machine.kubectl('rollout', 'status', 'deployment/one', '--timeout=60s');
  for (const row of KINDS) {
    const resource = row.group ? `${row.plural}.${row.group}` : row.plural;
    const get = (...words: string[]) => machine.kubectl('get', resource, '-A', ...words);
    const [plain, wide, json, described, explained] = await Promise.all([
      get(),
      get('-o', 'wide', '--show-labels', '--no-headers'),
      get('-o', 'json'),
      DESCRIBED_BY_BETA.includes(row.kind) ? 'Name: -' : machine.kubectl('describe', resource, '-A'),
      machine.kubectl('explain', resource),
    ]);
    assert.match(plain, /^(NAMESPACE\s+)?(NAME|LAST SEEN)\b.*\n./m, row.kind);
    assert.match(wide, /\S/, row.kind);
    const list = JSON.parse(json) as { items: { kind: string; apiVersion: string }[] };
    assert.ok(list.items.length > 0, row.kind);
    assert.deepEqual([list.items[0]!.kind, list.items[0]!.apiVersion], [row.apiKind, apiVersionOf(row)]);
    assert.match(described, /^Name:\s+\S/m, row.kind);
    assert.match(explained, new RegExp(`KIND:\\s+${row.apiKind}\\n`), row.kind);
  }
  await machine.must('kubectl', ['delete', '-f', '-'], ALL_KINDS);
});

test('what is not served is said in a line', { skip }, async () => {
  await machine.kubectl('run', 'app', '--image=host', '--', 'sleep', 'infinity');
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/app', '--timeout=60s');
  const daemons = 'apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: a}\n';
  const cases: readonly (readonly [string, RegExp, string?])[] = [
    ['apply -f -', /no matches for kind "DaemonSet" in version "apps\/v1"\nensure CRDs are installed first/, daemons],
    ['get cronjobs', /the server doesn't have a resource type "cronjobs"/],
    ['create job a --image=host', /the server could not find the requested resource/],
    ['autoscale deployment a --max=2', /NotFound/],
    ['top pods', /Metrics API not available/],
    ['debug app --image=host --profile=general', /ephemeral containers are disabled for this cluster/],
    ['apply --server-side -f -', /use kubectl apply without --server-side/, sleeper('a')],
  ];
  for (const [command, expected, input] of cases) {
    const { code, stderr } = await machine.run('kubectl', command.split(' '), input);
    assert.match(stderr, expected, command);
    assert.equal(code, 1, command);
  }
  await machine.kubectl('delete', 'pod', 'app', '--now');
});

test('a pod is whom its manifest names, to kubectl inside it too; nobody is nobody', { skip }, async () => {
  await machine.kubectl('create', 'serviceaccount', 'robot');
  const spec = JSON.stringify({ spec: { serviceAccountName: 'robot' } });
  await machine.kubectl('run', 'operator', '--image=host', `--overrides=${spec}`, '--', 'sleep', 'infinity');
  await machine.kubectl('wait', '--for=condition=Ready', 'pod/operator', '--timeout=60s');
  const said = await machine.kubectl('exec', 'operator', '--', 'sh', '-c', 'HOME=/tmp kubectl auth whoami');
  assert.match(said, /Username\s+system:serviceaccount:default:robot/);
  assert.match(await machine.kubectl('describe', 'pod', 'operator'), /serviceaccount from kube-api-access-\w+ \(ro\)/);
  await machine.kubectl('delete', 'pod', 'operator', '--now');
  await machine.kubectl('delete', 'serviceaccount', 'robot');
  const lost = await machine.run('kubectl', ['run', 'operator', '--image=host', `--overrides=${spec}`]);
  assert.match(
    lost.stderr,
    /forbidden: error looking up service account default\/robot: serviceaccount "robot" not found/,
  );
});
