// NetworkPolicies on a whole cluster: in force before a pod's first packet, judged behind Services, with DNS and probes as elsewhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kubectlSkip, until } from './machine.ts';
import { manifest, namespace, PolicyPods, policy } from './policy-pods.ts';

const skip = kubectlSkip() ?? false;
/** So many pods shout from their first moment on; `npm run long -- shout` has a thousand. */
const SHOUTERS = Number(process.env['PODWIRE_SHOUTERS'] ?? (process.env['PODWIRE_LONG'] ? 1000 : 24));
/** So many at a time: nodes have addresses for 254. */
const CROWD = 100;
const PORT = 9999;
const EAR = '172.30.0.1';

let pods: PolicyPods;

before(async () => {
  if (!skip) pods = await PolicyPods.create('policies', namespace('loud'), namespace('quiet'));
});
after(async () => {
  await pods?.[Symbol.asyncDispose]();
});

test('of pods that shout from their first moment on, those that a policy isolates are never heard', {
  skip,
}, async (t) => {
  const listener = pods.machine.spawn(process.execPath, [
    new URL('./hear.mjs', import.meta.url).pathname,
    String(PORT),
  ]);
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
      const shouters = crowd.map((i) => [shouter('quiet', i), ...(i < 4 ? [shouter('loud', i)] : [])]);
      await pods.machine.apply(manifest(silence, ...shouters.flat()));
      for (const each of first === 0 ? ['quiet', 'loud'] : ['quiet']) {
        const done = '--for=jsonpath={.status.phase}=Succeeded';
        await pods.machine.kubectl('wait', '-n', each, done, 'pod', '--all', '--timeout=200s');
      }
      if (first + CROWD >= SHOUTERS) break;
      await pods.machine.kubectl('delete', '-n', 'quiet', 'networkpolicy,pod', '--all');
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
  await pods.machine.apply(
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
    async () => (await pods.ask('blue/other', pods.ip('Pod blue/far'), 8080, 1)) === undefined,
  );
  for (const [kind, port] of [
    ['Pod', 8080],
    ['Service', 80],
  ] as const) {
    await pods.answers('red/near', pods.ip(`${kind} blue/far`), port);
    await pods.answers('red/near', pods.ip(`${kind} red/web`), port);
    await pods.answers('red/web', pods.ip(`${kind} red/web`), port);
    await pods.isSilent('blue/other', pods.ip(`${kind} blue/far`), port);
    await pods.isSilent('blue/far', pods.ip(`${kind} red/web`), port);
  }
  // The node's own probes come through.
  const ready = await pods.machine.kubectl(
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

test('DNS is denied and allowed as where pods answer it', { skip }, async () => {
  const near = { matchLabels: { pod: 'near' } };
  await pods.machine.apply(manifest(policy('red', 'no-egress', { podSelector: near, policyTypes: ['Egress'] })));
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
    return (await pods.machine.run('kubectl', words)).stdout.trim() === pods.ip('Service blue/far');
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
  await pods.machine.apply(
    manifest(policy('red', 'allow-dns', { podSelector: {}, policyTypes: ['Egress'], egress: [dns] })),
  );
  await until('DNS is allowed', resolves);
  await pods.isSilent('red/near', pods.ip('Service blue/far'), 80);
  await pods.machine.kubectl('delete', 'networkpolicy', '-n', 'red', '--all');
  await pods.answers('red/near', 'far.blue', 80);
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
  const web = pods.ip('Pod red/web');
  const silent = (from: string) => async () => (await pods.ask(from, web, 8080, 1)) === undefined;
  await pods.machine.apply(
    manifest(guard('Deny'), policy('red', 'all', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] })),
  );
  await until('Admin denies', silent('blue/far'));
  await pods.isSilent('blue/far', pods.ip('Service red/web'), 80);
  await pods.answers('red/near', web, 8080);
  const calico = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'no-near' },
    spec: { order: 10, selector: 'pod == "web"', ingress: [{ action: 'Deny', source: { selector: 'pod == "near"' } }] },
  };
  await pods.machine.apply(manifest(calico));
  await until('Calico denies before NetworkPolicies allow', silent('red/near'));
  await pods.machine.apply(manifest(guard('Deny', { 'podwire.io/mode': 'staged' })));
  await pods.answers('blue/far', web, 8080);
  await until('what a staged policy would deny is told', async () => {
    const text = await pods.machine.mustPodwire('flows', '--verdict', 'would-deny', '--pod', 'red/web');
    return text.includes('denied by ClusterNetworkPolicy/guard ingress[0] "blue"');
  });
  const table = await pods.machine.kubectl('get', 'cnp,gnp', '--no-headers');
  assert.match(table, /guard +Admin +1 /);
  assert.match(table, /no-near +default +10 /);
  const bad = { ...guard('Allow'), spec: { ...guard('Allow').spec, priority: 1001 } };
  const { code, stderr } = await pods.machine.run('kubectl', ['apply', '-f', '-'], manifest(bad));
  assert.equal(code, 1);
  assert.match(
    stderr,
    /spec\.priority: Invalid value: 1001: spec\.priority in body should be less than or equal to 1000/,
  );
  await pods.machine.kubectl('delete', 'cnp,gnp', '--all');
  await pods.machine.kubectl('delete', 'networkpolicy', '-n', 'red', '--all');
  await pods.answers('red/near', web, 8080);
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
  await pods.machine.apply(manifest(host));
  await pods.machine.kubectl('wait', '-n', 'red', '--for=condition=Ready', 'pod/host', '--timeout=60s');
  await pods.answers('red/host', pods.ip('Pod red/web'), 8080);
  const inside = policy('red', 'inside', {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: {} }] }],
    egress: [{ to: [{ podSelector: {} }] }],
  });
  await pods.machine.apply(manifest(inside));
  await until(
    'it is a stranger',
    async () => (await pods.ask('red/host', pods.ip('Pod red/web'), 8080, 1)) === undefined,
  );
  await pods.answers('red/host', pods.ip('Pod blue/far'), 8080);
  await pods.isSilent('red/near', pods.ip('Pod blue/far'), 8080);
  const nodeIP = await pods.machine.kubectl('get', 'pod', '-n', 'red', 'host', '-o', 'jsonpath={.status.hostIP}');
  const block = { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: `${nodeIP.trim()}/32` } }] }] };
  await pods.machine.apply(manifest(policy('red', 'by-address', block)));
  await pods.answers('red/host', pods.ip('Pod red/web'), 8080);
  await pods.machine.kubectl('delete', 'networkpolicy', '-n', 'red', '--all');
  await pods.machine.kubectl('delete', 'pod', '-n', 'red', 'host', '--force');
});

test('what cannot be is refused in Kubernetes’ words', { skip }, async () => {
  const bad = policy('red', 'bad', {
    podSelector: {},
    ingress: [
      { from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/8'] } }], ports: [{ port: 90, endPort: 80 }] },
    ],
  });
  const { code, stderr } = await pods.machine.run('kubectl', ['apply', '-f', '-'], manifest(bad));
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
  await pods.machine.kubectl('delete', 'networkpolicy', '-A', '--all');
  await until('the tables are gone', async () => {
    const { stdout } = await pods.machine.podwire('node', 'exec', 'node-1', '--', 'nft', 'list', 'tables');
    return !stdout.includes('podwire-policy');
  });
});
