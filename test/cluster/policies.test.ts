// NetworkPolicies on a whole cluster: in force before a pod's first packet, judged behind Services, with DNS and probes as elsewhere.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kubectlSkip, Machine, until } from './machine.ts';

const skip = kubectlSkip() ?? false;
/** So many pods shout from their first moment on; `npm run long -- shout` has a thousand. */
const SHOUTERS = Number(process.env['PODWIRE_SHOUTERS'] ?? (process.env['PODWIRE_LONG'] ? 1000 : 24));
/** So many at a time: nodes have addresses for 254. */
const CROWD = 100;
const PORT = 9999;
const EAR = '172.30.0.1';

let machine: Machine;
const ips = new Map<string, string>();

function policy(namespace: string, name: string, spec: object): object {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec };
}

function server(namespace: string, name: string, nodeName: string): object[] {
  const container = {
    name: 'web',
    image: 'podwire.io/agnhost',
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, labels: { pod: name } },
      spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [container] },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: { selector: { pod: name }, ports: [{ port: 80, targetPort: 'http' }] },
    },
  ];
}

const manifest = (...objects: object[]) => objects.map((object) => JSON.stringify(object)).join('\n');
const namespace = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { team: name } },
});

/** What the pod gets when it asks for /hostname there; undefined when nothing comes. */
async function ask(from: string, host: string, port: number, patience: number): Promise<string | undefined> {
  const [of, pod] = from.split('/') as [string, string];
  const url = `http://${host}:${port}/hostname`;
  const limit = String(patience);
  const words = ['exec', '-n', of, pod, '--', 'curl', '-s', '--max-time', limit, '--connect-timeout', limit, url];
  const { code, stdout } = await machine.run('kubectl', words);
  return code === 0 ? stdout.trim() : undefined;
}

const answers = (from: string, host: string, port: number) =>
  until(`${from} reaches ${host}:${port}`, async () => (await ask(from, host, port, 20)) !== undefined);
const isSilent = async (from: string, host: string, port: number) =>
  assert.equal(await ask(from, host, port, 1), undefined, `${from} reaches ${host}:${port}`);

before(async () => {
  if (skip) return;
  machine = await Machine.create('policies');
  await machine.mustPodwire('up', '--nodes', '2');
  await machine.apply(manifest(namespace('red'), namespace('blue'), namespace('loud'), namespace('quiet')));
  const servers = [
    ...server('red', 'web', 'node-1'),
    ...server('red', 'near', 'node-1'),
    ...server('blue', 'far', 'node-2'),
    ...server('blue', 'other', 'node-2'),
  ];
  await machine.apply(manifest(...servers));
  for (const each of ['red', 'blue']) {
    await machine.kubectl('wait', '-n', each, '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
  }
  const { items } = JSON.parse(await machine.kubectl('get', 'pods,services', '-A', '-o', 'json'));
  for (const { kind, metadata, spec, status } of items) {
    ips.set(`${kind} ${metadata.namespace}/${metadata.name}`, kind === 'Pod' ? status.podIP : spec.clusterIP);
  }
});
after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

test('of pods that shout from their first moment on, those that a policy isolates are never heard', {
  skip,
}, async (t) => {
  const listener = machine.spawn(process.execPath, [new URL('./hear.mjs', import.meta.url).pathname, String(PORT)]);
  let heard = '';
  listener.stdout!.on('data', (data: Buffer) => {
    heard += data;
  });
  try {
    await until('somebody hears', async () => heard.includes('hearing'));
    const shouter = (of: string, i: number) => {
      const name = `${of}-${i}`;
      const command = ['bash', '-c', `for i in {1..100}; do echo ${name} > /dev/udp/${EAR}/${PORT}; done`];
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace: of, name },
        spec: {
          nodeName: `node-${1 + (i % 2)}`,
          restartPolicy: 'Never',
          containers: [{ name: 'shout', image: 'host', command }],
        },
      };
    };
    for (let first = 0; first < SHOUTERS; first += CROWD) {
      // The policy is made in the very moment before its first pods.
      const silence = policy('quiet', 'no-egress', { podSelector: {}, policyTypes: ['Egress'] });
      const crowd = Array.from({ length: Math.min(CROWD, SHOUTERS - first) }, (_, i) => first + i);
      const pods = crowd.map((i) => [shouter('quiet', i), ...(i < 4 ? [shouter('loud', i)] : [])]);
      await machine.apply(manifest(silence, ...pods.flat()));
      for (const each of first === 0 ? ['quiet', 'loud'] : ['quiet']) {
        const done = '--for=jsonpath={.status.phase}=Succeeded';
        await machine.kubectl('wait', '-n', each, done, 'pod', '--all', '--timeout=200s');
      }
      if (first + CROWD >= SHOUTERS) break;
      await machine.kubectl('delete', '-n', 'quiet', 'networkpolicy,pod', '--all');
    }
    await until('the loud ones are heard', async () => /loud-0\n/.test(heard) && /loud-3\n/.test(heard));
    t.diagnostic(`${SHOUTERS} pods that are isolated`);
    assert.deepEqual(heard.match(/quiet-\d+/g) ?? [], []);
    assert.equal(new Set(heard.match(/loud-\d+/g)).size, 4);
  } finally {
    listener.kill('SIGKILL');
  }
});

