// Services that cannot be, over HTTP: each is refused as Kubernetes words it, and of none anything stays: no address, no port, no object.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiServer } from '../../src/api/server.ts';
import { startApiServer } from '../../src/api/start.ts';
import { Client } from '../../src/client/client.ts';
import { StatusError } from '../../src/objects/status.ts';
import type { Draft, Service } from '../../src/objects/types.ts';
import { TEST_API_OPTIONS } from './server.ts';

type Spec = { [K in keyof Service['spec']]?: unknown };
/** A Service, `metadata.name` when it is another than `web`, and the causes of the refusal. */
type Case = readonly [spec: Spec, causes: string, name?: string];

const ports = [{ port: 80 }];
const one = (port: object) => ({ ports: [port] });
const two = (...fields: [object, object]) => ({
  ports: fields.map((each, i) => ({ name: `p${i}`, port: 80 + i, ...each })),
});
const allocation = (ip: string, why: string) =>
  `spec.clusterIPs: Invalid value: ["${ip}"]: failed to allocate IP ${ip}: ${why}`;
const LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const RANGE = 'the provided network does not match the current range (10.96.0.0/16)';
const PORT_RANGE = 'provided port is not in the valid range. The range of valid ports is 30000-32767';
const NUMBER = 'must be between 1 and 65535, inclusive';
const IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
const BALANCER = "may only be used when `type` is 'LoadBalancer'";
const SECONDS = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value';

