// Services as people write them, in each form that Kubernetes' documentation has, applied by kubectl; and what it says of wrong ones.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { ApiServer } from '../../src/api/server.ts';
import { startApiServer } from '../../src/api/start.ts';
import type { Service } from '../../src/objects/types.ts';
import { TEST_API_OPTIONS } from './server.ts';

function kubectlIsThere(): boolean {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const service = (spec: string) => `apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: ${spec}\n`;
const SELECTOR = 'selector: {app.kubernetes.io/name: web}';

/** What is written, and what of the Service is so then. */
const forms: [name: string, spec: string, expected: Partial<Service['spec']>][] = [
  [
    'a selector and a port',
    `{${SELECTOR}, ports: [{protocol: TCP, port: 80, targetPort: 9376}]}`,
    { type: 'ClusterIP' },
  ],
  ['a targetPort by its name', `{${SELECTOR}, ports: [{name: http, port: 80, targetPort: http-web-svc}]}`, {}],
  [
    'several ports',
    `{${SELECTOR}, ports: [{name: http, protocol: TCP, port: 80, targetPort: 9376}, {name: https, port: 443, targetPort: 9377}]}`,
    {},
  ],
  [
    'one port with two protocols',
    `{${SELECTOR}, ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}]}`,
    {},
  ],
  ['SCTP', `{${SELECTOR}, ports: [{port: 7777, protocol: SCTP}]}`, {}],
  ['an application protocol', `{${SELECTOR}, ports: [{port: 80, appProtocol: kubernetes.io/h2c}]}`, {}],
  ['no selector', '{ports: [{name: http, protocol: TCP, port: 80, targetPort: 9376}]}', { type: 'ClusterIP' }],
  [
    'an address of its own choice',
    `{${SELECTOR}, clusterIP: 10.96.0.77, ports: [{port: 80}]}`,
    { clusterIPs: ['10.96.0.77'] },
  ],
  ['headless', `{${SELECTOR}, clusterIP: None, ports: [{port: 80}]}`, { clusterIPs: ['None'] }],
  ['headless, without ports', `{${SELECTOR}, clusterIP: None}`, { clusterIPs: ['None'] }],
  [
    'a node port',
    `{type: NodePort, ${SELECTOR}, ports: [{port: 80, targetPort: 80, nodePort: 30007}]}`,
    { externalTrafficPolicy: 'Cluster' },
  ],
  [
    'a load balancer',
    `{type: LoadBalancer, ${SELECTOR}, ports: [{port: 80}]}`,
    { allocateLoadBalancerNodePorts: true },
  ],
  [
    'a load balancer of a class, without node ports, for some',
    `{type: LoadBalancer, loadBalancerClass: internal/a, allocateLoadBalancerNodePorts: false, loadBalancerSourceRanges: [10.0.0.0/8], ${SELECTOR}, ports: [{port: 80}]}`,
    { allocateLoadBalancerNodePorts: false },
  ],
  ['ExternalName', '{type: ExternalName, externalName: my.database.example.com}', { type: 'ExternalName' }],
  [
    'external addresses',
    `{${SELECTOR}, ports: [{port: 80}], externalIPs: [198.51.100.32]}`,
    { externalTrafficPolicy: 'Cluster' },
  ],
  [
    'session affinity',
    `{${SELECTOR}, ports: [{port: 80}], sessionAffinity: ClientIP}`,
    { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } },
  ],
  [
    'internal traffic on the node',
    `{${SELECTOR}, ports: [{port: 80}], internalTrafficPolicy: Local}`,
    { internalTrafficPolicy: 'Local' },
  ],
  [
    'traffic that stays near',
    `{${SELECTOR}, ports: [{port: 80}], trafficDistribution: PreferSameZone}`,
    { trafficDistribution: 'PreferSameZone' },
  ],
  [
    'both families, if there are',
    `{ipFamilyPolicy: PreferDualStack, ${SELECTOR}, ports: [{port: 80}]}`,
    { ipFamilies: ['IPv4', 'IPv6'] },
  ],
  [
    'both families, or none',
    `{ipFamilyPolicy: RequireDualStack, ${SELECTOR}, ports: [{port: 80}]}`,
    { ipFamilies: ['IPv4', 'IPv6'] },
  ],
  ['IPv6 alone', `{ipFamilies: [IPv6], ${SELECTOR}, ports: [{port: 80}]}`, { ipFamilyPolicy: 'SingleStack' }],
  [
    'IPv6 first',
    `{ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4], ${SELECTOR}, ports: [{port: 80}]}`,
    { ipFamilies: ['IPv6', 'IPv4'] },
  ],
];