test('a Service’s traffic is judged on the pod behind it, between nodes and on one', { skip }, async () => {
  const red = { namespaceSelector: { matchLabels: { team: 'red' } } };
  await machine.apply(
    manifest(
      policy('blue', 'far-from-red', { podSelector: { matchLabels: { pod: 'far' } }, ingress: [{ from: [red] }] }),
      policy('red', 'web-from-near', {
        podSelector: { matchLabels: { pod: 'web' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'near' } } }], ports: [{ port: 'http' }] }],
      }),
    ),
  );
  await until(
    'the policies are in force',
    async () => (await ask('blue/other', ips.get('Pod blue/far')!, 8080, 1)) === undefined,
  );
  for (const [kind, port] of [
    ['Pod', 8080],
    ['Service', 80],
  ] as const) {
    await answers('red/near', ips.get(`${kind} blue/far`)!, port);
    await answers('red/near', ips.get(`${kind} red/web`)!, port);
    await answers('red/web', ips.get(`${kind} red/web`)!, port);
    await isSilent('blue/other', ips.get(`${kind} blue/far`)!, port);
    await isSilent('blue/far', ips.get(`${kind} red/web`)!, port);
  }
  // The node's own probes come through.
  const ready = await machine.kubectl(
    'get',
    'pod',
    '-n',
    'red',
    'web',
    '-o',
    'jsonpath={.status.containerStatuses[0].ready}',
  );
  assert.equal(ready, 'true');
});

test('podwire says who may speak to whom, and what was refused and by whom', { skip }, async () => {
  const explained = await machine.podwire('policy', 'explain', 'blue/far', 'red/web', 'http');
  assert.equal(explained.code, 3, explained.stderr);
  assert.match(
    explained.stdout,
    /ingress {2}red\/web denied: isolated by NetworkPolicy\/red\/web-from-near, no rule allows/,
  );
  const allowed = await machine.mustPodwire('policy', 'explain', 'red/near', 'red/web', '8080');
  assert.match(allowed, /red\/web allowed by NetworkPolicy\/red\/web-from-near ingress\[0\]/);
  const line = await until('the refused packet is told', async () => {
    const text = await machine.mustPodwire('flows', '--pod', 'red/web', '-o', 'json');
    return text.split('\n').find((each) => each.includes('"peer":"blue/far"'));
  });
  const { node, direction, protocol, port, isolatedBy } = JSON.parse(line);
  assert.deepEqual([node, direction, protocol, port], ['node-1', 'ingress', 'TCP', 8080]);
  assert.deepEqual(isolatedBy, ['NetworkPolicy/red/web-from-near']);
});