const CASES: Readonly<Record<string, readonly Case[]>> = {
  names: [
    [{ ports }, `metadata.name: Invalid value: "web.shop": ${LABEL}`, 'web.shop'],
    [{ ports }, `metadata.name: Invalid value: "Web": ${LABEL}`, 'Web'],
    [{ ports }, `metadata.name: Invalid value: "${'a'.repeat(64)}": must be no more than 63 bytes`, 'a'.repeat(64)],
    [one({ name: 'A_b', port: 80 }), `spec.ports[0].name: Invalid value: "A_b": ${LABEL}`],
    [two({ name: '' }, {}), 'spec.ports[0].name: Required value'],
    [two({ name: 'a' }, { name: 'a' }), 'spec.ports[1].name: Duplicate value: "a"'],
    [one({ port: 80, appProtocol: 'a b' }), `spec.ports[0].appProtocol: Invalid value: "a b": ${QUALIFIED}`],
    [{ selector: { 'a b': 'c' }, ports }, `spec.selector: Invalid value: "a b": ${QUALIFIED}`],
  ],
  addresses: [
    [{ clusterIP: '10.96.0', ports }, `spec.clusterIPs[0]: Invalid value: "10.96.0": ${IP}`],
    [{ clusterIP: '010.96.0.9', ports }, `spec.clusterIPs[0]: Invalid value: "010.96.0.9": ${IP}`],
    [{ clusterIP: '192.0.2.1', ports }, allocation('192.0.2.1', RANGE)],
    [{ clusterIP: '10.96.0.0', ports }, allocation('10.96.0.0', RANGE)],
    [{ clusterIP: '10.96.255.255', ports }, allocation('10.96.255.255', RANGE)],
    [{ clusterIP: '10.96.0.50', ports }, allocation('10.96.0.50', 'provided IP is already allocated')],
    [{ clusterIP: '10.96.0.1', ports }, allocation('10.96.0.1', 'provided IP is already allocated')],
    [{ externalIPs: ['a'], ports }, `spec.externalIPs[0]: Invalid value: "a": ${IP}`],
    [
      { externalIPs: ['127.0.0.1'], ports },
      'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
    [
      { externalIPs: ['169.254.1.1'], ports },
      'spec.externalIPs[0]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
    ],
    [
      { externalIPs: ['0.0.0.0'], ports },
      'spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
    ],
  ],
  families: [
    [
      { clusterIP: '10.96.0.9', ipFamilies: ['IPv6'], ports },
      'spec.clusterIPs[0]: Invalid value: "10.96.0.9": expected an IPv6 value as indicated by `ipFamilies[0]`',
    ],
    [
      { ipFamilies: ['IPv5'], ports },
      'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
    ],
    [
      { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'SingleStack', ports },
      "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
    ],
    [
      { ipFamilyPolicy: 'Dual', ports },
      'spec.ipFamilyPolicy: Unsupported value: "Dual": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
    ],
    [
      { clusterIP: '10.96.0.3', clusterIPs: ['10.96.0.3', '10.96.0.4'], ipFamilyPolicy: 'RequireDualStack', ports },
      'spec.clusterIPs: Invalid value: ["10.96.0.3","10.96.0.4"]: may specify no more than one IP for each IP family',
    ],
    [
      { clusterIP: '10.96.0.3', clusterIPs: ['10.96.0.3', 'fd00:10:96::3', '10.96.0.4'], ports },
      'spec.clusterIPs: Invalid value: ["10.96.0.3","fd00:10:96::3","10.96.0.4"]: may only hold up to 2 values',
    ],
    [
      { clusterIP: '10.96.0.4', clusterIPs: ['10.96.0.3'], ports },
      'spec.clusterIPs: Invalid value: ["10.96.0.3"]: first value must match `clusterIP`',
    ],
    [
      { clusterIP: 'None', clusterIPs: ['None', '10.96.0.3'], ports },
      'spec.clusterIPs: Invalid value: ["None","10.96.0.3"]: \'None\' must be the first and only value',
    ],
  ],
  ports: [
    [{}, 'spec.ports: Required value'],
    [one({ port: 80, targetPort: 70000 }), `spec.ports[0].targetPort: Invalid value: 70000: ${NUMBER}`],
    [one({ port: 65536, targetPort: 1 }), `spec.ports[0].port: Invalid value: 65536: ${NUMBER}`],
    [
      one({ port: 80, targetPort: 'a_b' }),
      'spec.ports[0].targetPort: Invalid value: "a_b": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    ],
    [
      one({ port: 80, protocol: 'ICMP' }),
      'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ],
    [two({ port: 80 }, { port: 80 }), 'spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
    [
      one({ port: 80, nodePort: 30001 }),
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ],
    [
      { type: 'NodePort', ...one({ port: 80, nodePort: 80 }) },
      `spec.ports[0].nodePort: Invalid value: 80: ${PORT_RANGE}`,
    ],
    [
      { type: 'NodePort', ...one({ port: 80, nodePort: 30050 }) },
      'spec.ports[0].nodePort: Invalid value: 30050: provided port is already allocated',
    ],
    [
      // What the first would have had must be free again.
      { type: 'NodePort', ...two({ nodePort: 30001 }, { nodePort: 30050 }) },
      'spec.ports[1].nodePort: Invalid value: 30050: provided port is already allocated',
    ],
    [
      { type: 'NodePort', ...two({ nodePort: 30001 }, { nodePort: 30001 }) },
      'spec.ports[1].nodePort: Duplicate value: 30001',
    ],
    [
      { type: 'LoadBalancer', ...one({ port: 10250 }) },
      'spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet',
    ],
  ],
  types: [
    [
      { type: 'Magic', ports },
      'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
    [
      { type: 'NodePort', clusterIP: 'None', ports },
      'spec.clusterIPs[0]: Invalid value: "None": may not be set to \'None\' for NodePort services',
    ],
    [{ type: 'ExternalName' }, 'spec.externalName: Required value'],
    [
      { type: 'ExternalName', externalName: 'a.b', clusterIP: '10.96.0.3' },
      'spec.clusterIPs: Forbidden: may not be set for ExternalName services',
    ],
    [{ loadBalancerClass: 'a/b', ports }, `spec.loadBalancerClass: Forbidden: ${BALANCER}`],
    [{ allocateLoadBalancerNodePorts: true, ports }, `spec.allocateLoadBalancerNodePorts: Forbidden: ${BALANCER}`],
    [{ loadBalancerSourceRanges: ['10.0.0.0/8'], ports }, `spec.LoadBalancerSourceRanges: Forbidden: ${BALANCER}`],
    [
      { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0'], ports },
      'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
  ],
  policies: [
    [
      { sessionAffinity: 'Cookie', ports },
      'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"',
    ],
    [
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } }, ports },
      `${SECONDS}: 0: must be greater than 0 and less than 86400`,
    ],
    [
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } }, ports },
      `${SECONDS}: 86401: must be greater than 0 and less than 86400`,
    ],
    [
      { type: 'NodePort', externalTrafficPolicy: 'Near', ports },
      'spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ],
    [
      { externalTrafficPolicy: 'Local', ports },
      'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ],
    [
      { internalTrafficPolicy: 'Near', ports },
      'spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ],
    [
      { trafficDistribution: 'Near', ports },
      'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"',
    ],
    [
      { type: 'NodePort', healthCheckNodePort: 30003, ports },
      "spec.healthCheckNodePort: Invalid value: 30003: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
    ],
  ],
};

describe('Services that cannot be', () => {
  let server: ApiServer;
  let client: Client;
  /** All that a Service leaves: objects of these kinds, by name. */
  const held = async () => {
    const [services, addresses] = await Promise.all([client.list('Service'), client.list('IPAddress')]);
    return [...services.items, ...addresses.items].map(({ metadata }) => metadata.name).sort();
  };
  const create = (spec: Spec, name = 'web') =>
    client.create('Service', { metadata: { name, namespace: 'default' }, spec } as Draft<Service>);

  before(async () => {
    server = await startApiServer({ ...TEST_API_OPTIONS, serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'] });
    client = new Client(server.transport);
    await create({ type: 'NodePort', clusterIP: '10.96.0.50', ...one({ port: 80, nodePort: 30050 }) }, 'there');
  });
  after(() => server?.close());

  for (const [title, cases] of Object.entries(CASES)) {
    test(`${title}: ${cases.length} of them`, async () => {
      const before = await held();
      for (const [spec, causes, name = 'web'] of cases) {
        await assert.rejects(create(spec, name), (error) => {
          assert.ok(error instanceof StatusError, String(error));
          assert.equal(error.status.message, `Service "${name}" is invalid: ${causes}`);
          assert.deepEqual([error.status.code, error.status.reason], [422, 'Invalid']);
          return true;
        });
        assert.deepEqual(await held(), before, causes);
      }
    });
  }

  test('what they had asked for is free', async () => {
    const made = await create({
      type: 'NodePort',
      clusterIP: '10.96.0.3',
      ...two({ nodePort: 30001 }, { nodePort: 30003 }),
    });
    assert.equal(made.spec.clusterIP, '10.96.0.3');
    // One with a digit first is none of them since 1.36 (KEP-5311).
    await create({ ports }, '1st');
  });

  test('a change that cannot be leaves the Service as it was', async () => {
    const before = await client.get('Service', 'there', 'default');
    const names = await held();
    for (const [spec, message] of [
      [
        { clusterIP: '10.96.0.51', clusterIPs: ['10.96.0.51'] },
        /spec\.clusterIPs\[0\]: Invalid value: \["10\.96\.0\.51"\]: may not change once set/,
      ],
      [
        { ports: [{ port: 80, nodePort: 30001 }] },
        /nodePort: Invalid value: 30001: provided port is already allocated/,
      ],
      [{ ports: [{ port: 80, nodePort: 80 }] }, /The range of valid ports is 30000-32767/],
      [{ ipFamilies: ['IPv6'] }, /expected an IPv6 value|may not change once set/],
      [{ type: 'ClusterIP', ports: [{ port: 80, nodePort: 30060 }] }, /may not be used when `type` is 'ClusterIP'/],
    ] as const) {
      const target = { name: 'there', namespace: 'default' };
      await assert.rejects(client.patch('Service', target, { spec }), message);
      assert.deepEqual(await client.get('Service', 'there', 'default'), before);
      assert.deepEqual(await held(), names);
    }
  });
});
