// Room api: tests of Services that change: type, families, ports; what they keep, give up and are refused.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startTestApi } from '../../test/api/server.ts';
import { Client } from '../client/client.ts';
import type { Draft, Service } from '../objects/types.ts';

type Spec = Partial<Service['spec']>;
const DUAL = { serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'] };
const where = { name: 'a', namespace: 'default' };

async function cluster(t: TestContext, options: Parameters<typeof startTestApi>[1] = {}) {
  const client = new Client((await startTestApi(t, options)).transport);
  const create = async (spec: Spec = {}, name = 'a') => {
    const full = { ports: [{ port: 80, protocol: 'TCP' }], ...spec } as Service['spec'];
    return (await client.create('Service', { metadata: { name, namespace: 'default' }, spec: full } as Draft<Service>))
      .spec;
  };
  const patch = async (spec: object) => (await client.patch('Service', where, { spec })).spec;
  return { client, create, patch };
}

const refused = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (error: Error & { code: number }) => {
    assert.match(error.message, message);
    assert.equal(error.code, 422);
    return true;
  });

/** Every type, as a patch from any other; `null` takes away what the old type needed and the user had set. */
const TYPES: Record<string, object> = {
  ClusterIP: { type: 'ClusterIP', externalName: null },
  NodePort: { type: 'NodePort', externalName: null },
  LoadBalancer: { type: 'LoadBalancer', externalName: null },
  ExternalName: { type: 'ExternalName', externalName: 'example.com' },
};

for (const from of Object.keys(TYPES)) {
  for (const to of Object.keys(TYPES).filter((type) => type !== from)) {
    test(`from ${from} to ${to}: what the new type has is there, what it has not is gone, what both have stays`, async (t) => {
      const { create, patch } = await cluster(t);
      const before = await create(
        from === 'ExternalName' ? { ...TYPES[from], externalName: 'a.b' } : (TYPES[from] as Spec),
      );
      const after = await patch(TYPES[to]!);
      const has = (type: string) => ({
        address: type !== 'ExternalName',
        nodePort: type === 'NodePort' || type === 'LoadBalancer',
        allocate: type === 'LoadBalancer',
      });
      const found = (spec: Spec) => ({
        address: Boolean(spec.clusterIP && spec.clusterIPs?.length && spec.ipFamilies?.length && spec.ipFamilyPolicy),
        nodePort: Boolean(spec.ports?.[0]?.nodePort),
        allocate: spec.allocateLoadBalancerNodePorts !== undefined,
      });
      assert.deepEqual([found(before), found(after)], [has(from), has(to)]);
      assert.equal(after.externalTrafficPolicy !== undefined, has(to).nodePort);
      if (has(from).address && has(to).address) assert.equal(after.clusterIP, before.clusterIP);
      if (has(from).nodePort && has(to).nodePort) assert.equal(after.ports![0]!.nodePort, before.ports![0]!.nodePort);
    });
  }
}

test('what a type gave up is free for others at once', async (t) => {
  const { create, patch } = await cluster(t);
  const nodePort = 30007;
  await create({ type: 'NodePort', clusterIP: '10.96.0.7', ports: [{ port: 80, protocol: 'TCP', nodePort }] });
  await patch({ type: 'ExternalName', externalName: 'example.com' });
  const other = await create({ type: 'NodePort', clusterIP: '10.96.0.7', ports: [{ port: 80, nodePort }] }, 'b');
  assert.deepEqual([other.clusterIP, other.ports![0]!.nodePort], ['10.96.0.7', nodePort]);
});

