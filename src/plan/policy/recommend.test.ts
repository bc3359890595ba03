// Recommended policies: what was seen passes, what was not is denied, and the labels are those that tell workloads apart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NetworkPolicy, Pod } from '../../objects/types.ts';
import { directoryOf } from './ends.ts';
import { PolicyEngine } from './engine.ts';
import { judge } from './judge.ts';
import { dnsPod } from './pod.ts';
import { recommend, type SeenFlow } from './recommend.ts';

const APPS = ['web', 'db', 'cache'] as const;
const SPACES = ['shop', 'bank'] as const;

function pod(namespace: string, app: string, i: number, labels: Record<string, string> = { app, tier: 'all' }): Pod {
  const n = SPACES.indexOf(namespace as 'shop') * 100 + APPS.indexOf(app as 'web') * 10 + i;
  const hash = { 'pod-template-hash': `h${app}` };
  return {
    kind: 'Pod',
    metadata: {
      namespace,
      name: `${app}-h${app}-${i}`,
      labels: { ...labels, ...hash },
      ownerReferences: [{ kind: 'ReplicaSet', name: `${app}-h${app}`, controller: true }],
    },
    spec: { nodeName: 'n', containers: [{ name: 'c' }] },
    status: { phase: 'Running', podIPs: [{ ip: `10.1.0.${n}` }, { ip: `fd00::${n}` }] },
  } as unknown as Pod;
}

const PODS = SPACES.flatMap((space) => APPS.flatMap((app) => [1, 2].map((i) => pod(space, app, i))));
const DNS = dnsPod(['10.2.0.10']);

function engineOf(pods: readonly Pod[], policies: readonly object[] = []): PolicyEngine {
  const engine = new PolicyEngine();
  for (const space of SPACES) engine.setNamespace(space, {});
  engine.setNamespace('kube-system', {});
  for (const each of pods) engine.setPod(each);
  engine.setPod(DNS);
  for (const policy of policies) engine.setPolicy(policy as NetworkPolicy);
  return engine;
}

const ip = (space: string, app: string, i = 1) => pod(space, app, i).status!.podIPs![0]!.ip;
const tcp = (from: string, to: string, port: number): SeenFlow => ({ from, to, protocol: 'TCP', port });

test('one label that tells a workload apart, peers by namespace, ports in ranges, addresses as blocks', () => {
  const web = ip('shop', 'web');
  const flows = [80, 81, 82, 90].map((port) => tcp(web, ip('shop', 'db'), port));
  flows.push(tcp(ip('bank', 'web'), ip('shop', 'db'), 90), tcp(web, '198.51.100.7', 443), tcp('192.0.2.1', web, 8080));
  const { policies, warnings } = recommend(engineOf(PODS), directoryOf(PODS), flows, {
    namespaces: ['shop'],
    dns: false,
  });
  assert.deepEqual(warnings, []);
  const specs = Object.fromEntries(policies.map(({ policy }) => [policy.metadata.name, policy.spec]));
  assert.deepEqual(Object.keys(specs), ['recommended-cache', 'recommended-db', 'recommended-web']);
  const types = ['Ingress', 'Egress'];
  assert.deepEqual(specs['recommended-cache'], { podSelector: { matchLabels: { app: 'cache' } }, policyTypes: types });
  const port = (from: number, endPort?: number) => ({ protocol: 'TCP', port: from, ...(endPort && { endPort }) });
  const ofBank = { matchLabels: { 'kubernetes.io/metadata.name': 'bank' } };
  assert.deepEqual(specs['recommended-db']?.ingress, [
    { from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [port(80, 82), port(90)] },
    { from: [{ namespaceSelector: ofBank, podSelector: { matchLabels: { app: 'web' } } }], ports: [port(90)] },
  ]);
  assert.deepEqual(specs['recommended-web']?.ingress, [
    { from: [{ ipBlock: { cidr: '192.0.2.1/32' } }], ports: [port(8080)] },
  ]);
  assert.deepEqual(specs['recommended-web']?.egress?.[0], {
    to: [{ ipBlock: { cidr: '198.51.100.7/32' } }],
    ports: [port(443)],
  });
});

test('pods without labels are told of, and their namespace stands for them', () => {
  const spy = pod('bank', 'cache', 1, {});
  (spy.metadata as { labels?: object }).labels = {};
  const pods = [
    ...PODS.filter(({ metadata }) => metadata.name !== spy.metadata.name || metadata.namespace !== 'bank'),
    spy,
  ];
  const flows = [tcp(spy.status!.podIPs![0]!.ip, ip('shop', 'db'), 90)];
  const { policies, warnings } = recommend(engineOf(pods), directoryOf(pods), flows, { dns: true });
  assert.equal(warnings.length, 2);
  const db = policies.find(({ workload }) => workload === 'shop/db')!.policy.spec;
  assert.deepEqual(db.ingress?.[0]?.from?.[0], {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'bank' } },
    podSelector: {},
  });
  assert.deepEqual(
    db.egress?.[0]?.ports.map(({ protocol, port }) => `${protocol} ${port}`),
    ['UDP 53', 'TCP 53'],
  );
});

test('whatever was seen: that passes, between workloads that did not speak nothing does', () => {
  const end = fc.record({ space: fc.constantFrom(...SPACES), app: fc.constantFrom(...APPS), i: fc.constantFrom(1, 2) });
  const flow = fc.record({
    a: end,
    b: end,
    port: fc.constantFrom(80, 81, 82, 443),
    udp: fc.boolean(),
    six: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(flow, { maxLength: 12 }), fc.array(flow, { maxLength: 12 }), (seen, others) => {
      const seenFlow = ({ a, b, port, udp, six }: (typeof seen)[number]): SeenFlow => {
        const at = (each: typeof a) => pod(each.space, each.app, each.i).status!.podIPs![six ? 1 : 0]!.ip;
        return { from: at(a), to: at(b), protocol: udp ? 'UDP' : 'TCP', port };
      };
      const flows = seen.map(seenFlow);
      const { policies } = recommend(engineOf(PODS), directoryOf(PODS), flows, { dns: true });
      const engine = engineOf(
        PODS,
        policies.map(({ policy }) => policy),
      );
      for (const each of flows) assert.ok(judge(engine, each).allowed, JSON.stringify(each));
      const kind = ({ a, b, port, udp }: (typeof seen)[number]) =>
        `${a.space} ${a.app} ${b.space} ${b.app} ${port} ${udp}`;
      const known = new Set(seen.map(kind));
      for (const other of others) {
        const each = seenFlow(other);
        if (each.from === each.to || known.has(kind(other))) continue;
        assert.equal(judge(engine, each).allowed, false, JSON.stringify(each));
      }
    }),
    { numRuns: 100 },
  );
});
