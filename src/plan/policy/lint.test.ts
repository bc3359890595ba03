// Rules that change nothing: allowed by another one too, or decided before they are asked; and what only looks like it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkPolicy } from '../../objects/types.ts';
import { PolicyEngine } from './engine.ts';
import { lint } from './lint.ts';

const pods = (app: string) => ({ podSelector: { matchLabels: { app } } });
const all = { namespaceSelector: {} };
const space = (name: string) => ({ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } });

function engineOf(...policies: readonly (readonly [name: string, spec: object])[]): PolicyEngine {
  const engine = new PolicyEngine();
  engine.setNamespace('shop', {});
  for (const [i, app] of ['web', 'db', 'spy'].entries()) {
    const facts = { namespace: 'shop', name: app, labels: { app, team: 'a' }, node: 'n', hostNetwork: false };
    engine.setPod({ ...facts, key: `shop/${app}`, ips: [`10.1.0.${i + 1}`], ports: new Map([['TCP/http', 80]]) });
  }
  for (const [name, spec] of policies) {
    engine.setPolicy({ metadata: { namespace: 'shop', name }, spec } as unknown as NetworkPolicy);
  }
  return engine;
}

/** `ingress[1] by ingress[0]` of one policy `p` that is for all pods. */
function shadowed(...ingress: readonly object[]): string[] {
  const found = lint(engineOf(['p', { podSelector: {}, ingress }])).filter(({ check }) => check === 'shadowed');
  return found.map(({ index, says }) => `${index} by ${/ingress\[(\d+)\]/.exec(says)![1]}`);
}

test('a rule that allows nothing that another does not allow', () => {
  assert.deepEqual(shadowed({ from: [pods('web')] }, {}), ['0 by 1']);
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [{ podSelector: {} }] }), ['0 by 1']);
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [all] }), ['0 by 1']);
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [space('shop')] }), ['0 by 1']);
  assert.deepEqual(shadowed({ from: [space('bank')] }, { from: [all] }), ['0 by 1']);
  assert.deepEqual(shadowed({ ports: [{ port: 80 }] }, { ports: [{ port: 79, endPort: 81 }] }), ['0 by 1']);
  assert.deepEqual(shadowed({ ports: [{ port: 'http' }] }, { ports: [{ protocol: 'TCP' }] }), ['0 by 1']);
  const narrow = { podSelector: { matchLabels: { app: 'web', team: 'a' } } };
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [narrow] }), ['1 by 0']);
  const block = (cidr: string, except: string[] = []) => ({ from: [{ ipBlock: { cidr, except } }] });
  assert.deepEqual(shadowed(block('10.0.0.0/8', ['10.1.0.0/16']), block('10.2.0.0/16')), ['1 by 0']);
});

test('of two that are the same the later is one too many', () => {
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [pods('web')] }), ['1 by 0']);
});

test('what differs in anything is no shadow', () => {
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [pods('db')] }), []);
  assert.deepEqual(shadowed({ from: [pods('web')] }, { from: [{ podSelector: {} }], ports: [{ port: 80 }] }), []);
  assert.deepEqual(shadowed({ ports: [{ port: 53, protocol: 'UDP' }] }, { ports: [{ port: 53 }] }), []);
  assert.deepEqual(shadowed({ ports: [{ port: 80 }] }, { ports: [{ port: 'http' }] }), []);
  assert.deepEqual(shadowed({ from: [all] }, { from: [{ podSelector: {} }] }), ['1 by 0']);
  const block = (cidr: string, except: string[] = []) => ({ from: [{ ipBlock: { cidr, except } }] });
  assert.deepEqual(shadowed(block('10.0.0.0/8', ['10.2.0.0/16']), block('10.2.0.0/24')), []);
});

test('another policy casts a shadow only where it selects every pod of the first', () => {
  const rule = [{ from: [pods('spy')] }];
  const found = (wide: object) =>
    lint(engineOf(['narrow', { ...pods('web'), ingress: rule }], ['wide', { ...wide, ingress: [{}] }]))
      .filter(({ check }) => check === 'shadowed')
      .map(({ where, mend }) => `${where}: ${mend}`);
  assert.deepEqual(found({ podSelector: {} }), [
    'NetworkPolicy/shop/narrow ingress[0]: take it out, or narrow the other one',
  ]);
  assert.deepEqual(found(pods('db')), []);
});

test('each finding names policy, rule and what to change', () => {
  const [finding] = lint(engineOf(['p', { ...pods('web'), ingress: [{ ports: [{ port: 'nope' }] }] }]));
  assert.deepEqual(finding, {
    check: 'no-such-port',
    policy: 'NetworkPolicy/shop/p',
    direction: 'ingress',
    index: 0,
    where: 'NetworkPolicy/shop/p ingress[0]',
    says: 'no selected pod has a port TCP named nope',
    mend: 'they have TCP/http (80)',
  });
});

/** One policy a line: admin by priority, baseline, and a NetworkPolicy, all for the pods of namespace shop. */
function tiers(admin: readonly object[], network: readonly object[], baseline: readonly object[]): string[] {
  const engine = engineOf(...network.map((rule, i) => [`n${i}`, { podSelector: {}, ingress: [rule] }] as const));
  const put = (tier: string, rules: readonly object[]) => {
    const spec = { tier, priority: 1, subject: { namespaces: {} }, ingress: rules };
    engine.setPolicy({ kind: 'ClusterNetworkPolicy', metadata: { name: tier.toLowerCase() }, spec } as never);
  };
  if (admin.length > 0) put('Admin', admin);
  if (baseline.length > 0) put('Baseline', baseline);
  return lint(engine)
    .filter(({ check }) => check === 'never-reached' || check === 'shadowed')
    .map(({ check, where, says }) => `${check} ${where}: ${says}`);
}

test('over tiers: what is decided before is never reached', () => {
  const rule = (action: string, name = 'shop') => ({
    action,
    from: [{ namespaces: { matchLabels: { 'kubernetes.io/metadata.name': name } } }],
  });
  const own = { from: [pods('web')] };
  assert.deepEqual(tiers([rule('Deny')], [own], []), [
    'never-reached NetworkPolicy/shop/n0 ingress[0]: ClusterNetworkPolicy/admin ingress[0] decides first',
  ]);
  assert.deepEqual(tiers([rule('Pass')], [own], []), []);
  assert.deepEqual(tiers([rule('Accept'), rule('Deny')], [], []), [
    'never-reached ClusterNetworkPolicy/admin ingress[1]: ClusterNetworkPolicy/admin ingress[0] decides first',
  ]);
  assert.deepEqual(tiers([rule('Pass'), rule('Deny')], [], []), [
    'never-reached ClusterNetworkPolicy/admin ingress[1]: ClusterNetworkPolicy/admin ingress[0] decides first',
  ]);
  const [end] = tiers([], [own], [rule('Deny')]);
  assert.match(
    end!,
    /^never-reached ClusterNetworkPolicy\/baseline ingress\[0\]: every pod .* tier default, which ends/,
  );
  assert.deepEqual(tiers([rule('Deny', 'bank')], [own], []), []);
});
