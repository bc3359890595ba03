// Which addresses a Service gets: pools in order, requests, sharing, exhaustion.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LBPool, Service } from '../../objects/types.ts';
import { AddressBook } from './book.ts';
import { type Choice, choose, countPool, hintFreed, inOrder, readPool, type Supply } from './choose.ts';
import { requestOf } from './request.ts';

const META = { uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' };

function pool(name: string, spec: LBPool['spec']): LBPool {
  return { apiVersion: 'podwire.io/v1alpha1', kind: 'LBPool', metadata: { ...META, name }, spec };
}

interface Wish {
  readonly port?: number;
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly spec?: Partial<Service['spec']>;
}

function service(name: string, { port = 80, annotations = {}, labels = {}, spec = {} }: Wish = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...META, name, namespace: 'shop', annotations, labels },
    spec: {
      type: 'LoadBalancer',
      ipFamilies: ['IPv4'],
      ports: [{ port, protocol: 'TCP' }],
      selector: { app: name },
      ...spec,
    },
  };
}

function world(...pools: LBPool[]) {
  const book = new AddressBook();
  const supply: Supply = {
    pools: inOrder(pools.map(readPool)),
    book,
    reserved: new Set(['172.30.0.201']),
    namespace: undefined,
    hints: new Map(),
  };
  /** Chooses and books, as the controller does. */
  const give = (wanted: Service): Choice => {
    const request = requestOf(wanted);
    assert.ok(typeof request !== 'string', String(request));
    const choice = choose(request, book.of(request.holder.key), supply);
    if ('ips' in choice) hintFreed(supply.hints, supply.pools, book.assign(request.holder, choice.ips));
    return choice;
  };
  const ips = (wanted: Service) => {
    const choice = give(wanted);
    return 'ips' in choice ? choice.ips : choice.reason;
  };
  return { supply, book, give, ips };
}

const SMALL = pool('small', { addresses: ['172.30.0.200-172.30.0.203'] });

test('the lowest free address that is nobody else’s, and the same again', () => {
  const { ips } = world(SMALL);
  assert.deepEqual(ips(service('a')), ['172.30.0.200']);
  assert.deepEqual(ips(service('b')), ['172.30.0.202']);
  assert.deepEqual(ips(service('a')), ['172.30.0.200']);
});

test('an exhausted pool says what to do; a released address is given again', () => {
  const { ips, give, book, supply } = world(SMALL);
  for (const name of ['a', 'b', 'c']) ips(service(name));
  const choice = give(service('d'));
  assert.ok('reason' in choice && choice.reason === 'PoolExhausted');
  assert.match(choice.message, /kubectl edit lbpool small/);
  assert.deepEqual(countPool(supply.pools[0]!, supply), { assigned: 3, free: 0 });
  hintFreed(supply.hints, supply.pools, book.release('shop/b'));
  assert.deepEqual(countPool(supply.pools[0]!, supply), { assigned: 2, free: 1 });
  assert.deepEqual(ips(service('d')), ['172.30.0.202']);
});

test('pools by priority, by namespace, by label, and only on request', () => {
  const { ips } = world(
    SMALL,
    pool('gold', { addresses: ['10.9.0.0/30'], priority: 5, serviceSelector: { matchLabels: { tier: 'gold' } } }),
    pool('other', { addresses: ['10.9.1.0/30'], priority: 9, namespaces: ['elsewhere'] }),
    pool('asked', { addresses: ['10.9.2.7'], priority: 9, autoAssign: false }),
  );
  assert.deepEqual(ips(service('a')), ['172.30.0.200']);
  assert.deepEqual(ips(service('b', { labels: { tier: 'gold' } })), ['10.9.0.0']);
  assert.deepEqual(ips(service('c', { annotations: { 'podwire.io/load-balancer-pool': 'asked' } })), ['10.9.2.7']);
  assert.equal(ips(service('d', { annotations: { 'podwire.io/load-balancer-pool': 'other' } })), 'NoPool');
});

