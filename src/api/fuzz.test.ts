// Room api: whatever is sent, wherever, the answer is never an internal error.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startTestApi } from '../../test/api/server.ts';
import type { ApiRequest } from '../client/transport.ts';

const KINDS: readonly (readonly [collection: string, apiVersion: string, kind: string])[] = [
  ['/api/v1/namespaces/default/pods', 'v1', 'Pod'],
  ['/api/v1/namespaces/default/services', 'v1', 'Service'],
  ['/api/v1/namespaces/default/configmaps', 'v1', 'ConfigMap'],
  ['/api/v1/namespaces/default/serviceaccounts', 'v1', 'ServiceAccount'],
  ['/apis/apps/v1/namespaces/default/deployments', 'apps/v1', 'Deployment'],
  ['/api/v1/namespaces', 'v1', 'Namespace'],
];
const SUBRESOURCES = ['', '', '', '/status', '/scale', '/binding', '/eviction', '/token', '/finalize'];
const PATCHES = ['json-patch', 'merge-patch', 'strategic-merge-patch'];
const OTHER_PATHS = ['/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', '/openapi/v3', '/api', '/apis/x', '/x'];

/** Values where the schema has others. */
const leaf = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom({ toString: 1, valueOf: 1 }, [{ toString: 1, valueOf: 1 }]), // cannot be made text
  fc.constantFrom(null, '', 'a', 0, -1, [], {}, '10.96.0.1', 'None', { a: 'b' }),
);
const replicas = fc.constantFrom(0, 3, -1);
const labels = fc.constantFrom({ a: 'b' }, {}, undefined);
const containers = fc.constantFrom([{ name: 'c', image: 'host' }], [{ name: 'c' }], [{}], [], undefined);
const ports = fc.constantFrom([{ port: 80 }], [{ port: 80, nodePort: 30001 }], [{ port: 0 }], [{}], [], undefined);
/** Mostly right, with something missing or odd. */
const spec = fc.oneof(
  fc.record({ containers, nodeName: fc.constantFrom(undefined, 'n1') }),
  fc.record({
    ports,
    type: fc.constantFrom(undefined, 'NodePort', 'ExternalName', 'LoadBalancer'),
    clusterIP: fc.constantFrom(undefined, 'None', '10.96.0.20', '10.97.0.1', 'x', ''),
    clusterIPs: fc.constantFrom(undefined, [], ['None'], ['10.96.0.20'], ['x', 'y']),
    ipFamilies: fc.constantFrom(undefined, ['IPv4'], ['IPv6', 'IPv4'], []),
    ipFamilyPolicy: fc.constantFrom(undefined, 'SingleStack', 'RequireDualStack'),
    externalName: fc.constantFrom(undefined, 'example.com'),
  }),
  fc.record({
    replicas,
    selector: fc.record({ matchLabels: labels }),
    template: fc.record({ metadata: fc.record({ labels }), spec: fc.record({ containers }) }),
  }),
  fc.record({ replicas, selector: labels, finalizers: fc.constantFrom(undefined, [], ['x']) }),
  leaf,
);
const metadata = fc.record({
  name: fc.constantFrom('a', 'b', undefined),
  generateName: fc.constantFrom('g-', undefined),
  finalizers: fc.constantFrom(undefined, ['x.io/y'], []),
  resourceVersion: fc.constantFrom(undefined, '1', ''),
  labels,
});
const operation = fc.record({
  op: fc.constantFrom('add', 'remove', 'replace', 'test', 'x'),
  path: fc.constantFrom('', '/spec', '/metadata', '/metadata/name', '/spec/ports/0', '/spec/containers', 'x'),
  value: fc.oneof(leaf, spec),
});
const query = fc.dictionary(
  fc.constantFrom(
    'limit',
    'continue',
    'resourceVersion',
    'resourceVersionMatch',
    'labelSelector',
    'fieldSelector',
    'dryRun',
    'fieldValidation',
    'gracePeriodSeconds',
    'propagationPolicy',
  ),
  fc.constantFrom(
    '',
    '0',
    '1',
    '5',
    'a',
    'All',
    'Exact',
    'NotOlderThan',
    'a=b',
    'a in (b',
    'metadata.name=a',
    'Strict',
    'Orphan',
    'e30',
  ),
  { maxKeys: 2 },
);

const request: fc.Arbitrary<ApiRequest> = fc.constantFrom(...KINDS).chain(([collection, apiVersion, kind]) => {
  const object = fc.record({ apiVersion: fc.constant(apiVersion), kind: fc.constant(kind), metadata, spec });
  const others = fc.record({
    deleteOptions: leaf,
    target: leaf,
    preconditions: leaf,
    status: leaf,
    spec: leaf,
    kind: leaf,
  });
  const at = fc.oneof(
    { weight: 1, arbitrary: fc.constant(collection) },
    { weight: 4, arbitrary: fc.constantFrom(...SUBRESOURCES).map((subresource) => `${collection}/a${subresource}`) },
  );
  return fc.record({
    method: fc.constantFrom('GET', 'POST', 'POST', 'PUT', 'PATCH', 'PATCH', 'DELETE'),
    path: fc.oneof({ weight: 20, arbitrary: at }, { weight: 1, arbitrary: fc.constantFrom(...OTHER_PATHS) }),
    query: fc.oneof(fc.constant({}), query),
    body: fc.oneof(
      { weight: 6, arbitrary: object },
      { weight: 2, arbitrary: fc.array(operation, { maxLength: 2 }) },
      others,
      leaf,
      fc.constant(undefined),
    ),
    headers: fc.constantFrom(...PATCHES).map((type) => ({ 'content-type': `application/${type}+json` })),
  });
});

const EXISTING: readonly [collection: string, object: object][] = [
  ['pods', { kind: 'Pod', spec: { containers: [{ name: 'c', image: 'host' }] } }],
  ['services', { kind: 'Service', spec: { ports: [{ port: 80 }] } }],
  ['configmaps', { kind: 'ConfigMap' }],
  ['serviceaccounts', { kind: 'ServiceAccount' }],
];

test('no request is answered with 500', async (t) => {
  const { transport } = await startTestApi(t);
  const fill = async () => {
    for (const [collection, each] of EXISTING) {
      const made = { apiVersion: 'v1', metadata: { name: 'a' }, ...each };
      await transport.request({ method: 'POST', path: `/api/v1/namespaces/default/${collection}`, body: made });
    }
  };
  const property = fc.asyncProperty(request, async (each) => {
    await fill();
    const { status, body: answer } = await transport.request(each);
    assert.notEqual(status, 500, JSON.stringify(answer));
  });
  await fc.assert(property, { numRuns: 1500 });
});