const wrong: [name: string, manifest: string, message: RegExp][] = [
  [
    'a name with a dot',
    service(`{${SELECTOR}, ports: [{port: 80}]}`).replace('name: web}', 'name: web.shop}'),
    /metadata\.name: Invalid value: "web\.shop"/,
  ],
  [
    'an address outside the range',
    service('{clusterIP: 192.0.2.1, ports: [{port: 80}]}'),
    /does not match the current range/,
  ],
  [
    "the API server's address",
    service('{clusterIP: 10.96.0.1, ports: [{port: 80}]}'),
    /provided IP is already allocated/,
  ],
  [
    'a node port outside the range',
    service('{type: NodePort, ports: [{port: 80, nodePort: 80}]}'),
    /The range of valid ports is 30000-32767/,
  ],
  ['a port of no number', service('{ports: [{port: 70000}]}'), /must be between 1 and 65535, inclusive/],
  [
    'a name for one of two ports',
    service('{ports: [{port: 80}, {name: b, port: 81}]}'),
    /spec\.ports\[0\]\.name: Required value/,
  ],
  ['no ports', service(`{${SELECTOR}}`), /spec\.ports: Required value/],
  [
    'a family of the other address',
    service('{clusterIP: 10.96.0.9, ipFamilies: [IPv6], ports: [{port: 80}]}'),
    /expected an IPv6 value/,
  ],
];

describe('Services by kubectl', {
  timeout: 120_000,
  skip: kubectlIsThere() ? false : 'kubectl is not installed',
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-services-'));
  const env = { ...process.env, KUBECONFIG: join(directory, 'config'), HOME: directory };
  let server: ApiServer;

  async function kubectl(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('kubectl', args, { env });
    return stdout.trim();
  }
  function apply(manifest: string): Promise<string> {
    const file = join(directory, 'manifest.yaml');
    writeFileSync(file, manifest);
    return kubectl('apply', '-f', file);
  }

  before(async () => {
    const serviceCIDRs = ['10.96.0.0/16', 'fd00:10:96::/112'];
    server = await startApiServer({ ...TEST_API_OPTIONS, serviceCIDRs, listen: [{ host: '127.0.0.1', port: 0 }] });
    writeFileSync(env.KUBECONFIG, server.kubeconfig);
  });
  after(async () => {
    await server?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const [name, spec, expected] of forms) {
    test(`${name}: made, and applying it again changes nothing`, async () => {
      const manifest = service(spec);
      assert.equal(await apply(manifest), 'service/web created');
      assert.equal(await apply(manifest), 'service/web unchanged');
      const made = JSON.parse(await kubectl('get', 'service', 'web', '-o', 'json')) as Service;
      for (const [field, value] of Object.entries(expected)) {
        assert.deepEqual(made.spec[field as keyof Service['spec']], value, field);
      }
      await kubectl('delete', 'service', 'web');
    });
  }

  for (const [name, manifest, message] of wrong) {
    test(`refused: ${name}`, async () => {
      await assert.rejects(apply(manifest), message);
      assert.equal(await kubectl('get', 'services', '-o', 'name'), 'service/kubernetes');
    });
  }

  test('one manifest after the other: a Service goes through all types under kubectl apply', async () => {
    for (const type of ['ClusterIP', 'NodePort', 'LoadBalancer', 'ClusterIP']) {
      await apply(service(`{type: ${type}, ${SELECTOR}, ports: [{port: 80}]}`));
    }
    await apply(service('{type: ExternalName, externalName: example.com}'));
    assert.match(await kubectl('get', 'service', 'web'), /ExternalName +<none> +example\.com/);
    await apply(service(`{type: ClusterIP, ${SELECTOR}, ports: [{port: 80}]}`));
    assert.match(await kubectl('get', 'service', 'web'), /ClusterIP +10\.96\./);
    await kubectl('delete', 'service', 'web');
  });

  test('endpoints by hand, a further range of addresses, and what holds an address', async () => {
    await apply(`
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80, targetPort: 9376}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, appProtocol: http, protocol: TCP, port: 9376}]
endpoints: [{addresses: ["10.4.5.6"]}, {addresses: ["10.1.2.3"]}]
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: newcidr1}
spec: {cidrs: [10.97.0.0/24]}
`);
    assert.match(await kubectl('get', 'endpointslices', 'web-1'), /IPv4 +9376 +10\.4\.5\.6,10\.1\.2\.3/);
    assert.match(
      await kubectl('get', 'servicecidrs'),
      /kubernetes +10\.96\.0\.0\/16,fd00:10:96::\/112[\s\S]*newcidr1 +10\.97\.0\.0\/24/,
    );
    assert.match(await kubectl('get', 'ipaddresses'), /10\.96\.\S+ +services\/default\/web/);
    await kubectl('delete', 'servicecidr/newcidr1', 'service/web', 'endpointslice/web-1');
  });
});