test('an address by request: given, taken, foreign, or of the network itself', () => {
  const { ips, give } = world(SMALL);
  const asking = (name: string, ip: string) => service(name, { spec: { loadBalancerIP: ip } });
  assert.deepEqual(ips(asking('a', '172.30.0.203')), ['172.30.0.203']);
  const taken = give(asking('b', '172.30.0.203'));
  assert.ok('reason' in taken);
  assert.match(taken.message, /172\.30\.0\.203 is Service shop\/a's/);
  assert.equal(ips(asking('c', '172.30.0.201')), 'NotAvailable');
  assert.equal(ips(asking('d', '9.9.9.9')), 'NotAvailable');
  // What it has it gives up for what it now asks for.
  assert.deepEqual(ips(service('e')), ['172.30.0.200']);
  assert.deepEqual(ips(asking('e', '172.30.0.202')), ['172.30.0.202']);
});

test('two families: all, or for PreferDualStack what there is', () => {
  const dual = (policy: string, annotations = {}) =>
    service('a', { annotations, spec: { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: policy } });
  const only4 = world(SMALL);
  assert.equal(only4.ips(dual('RequireDualStack')), 'NoPool');
  const preferred = only4.give(dual('PreferDualStack'));
  assert.ok('ips' in preferred);
  assert.deepEqual(preferred.ips, ['172.30.0.200']);
  assert.match(preferred.missing ?? '', /IPv6/);
  const both = world(pool('both', { addresses: ['172.30.0.200/30', 'fd00::100-fd00::1ff'] }));
  assert.deepEqual(both.ips(dual('RequireDualStack')), ['172.30.0.200', 'fd00::100']);
  const asked = { 'podwire.io/load-balancer-ips': '172.30.0.202, fd00:0::1a0' };
  assert.deepEqual(both.ips(dual('RequireDualStack', asked)), ['172.30.0.202', 'fd00::1a0']);
});

test('Services share an address with one key, other ports and the same nodes', () => {
  const key = { 'podwire.io/allow-shared-ip': 'web' };
  const { ips, give } = world(SMALL);
  assert.deepEqual(ips(service('http', { port: 80, annotations: key })), ['172.30.0.200']);
  assert.deepEqual(ips(service('https', { port: 443, annotations: key })), ['172.30.0.200']);
  assert.deepEqual(ips(service('again', { port: 80, annotations: key })), ['172.30.0.202']);
  assert.deepEqual(ips(service('alone', { port: 81 })), ['172.30.0.203']);
  const local = { externalTrafficPolicy: 'Local', loadBalancerIP: '172.30.0.200' };
  const refused = give(service('local', { port: 82, annotations: key, spec: local }));
  assert.ok('reason' in refused);
  assert.match(refused.message, /externalTrafficPolicy Local/);
});

test('Services with externalTrafficPolicy Local share when one selector places them', () => {
  const annotations = { 'podwire.io/allow-shared-ip': 'web' };
  const spec = { externalTrafficPolicy: 'Local', selector: { app: 'web' } };
  const { ips } = world(SMALL);
  assert.deepEqual(ips(service('tcp', { port: 80, annotations, spec })), ['172.30.0.200']);
  assert.deepEqual(ips(service('tls', { port: 443, annotations, spec })), ['172.30.0.200']);
});

test('what cannot be a request is said so', () => {
  const text = (wish: Wish) => String(requestOf(service('a', wish)));
  assert.match(text({ spec: { loadBalancerIP: 'nonsense' } }), /"nonsense" is not an IP address/);
  assert.match(text({ spec: { loadBalancerIP: 'fd00::1' } }), /has no IPv6/);
  const two = { 'podwire.io/load-balancer-ips': '172.30.0.1,172.30.0.2' };
  assert.match(text({ annotations: two }), /more than one address of IPv4/);
});

test('what users of MetalLB and of kube-vip write means the same; our own word goes first', () => {
  const { ips } = world(
    pool('a', { addresses: ['10.9.1.0/29'] }),
    pool('b', { addresses: ['10.9.2.0/29'], autoAssign: false }),
  );
  const cases: [name: string, annotations: Record<string, string>, ip: string][] = [
    ['one', { 'metallb.io/loadBalancerIPs': '10.9.1.3' }, '10.9.1.3'],
    ['two', { 'metallb.universe.tf/loadBalancerIPs': '10.9.1.4' }, '10.9.1.4'],
    ['three', { 'kube-vip.io/loadbalancerIPs': '10.9.1.5' }, '10.9.1.5'],
    ['four', { 'metallb.io/address-pool': 'b' }, '10.9.2.0'],
    ['five', { 'metallb.universe.tf/address-pool': 'b', 'podwire.io/load-balancer-ips': '10.9.2.6' }, '10.9.2.6'],
    ['six', { 'metallb.io/loadBalancerIPs': '10.9.1.3', 'podwire.io/load-balancer-ips': '10.9.1.6' }, '10.9.1.6'],
  ];
  for (const [name, annotations, ip] of cases) assert.deepEqual(ips(service(name, { annotations })), [ip], name);
  const shared = (name: string, port: number, key: string) => service(name, { port, annotations: { [key]: 'front' } });
  const [first] = ips(shared('seven', 80, 'metallb.io/allow-shared-ip'));
  assert.deepEqual(ips(shared('eight', 81, 'metallb.universe.tf/allow-shared-ip')), [first]);
});