test('podwire policy test: real packets, a canary of its own, and loud where policies and packets differ', {
  skip,
}, async () => {
  const run = async (expectations: object[], ...flags: string[]) => {
    const file = join(machine.state, 'expectations.yaml');
    writeFileSync(file, JSON.stringify({ expectations }));
    const outcome = await machine.podwire('policy', 'test', file, '-o', 'json', ...flags);
    return { ...outcome, found: JSON.parse(outcome.stdout) as { name: string; ok: boolean; disagrees?: true }[] };
  };
  const far = ips.get('Pod blue/far')!;
  const holding = await run([
    { from: 'red/near', to: 'red/web', port: 'http', expect: 'allow' },
    { from: 'red/near', to: 'red/web', port: 9, expect: 'deny' },
    { from: 'blue/other', to: 'svc/blue/far', port: 80, expect: 'deny' },
    { from: 'red/web', to: 'far.blue', port: 80, http: { status: 200, path: '/hostname' } },
    { from: 'blue/other', to: 'far.blue', port: 80, expect: 'deny', http: {} },
    { from: 'red/near', dns: 'far.blue', answers: [ips.get('Service blue/far')] },
    { from: 'red/near', dns: 'nobody.blue', answers: [] },
    // Nobody listens there: somebody is put there for the time being.
    { from: 'red/*', to: far, port: 4321, expect: 'allow' },
    { from: 'red/near', to: far, port: '4321/UDP', expect: 'allow' },
    { from: 'blue/other', to: far, port: '4321/UDP', expect: 'deny' },
    { from: 'node/node-2', to: far, port: 8080, expect: 'allow' },
  ]);
  assert.deepEqual(
    holding.found.filter(({ ok }) => !ok),
    [],
    holding.stderr,
  );
  assert.equal(holding.code, 0);
  assert.equal(holding.found.filter(({ name }) => name.startsWith('canary: ')).length, 5);
  assert.equal(await machine.kubectl('get', 'namespaces', '-o', 'name').then((text) => text.includes('canary')), false);

  const live = JSON.parse(
    await machine.mustPodwire('policy', 'matrix', '--live', '--port', '8080,9/UDP', '-o', 'json'),
  );
  const cell = (from: string, to: string) =>
    live.cells.find((each: { from: string; to: string }) => each.from === from && each.to === to);
  assert.deepEqual(cell('red/near', 'red/web').allowed, ['TCP 8080']);
  assert.deepEqual(cell('blue/other', 'blue/far').allowed, []);
  assert.equal(live.cells.length, live.groups.length ** 2);

  const wrong = await run([{ from: 'blue/other', to: 'blue/far', port: 8080, expect: 'allow', attempts: 1 }]);
  assert.equal(wrong.code, 3);
  assert.deepEqual(
    wrong.found.filter(({ disagrees }) => disagrees),
    [],
  );

  const onNode = (...words: string[]) => machine.mustPodwire('node', 'exec', 'node-2', '--', 'nft', ...words);
  await onNode('add table ip other; add chain ip other c { type filter hook forward priority 10; }');
  await onNode(`add rule ip other c ip daddr ${far} tcp dport 8080 drop`);
  const clash = await run([{ from: 'red/near', to: 'blue/far', port: 8080, expect: 'deny', attempts: 1 }]);
  await onNode('delete table ip other');
  assert.equal(clash.code, 3);
  assert.deepEqual(
    clash.found.filter(({ disagrees }) => disagrees).map(({ name }) => name),
    ['red/near -> blue/far 8080 deny'],
  );
  assert.match(clash.stderr, /policies and packets DISAGREE in 1 of 1/);
});

