// `podwire trace` on clusters of both datapaths, as a user calls it: what is said, what is seen, and that they are the same; and where somebody
// has put a rule of his own into a node, that it is told.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Followed } from '../../src/cli/trace-live.ts';
import type { Trace } from '../../src/trace/hop.ts';
import { clusterSkip, kubectlSkip, Machine } from '../cluster/machine.ts';

type Told = Trace & { arrives: boolean; live?: Followed };

const LABELS = { app: 'web' };
const MANIFESTS = [
  pod('client', 'node-1', { app: 'client' }),
  pod('near', 'node-1', LABELS),
  pod('far', 'node-2', LABELS),
  pod('other', 'node-2', { app: 'other' }),
  service('web', { selector: LABELS, ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
  service('open', { type: 'NodePort', selector: LABELS, ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }] }),
  service('empty', { selector: { app: 'nobody' }, ports: [{ port: 80 }] }),
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'other', namespace: 'default' },
    spec: { podSelector: { matchLabels: { app: 'other' } }, policyTypes: ['Ingress'] },
  },
];

function pod(name: string, nodeName: string, labels: object): object {
  const container = {
    name: 'agnhost',
    image: 'podwire.io/agnhost',
    args: ['netexec', '--http-port=8080', '--udp-port=8081'],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
  };
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', labels }, spec };
}

function service(name: string, spec: object): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec };
}

const MODES = [
  { mode: 'nftables', flags: ['--datapath', 'nftables'] },
  { mode: 'ebpf', flags: ['--datapath', 'ebpf', '--proxy-mode', 'ebpf'] },
];

for (const { mode, flags } of MODES) {
  describe(`podwire trace, ${mode}`, { skip: clusterSkip() ?? kubectlSkip() }, () => {
    let machine: Machine;
    before(async () => {
      machine = await Machine.create(`tr${mode.slice(0, 2)}`);
      await machine.mustPodwire('up', '--nodes', '2', ...flags);
      await machine.apply(MANIFESTS.map((each) => JSON.stringify(each)).join('\n'));
      await machine.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
    });
    after(async () => {
      await machine?.[Symbol.asyncDispose]();
    });

    async function trace(code: number, ...words: string[]): Promise<Told> {
      const outcome = await machine.podwire('trace', ...words, '-o', 'json');
      assert.equal(outcome.code, code, `${words.join(' ')}: ${outcome.stdout}${outcome.stderr}`);
      return JSON.parse(outcome.stdout) as Told;
    }

    const CASES: readonly { words: string[]; code: number; kind: string; stage?: string; mend?: RegExp }[] = [
      { words: ['client', 'svc/web'], code: 0, kind: 'delivered' },
      { words: ['client', 'web:http'], code: 0, kind: 'delivered' },
      { words: ['client', 'web.default:80'], code: 0, kind: 'delivered' },
      { words: ['client', 'far:8080'], code: 0, kind: 'delivered' },
      { words: ['client', 'far:8081/udp'], code: 0, kind: 'delivered' },
      { words: ['node/node-2', 'svc/web'], code: 0, kind: 'delivered' },
      { words: ['172.30.0.1', 'node/node-2:30080'], code: 0, kind: 'delivered' },
      { words: ['client', 'node/node-2:30080'], code: 0, kind: 'delivered' },
      { words: ['near', 'near:8080'], code: 0, kind: 'delivered' },
      { words: ['client', 'far:81'], code: 3, kind: 'refused', stage: 'delivery', mend: /listen on 81/ },
      { words: ['client', 'svc/web:81'], code: 3, kind: 'refused', stage: 'service', mend: /80\/TCP \(http\)/ },
      { words: ['client', 'svc/empty'], code: 3, kind: 'refused', mend: /labels app=nobody/ },
      {
        words: ['client', 'other:8080'],
        code: 3,
        kind: 'lost',
        stage: 'ingress',
        mend: /^add an ingress rule to NetworkPolicy\/default\/other that allows pods app=client on 8080\/TCP$/,
      },
      { words: ['client', '203.0.113.9:80'], code: 3, kind: 'unreachable', stage: 'route' },
    ];

    for (const { words, code, kind, stage, mend } of CASES) {
      test(words.join(' '), async () => {
        const { ways, live } = await trace(code, ...words, '--live');
        for (const { ending } of ways) {
          assert.equal(ending.kind, kind);
          if (stage) assert.equal(ending.stage, stage);
          if (mend) assert.match(ending.mend!, mend);
        }
        assert.deepEqual(
          live!.rows.filter(({ same }) => !same),
          [],
        );
        for (const { at, said } of live!.rows.filter((row) => live!.counted[row.at] && row.said !== 'answer')) {
          const { came, left } = live!.counted[at]!.request;
          assert.ok(came > 0, `${at} ${said}: ${came} came`);
          assert.equal(left > 0, said.startsWith('passes'), `${at} ${said}: ${left} left`);
        }
      });
    }

    test('text for people', async () => {
      const { stdout } = await machine.podwire('trace', 'client', 'other:8080');
      assert.match(
        stdout,
        /^NO {2}node-2 {2}ingress {3}default\/other denied: isolated by NetworkPolicy\/default\/other/m,
      );
      assert.match(stdout, /^To change that: add an ingress rule/m);
      assert.ok(!stdout.includes('\u001b'), 'no colours where it is piped');
      const wrong = await machine.podwire('trace', 'client', 'svc/nobody:80');
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /nothing is called/);
    });

    test('a rule of somebody else is seen, and nothing of ours stays behind', async () => {
      const inside = (...words: string[]) => machine.podwire('node', 'exec', 'node-2', '--', 'nft', ...words);
      await inside('add', 'table', 'ip', 'stranger');
      await inside('add', 'chain', 'ip', 'stranger', 'c', '{ type filter hook forward priority 10; }');
      await inside('add', 'rule', 'ip', 'stranger', 'c', 'tcp dport 8080 ip saddr 10.244.0.0/24 drop');
      const { live } = await trace(4, 'client', 'far:8080', '--live');
      const row = live!.rows.find(({ at, same }) => at === 'node-2' && !same);
      assert.match(row!.seen, /ended in stranger c/);
      await inside('delete', 'table', 'ip', 'stranger');
      const { stdout } = await inside('list', 'tables');
      assert.ok(!stdout.includes('pw-trace'), stdout);
    });
  });
}
