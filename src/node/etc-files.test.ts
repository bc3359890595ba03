// Room node: the files under /etc that every pod gets.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hostsFile, podHostname, resolvConf, sandboxHostname } from './etc-files.ts';
import { pod } from './pod-view.fixture.ts';

const settings = { clusterDomain: 'cluster.local', dnsIPs: ['10.96.0.10'], dnsUpstreams: ['192.0.2.53#5353'] };
const CLUSTER =
  'search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n';

describe('/etc/resolv.conf', () => {
  const cases: Record<string, [spec: Parameters<typeof pod>[0], expected: string]> = {
    'ClusterFirst by default': [{}, CLUSTER],
    'ClusterFirst under hostNetwork is Default': [{ hostNetwork: true }, 'nameserver 192.0.2.53\n'],
    ClusterFirstWithHostNet: [{ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }, CLUSTER],
    'Default is what the node asks': [{ dnsPolicy: 'Default' }, 'nameserver 192.0.2.53\n'],
    'None with dnsConfig': [
      { dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.1'], searches: ['a.b'], options: [{ name: 'edns0' }] } },
      'search a.b\nnameserver 192.0.2.1\noptions edns0\n',
    ],
    'dnsConfig adds to the policy and its options win': [
      { dnsConfig: { nameservers: ['192.0.2.1'], searches: ['a.b'], options: [{ name: 'ndots', value: '2' }] } },
      'search shop.svc.cluster.local svc.cluster.local cluster.local a.b\nnameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:2\n',
    ],
  };
  for (const [name, [spec, expected]] of Object.entries(cases)) {
    it(name, () => assert.equal(resolvConf(pod(spec), settings), expected));
  }
});

describe('/etc/resolv.conf in the box', () => {
  it('Default asks the DNS server of the node, which can reach the resolvers of the machine', () => {
    const boxed = { ...settings, netns: '/run/netns/pw-x-node-1' };
    assert.equal(resolvConf(pod({ dnsPolicy: 'Default' }), boxed), 'nameserver 10.96.0.10\n');
  });
});

describe('/etc/hosts', () => {
  it('has the pod by name, by its subdomain and by aliases', () => {
    const aliased = pod({
      hostname: 'web-0',
      subdomain: 'web',
      hostAliases: [{ ip: '192.0.2.7', hostnames: ['a', 'b'] }],
    });
    const lines = hostsFile(aliased, 'web-0', ['10.244.0.5'], 'cluster.local').split('\n');
    assert.equal(lines[0], '# Kubernetes-managed hosts file.');
    assert.equal(lines[1], '127.0.0.1\tlocalhost');
    assert.deepEqual(lines.slice(7), [
      '10.244.0.5\tweb-0.web.shop.svc.cluster.local\tweb-0',
      '',
      '# Entries added by HostAliases.',
      '192.0.2.7\ta\tb',
      '',
    ]);
  });
});

describe('the hostname', () => {
  const cases: [spec: Parameters<typeof pod>[0], name: string, expected: string][] = [
    [{}, 'web', 'web'],
    [{ hostname: 'own' }, 'web', 'own'],
    [{ hostNetwork: true }, 'web', 'worker-1'],
    [{ hostnameOverride: 'kdc1.example.com', hostname: 'own', subdomain: 'web' }, 'web', 'kdc1.example.com'],
    [{}, `${'a'.repeat(62)}-b`, 'a'.repeat(62)],
  ];
  for (const [spec, name, expected] of cases) {
    it(`of ${name} with ${JSON.stringify(spec)} is ${expected}`, () => {
      assert.equal(podHostname(pod(spec, { name }), 'worker-1'), expected);
    });
  }
});

describe('hostnameOverride', () => {
  it('is all that the pod knows itself by, whatever its subdomain says', () => {
    const own = pod({ hostnameOverride: 'kdc1.example.com', hostname: 'web-0', subdomain: 'web' });
    assert.equal(sandboxHostname(own, 'worker-1', 'cluster.local'), 'kdc1.example.com');
    const hosts = hostsFile(own, podHostname(own, 'worker-1'), ['10.244.0.7'], 'cluster.local');
    assert.match(hosts, /^10\.244\.0\.7\tkdc1\.example\.com$/m);
  });
});

describe('setHostnameAsFQDN', () => {
  const full = { setHostnameAsFQDN: true, hostname: 'web-0', subdomain: 'web' };
  it('makes the whole name the hostname, where there is a subdomain', () => {
    assert.equal(sandboxHostname(pod(full), 'worker-1', 'cluster.local'), 'web-0.web.shop.svc.cluster.local');
    assert.equal(sandboxHostname(pod({ setHostnameAsFQDN: true }), 'worker-1', 'cluster.local'), 'web');
    assert.equal(sandboxHostname(pod({ ...full, hostNetwork: true }), 'worker-1', 'cluster.local'), 'worker-1');
  });
  it('refuses what the kernel does not take', () => {
    const long = pod({ ...full, hostname: 'a'.repeat(40) });
    assert.throws(
      () => sandboxHostname(long, 'worker-1', 'cluster.local'),
      /is too long \(64 characters is the max, 67/,
    );
  });
});