test('DNS is denied and allowed as where pods answer it', { skip }, async () => {
  const near = { matchLabels: { pod: 'near' } };
  await machine.apply(manifest(policy('red', 'no-egress', { podSelector: near, policyTypes: ['Egress'] })));
  const resolves = async () => {
    const words = [
      'exec',
      '-n',
      'red',
      'near',
      '--',
      'dig',
      '+tries=1',
      '+time=2',
      '+short',
      'far.blue.svc.cluster.local',
    ];
    return (await machine.run('kubectl', words)).stdout.trim() === ips.get('Service blue/far');
  };
  await until('DNS is denied', async () => !(await resolves()));
  const dns = {
    to: [
      {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
        podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
      },
    ],
    ports: [
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ],
  };
  await machine.apply(
    manifest(policy('red', 'allow-dns', { podSelector: {}, policyTypes: ['Egress'], egress: [dns] })),
  );
  await until('DNS is allowed', resolves);
  await isSilent('red/near', ips.get('Service blue/far')!, 80);
  await machine.kubectl('delete', 'networkpolicy', '-n', 'red', '--all');
  await answers('red/near', 'far.blue', 80);
});

test('tiers by kubectl: what Admin denies no NetworkPolicy allows, Calico decides by order, staged policies deny nothing', {
  skip,
}, async () => {
  const team = (name: string) => ({ namespaces: { matchLabels: { team: name } } });
  const guard = (action: string, annotations = {}) => ({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'guard', annotations },
    spec: {
      tier: 'Admin',
      priority: 1,
      subject: team('red'),
      ingress: [{ name: 'blue', action, from: [team('blue')] }],
    },
  });
  const web = ips.get('Pod red/web')!;
  const silent = (from: string) => async () => (await ask(from, web, 8080, 1)) === undefined;
  await machine.apply(
    manifest(guard('Deny'), policy('red', 'all', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] })),
  );
  await until('Admin denies', silent('blue/far'));
  await isSilent('blue/far', ips.get('Service red/web')!, 80);
  await answers('red/near', web, 8080);
  const calico = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'no-near' },
    spec: { order: 10, selector: 'pod == "web"', ingress: [{ action: 'Deny', source: { selector: 'pod == "near"' } }] },
  };
  await machine.apply(manifest(calico));
  await until('Calico denies before NetworkPolicies allow', silent('red/near'));
  await machine.apply(manifest(guard('Deny', { 'podwire.io/mode': 'staged' })));
  await answers('blue/far', web, 8080);
  await until('what a staged policy would deny is told', async () => {
    const text = await machine.mustPodwire('flows', '--verdict', 'would-deny', '--pod', 'red/web');
    return text.includes('denied by ClusterNetworkPolicy/guard ingress[0] "blue"');
  });
  const table = await machine.kubectl('get', 'cnp,gnp', '--no-headers');
  assert.match(table, /guard +Admin +1 /);
  assert.match(table, /no-near +default +10 /);
  const bad = { ...guard('Allow'), spec: { ...guard('Allow').spec, priority: 1001 } };
  const { code, stderr } = await machine.run('kubectl', ['apply', '-f', '-'], manifest(bad));
  assert.equal(code, 1);
  assert.match(
    stderr,
    /spec\.priority: Invalid value: 1001: spec\.priority in body should be less than or equal to 1000/,
  );
  await machine.kubectl('delete', 'cnp,gnp', '--all');
  await machine.kubectl('delete', 'networkpolicy', '-n', 'red', '--all');
  await answers('red/near', web, 8080);
});