test('a Service does not become headless, nor a headless one anything else', async (t) => {
  const { create, patch } = await cluster(t);
  await create({ selector: { app: 'a' } });
  await refused(
    patch({ clusterIP: 'None', clusterIPs: ['None'] }),
    /spec\.clusterIPs\[0\]: .* may not change once set/,
  );
  const other = await cluster(t);
  await other.create({ clusterIP: 'None', selector: { app: 'a' } });
  await refused(other.patch({ clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'] }), /may not change once set/);
  await refused(other.patch({ type: 'NodePort' }), /may not be set to 'None' for NodePort services/);
});

test('from one family to two and back, the first address staying; the second one is given up by the policy alone', async (t) => {
  const { create, patch } = await cluster(t, DUAL);
  const single = await create();
  const dual = await patch({ ipFamilyPolicy: 'PreferDualStack' });
  assert.deepEqual([dual.ipFamilies, dual.clusterIPs![0]], [['IPv4', 'IPv6'], single.clusterIP]);
  assert.match(dual.clusterIPs![1]!, /^fd00:10:96::/);
  await refused(patch({ clusterIPs: [dual.clusterIP] }), /must be 'SingleStack' to release the secondary cluster IP/);
  await refused(patch({ ipFamilies: ['IPv4'] }), /must be 'SingleStack' to release the secondary IP family/);
  await refused(patch({ ipFamilies: ['IPv6', 'IPv4'] }), /expected an IPv6 value as indicated by `ipFamilies\[0\]`/);
  const back = await patch({ ipFamilyPolicy: 'SingleStack' });
  assert.deepEqual([back.clusterIPs, back.ipFamilies], [[single.clusterIP], ['IPv4']]);
  const again = await create({ clusterIPs: [dual.clusterIPs![1]!], clusterIP: dual.clusterIPs![1]! }, 'b');
  assert.deepEqual(again.ipFamilies, ['IPv6']);
});

test('IPv6 first, and IPv6 alone', async (t) => {
  const { create } = await cluster(t, DUAL);
  const six = await create({ ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'RequireDualStack' });
  assert.match(six.clusterIP!, /^fd00:/);
  assert.match(six.clusterIPs![1]!, /^10\.96\./);
  const only = await cluster(t, { serviceCIDRs: ['fd00:10:96::/112'] });
  assert.deepEqual((await only.create()).ipFamilies, ['IPv6']);
  await refused(only.create({ clusterIP: '10.96.0.7' }, 'b'), /IPv4 is not configured on this cluster/);
});

const bad: [name: string, spec: Spec, message: RegExp][] = [
  [
    'two families under SingleStack',
    { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'SingleStack' },
    /must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified/,
  ],
  ['one family twice', { ipFamilies: ['IPv4', 'IPv4'] }, /spec\.ipFamilies\[1\]: Duplicate value: "IPv4"/],
  ['a family of no name', { ipFamilies: ['IPv5'] }, /spec\.ipFamilies\[0\]: Unsupported value: "IPv5"/],
  [
    'two addresses of one family',
    { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7', '10.96.0.8'], ipFamilyPolicy: 'PreferDualStack' },
    /may specify no more than one IP for each IP family/,
  ],
  [
    'an address of the other family',
    { clusterIP: '10.96.0.7', ipFamilies: ['IPv6'] },
    /spec\.clusterIPs\[0\]: Invalid value: "10\.96\.0\.7": expected an IPv6 value as indicated by `ipFamilies\[0\]`/,
  ],
  [
    'an address besides None',
    { clusterIP: 'None', clusterIPs: ['None', '10.96.0.7'] },
    /'None' must be the first and only value/,
  ],
  ['clusterIPs without clusterIP', { clusterIPs: ['10.96.0.7'] }, /must be empty when `clusterIP` is not specified/],
  ['the last address of the range', { clusterIP: '10.96.255.255' }, /does not match the current range/],
  [
    'families of an ExternalName',
    { type: 'ExternalName', externalName: 'a.b', ipFamilies: ['IPv4'] },
    /spec\.ipFamilies: Forbidden/,
  ],
  [
    'source ranges of a NodePort',
    { type: 'NodePort', loadBalancerSourceRanges: ['10.0.0.0/8'] },
    /may only be used when `type` is 'LoadBalancer'/,
  ],
  ['a class of a ClusterIP', { loadBalancerClass: 'a/b' }, /spec\.loadBalancerClass: Forbidden/],
  [
    'a class of no form',
    { type: 'LoadBalancer', loadBalancerClass: 'a b' },
    /spec\.loadBalancerClass: Invalid value: "a b"/,
  ],
  [
    'allocateLoadBalancerNodePorts of a NodePort',
    { type: 'NodePort', allocateLoadBalancerNodePorts: true },
    /spec\.allocateLoadBalancerNodePorts: Forbidden/,
  ],
  [
    'an external policy inside',
    { externalTrafficPolicy: 'Local' },
    /may only be set for externally-accessible services/,
  ],
  [
    'an unknown policy',
    { type: 'NodePort', externalTrafficPolicy: 'Near' },
    /Unsupported value: "Near": supported values: "Cluster", "Local"/,
  ],
  [
    'an unknown internal policy',
    { internalTrafficPolicy: 'Near' },
    /spec\.internalTrafficPolicy: Unsupported value: "Near"/,
  ],
  [
    'an unknown distribution',
    { trafficDistribution: 'Far' },
    /supported values: "PreferClose", "PreferSameNode", "PreferSameZone"/,
  ],
  [
    'a health check port of a NodePort',
    { type: 'NodePort', healthCheckNodePort: 30100 },
    /may only be set when `type` is 'LoadBalancer' and/,
  ],
  ['an external address that is none', { externalIPs: ['1.2.3'] }, /spec\.externalIPs\[0\]: Invalid value: "1\.2\.3"/],
  ['a loopback external address', { externalIPs: ['127.0.0.1'] }, /may not be in the loopback range/],
  ['the kubelet port', { type: 'LoadBalancer', ports: [{ port: 10250 }] }, /may not expose port 10250 externally/],
  [
    'a session of a day and a second',
    { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } } },
    /timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400/,
  ],
];
for (const [name, spec, message] of bad) {
  test(`refused: ${name}`, async (t) => {
    const { client, create } = await cluster(t, name.includes('families') ? DUAL : {});
    await refused(create(spec), message);
    assert.equal(
      (await client.list('Service', { namespace: 'default' })).items.length,
      1,
      'only the Service kubernetes',
    );
    assert.equal((await client.list('IPAddress', {})).items.length, 1);
  });
}

test('a health check has a port of its own for as long as it is needed', async (t) => {
  const { create, patch } = await cluster(t);
  const spec = await create({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
  assert.ok(spec.healthCheckNodePort);
  assert.notEqual(spec.healthCheckNodePort, spec.ports![0]!.nodePort);
  await refused(patch({ healthCheckNodePort: 30999 }), /spec\.healthCheckNodePort: Forbidden: field is immutable/);
  const taken = { type: 'NodePort', ports: [{ port: 80, nodePort: spec.healthCheckNodePort }] };
  await refused(create(taken as Spec, 'b'), /provided port is already allocated/);
  assert.equal((await patch({ externalTrafficPolicy: 'Cluster' })).healthCheckNodePort, undefined);
  await create(taken as Spec, 'b');
});

test('a load balancer without node ports has only those that it asks for', async (t) => {
  const { create, patch } = await cluster(t);
  const ports = [
    { name: 'a', port: 80 },
    { name: 'b', port: 81, nodePort: 30500 },
  ];
  const spec = await create({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports });
  assert.deepEqual(
    spec.ports!.map(({ nodePort }) => nodePort),
    [undefined, 30500],
  );
  assert.ok((await patch({ allocateLoadBalancerNodePorts: true })).ports![0]!.nodePort);
  await refused(patch({ loadBalancerClass: 'a/b' }), /spec\.loadBalancerClass: .*: may not change once set/);
});

test('the lower part of each range is left for those who ask', async (t) => {
  const { create } = await cluster(t, { serviceCIDRs: ['10.96.0.0/24'], nodePortRange: [30000, 30063] });
  const given = await create({ type: 'NodePort' });
  assert.equal(given.clusterIP, '10.96.0.16');
  assert.equal(given.ports![0]!.nodePort, 30016);
});

test("a node port is one Service's, for whatever protocol", async (t) => {
  const { create } = await cluster(t);
  await create({ type: 'NodePort', ports: [{ port: 53, protocol: 'TCP', nodePort: 30053 }] });
  const udp = { type: 'NodePort', ports: [{ port: 53, protocol: 'UDP', nodePort: 30053 }] };
  await refused(create(udp as Spec, 'b'), /provided port is already allocated/);
});
