// What a node's kernel holds of policies: small clusters by hand, and how little a change changes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkPolicy } from '../../objects/types.ts';
import { PolicyEngine } from './engine.ts';
import { NodePolicies } from './node-policies.ts';
import type { PodFacts } from './pod.ts';

const FACTS = { nodeName: 'n1', families: [4], dnsIPs: [] } as const;

function pod(name: string, ip: string, labels: Record<string, string>, ports: [string, number][] = []): PodFacts {
  const plain = { hostNetwork: false, node: 'n1', namespace: 'shop' };
  return { ...plain, key: `shop/${name}`, name, labels, ips: [ip], ports: new Map(ports) };
}

function policy(name: string, spec: NetworkPolicy['spec']): NetworkPolicy {
  const metadata = { name, namespace: 'shop', uid: name, resourceVersion: '1', creationTimestamp: '' };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec } as NetworkPolicy;
}

function cluster(count: number, policies: readonly NetworkPolicy[]) {
  const engine = new PolicyEngine();
  const node = new NodePolicies(engine, FACTS);
  engine.setPod(pod('web', '10.244.0.1', { app: 'web' }));
  engine.setPod(pod('db', '10.244.0.2', { app: 'db' }, [['TCP/sql', 5432]]));
  for (let i = 0; i < count; i++) {
    engine.setPod(pod(`c${i}`, `10.244.${1 + (i >> 8)}.${i & 255}`, { app: `c${i % 10}` }));
  }
  for (const each of policies) engine.setPolicy(each);
  node.target('shop/web', 'pwweb');
  const changes = () =>
    [...node.takeChanges()].map(([key, fragment]) => {
      const items = (fragment?.items ?? []).map((item) =>
        item.kind === 'element' && 'set' in item ? `${item.set} ${item.key.join(' . ')} "${item.comment}"` : item.kind,
      );
      const unnumbered = (text: string) => text.replaceAll(/\b\d{6,}\b/g, 'CLASS');
      return [unnumbered(key), items.map(unnumbered)] as const;
    });
  return { engine, node, changes };
}

const ISOLATED = 'Pod/shop/web isolated by NetworkPolicy/shop/p';

test('a port by its name, in egress to a block: pods at these addresses, each by its own number', () => {
  const spec = {
    podSelector: { matchLabels: { app: 'web' } },
    policyTypes: ['Egress'],
    egress: [{ to: [{ ipBlock: { cidr: '10.244.0.0/24' } }], ports: [{ port: 'sql', protocol: 'TCP' }] }],
  };
  const { changes } = cluster(0, [policy('p', spec)]);
  assert.deepEqual(changes(), [
    [
      'policy/pod/shop/web',
      [
        'isolated pwweb "Pod/shop/web"',
        'own pwweb . 10.244.0.1 "Pod/shop/web"',
        `egress-isolated pwweb "${ISOLATED}"`,
        `egress-refused pwweb "${ISOLATED}"`,
      ],
    ],
    ['policy/peer/shop/db', ['pods 10.244.0.2 "Pod/shop/db"']],
    [
      'policy/allow/egress/shop/web/CLASS',
      ['egress-ports pwweb . CLASS . tcp . 5432 "NetworkPolicy/shop/p egress[0]"'],
    ],
  ]);
});

test('with 2,000 peers a pod that starts, changes its labels or goes is one fragment', () => {
  const from = Array.from({ length: 5 }, (_, i) => ({ podSelector: { matchLabels: { app: `c${i}` } } }));
  const spec = { podSelector: { matchLabels: { app: 'web' } }, ingress: [{ from, ports: [{ port: 80 }] }] };
  const { engine, changes } = cluster(2000, [policy('p', spec)]);
  assert.equal(changes().length, 1 + 1000 + 5);
  engine.setPod(pod('new', '10.244.99.1', { app: 'c1' }));
  assert.deepEqual(changes(), [['policy/peer/shop/new', ['pods 10.244.99.1 "Pod/shop/new"']]]);
  engine.setPod(pod('new', '10.244.99.1', { app: 'c2' }));
  assert.deepEqual(changes(), [['policy/peer/shop/new', ['pods 10.244.99.1 "Pod/shop/new"']]]);
  engine.setPod(pod('new', '10.244.99.1', { app: 'c9' }));
  assert.deepEqual(changes(), [['policy/peer/shop/new', []]]);
  engine.removePod('shop/new');
  assert.deepEqual(changes(), []);
});

test('pods that no policy selects need nothing', () => {
  const { node, changes } = cluster(100, [policy('p', { podSelector: { matchLabels: { app: 'nobody' } } })]);
  assert.deepEqual(changes(), []);
  assert.deepEqual(node.isolated(), []);
});

test('isolated pods are known by address, for other paths that must not carry them', () => {
  const { engine, node } = cluster(0, [policy('p', { podSelector: {}, policyTypes: ['Ingress'] })]);
  node.takeChanges();
  const web = { key: 'shop/web', link: 'pwweb', ips: ['10.244.0.1'], directions: ['ingress'] };
  assert.deepEqual(node.isolated(), [web]);
  engine.removePolicy('NetworkPolicy/shop/p');
  node.takeChanges();
  assert.deepEqual(node.isolated(), []);
});