test('a pod on the network of its host is that node: no policy holds it, no selector means it, its address does', {
  skip,
}, async () => {
  const spec = { hostNetwork: true, nodeName: 'node-2', terminationGracePeriodSeconds: 0 };
  const containers = [{ name: 'c', image: 'host', command: ['sleep', 'inf'] }];
  const host = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'red', name: 'host' },
    spec: { ...spec, containers },
  };
  await machine.apply(manifest(host));
  await machine.kubectl('wait', '-n', 'red', '--for=condition=Ready', 'pod/host', '--timeout=60s');
  await answers('red/host', ips.get('Pod red/web')!, 8080);
  const inside = policy('red', 'inside', {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: {} }] }],
    egress: [{ to: [{ podSelector: {} }] }],
  });
  await machine.apply(manifest(inside));
  await until('it is a stranger', async () => (await ask('red/host', ips.get('Pod red/web')!, 8080, 1)) === undefined);
  await answers('red/host', ips.get('Pod blue/far')!, 8080);
  await isSilent('red/near', ips.get('Pod blue/far')!, 8080);
  const nodeIP = await machine.kubectl('get', 'pod', '-n', 'red', 'host', '-o', 'jsonpath={.status.hostIP}');
  const block = { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: `${nodeIP.trim()}/32` } }] }] };
  await machine.apply(manifest(policy('red', 'by-address', block)));
  await answers('red/host', ips.get('Pod red/web')!, 8080);
  await machine.kubectl('delete', 'networkpolicy', '-n', 'red', '--all');
  await machine.kubectl('delete', 'pod', '-n', 'red', 'host', '--force');
});

test('what cannot be is refused in Kubernetes’ words', { skip }, async () => {
  const bad = policy('red', 'bad', {
    podSelector: {},
    ingress: [
      { from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/8'] } }], ports: [{ port: 90, endPort: 80 }] },
    ],
  });
  const { code, stderr } = await machine.run('kubectl', ['apply', '-f', '-'], manifest(bad));
  assert.equal(code, 1);
  assert.match(
    stderr,
    /spec\.ingress\[0\]\.ports\[0\]\.endPort: Invalid value: 80: must be greater than or equal to `port`/,
  );
  assert.match(
    stderr,
    /spec\.ingress\[0\]\.from\[0\]\.ipBlock\.except\[0\]: Invalid value: "11\.0\.0\.0\/8": must be a strict subset of `cidr`/,
  );
});

test('without policies nothing of them is left in the kernel', { skip }, async () => {
  await machine.kubectl('delete', 'networkpolicy', '-A', '--all');
  await until('the tables are gone', async () => {
    const { stdout } = await machine.podwire('node', 'exec', 'node-1', '--', 'nft', 'list', 'tables');
    return !stdout.includes('podwire-policy');
  });
});

test('podwire policy recommend: what was seen passes under what it prints, and nothing else does', {
  skip,
}, async () => {
  const flow = { from: 'red/near', to: 'svc/blue/far', port: 80 };
  const never = { from: 'blue/far', to: 'red/near', port: 7 };
  const held = async (...expectations: object[]) => {
    const file = join(machine.state, 'recommended.yaml');
    writeFileSync(file, JSON.stringify({ expectations }));
    const { code, stdout } = await machine.podwire('policy', 'test', file);
    assert.equal(code, 0, stdout);
  };
  await answers(flow.from, ips.get('Service blue/far')!, flow.port);
  const seen = join(machine.state, 'flows.jsonl');
  const words = ['recommend', '--for', '0s', '--record', seen, '-n', 'red', 'blue'];
  const policies = await machine.mustPodwire('policy', ...words);
  const deny = join(machine.state, 'deny.yaml');
  writeFileSync(deny, JSON.stringify(policy('blue', 'deny', { podSelector: { matchLabels: { pod: 'far' } } })));
  const { stdout } = await machine.podwire('policy', 'diff', '-f', deny, '--flows', seen, '-o', 'json');
  const denied = JSON.parse(stdout) as { from: string; to: string; port: number; after: boolean }[];
  assert.ok(
    denied.some(({ from, to, port, after }) => `${from} ${to} ${port} ${after}` === 'red/near blue/far 8080 false'),
    stdout,
  );
  await machine.apply(policies);
  await held(
    { ...flow, expect: 'allow' },
    { ...never, expect: 'deny' },
    { from: 'red/near', dns: 'far.blue', expect: 'allow' },
  );
  await machine.kubectl('delete', 'networkpolicy', '-A', '--all');
  await held({ ...never, expect: 'allow' });
});
