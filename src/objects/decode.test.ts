// Room objects: decoding bodies: unknown fields, wrong types, and what Kubernetes calls them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, decodeModel, type FieldValidation, prune } from './decode.ts';
import { kindRow } from './kinds.ts';
import { StatusError } from './status.ts';

function refusal(kind: string, body: unknown, validation: FieldValidation = 'Strict'): string {
  try {
    decode(kindRow(kind), body, validation);
  } catch (error) {
    assert.ok(error instanceof StatusError);
    assert.equal(error.code, 400);
    return error.message;
  }
  return 'accepted';
}

const service = (spec: unknown) => ({ metadata: { name: 'web' }, spec });

test('an unknown field is refused, warned of, or dropped, as the client asked', () => {
  const body = () => service({ ports: [{ port: 80, colour: 'red' }], selektor: {} });
  assert.equal(
    refusal('Service', body()),
    'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.ports[0].colour", unknown field "spec.selektor"',
  );
  const warned = decode(kindRow('Service'), body(), 'Warn');
  assert.deepEqual(warned.warnings, ['unknown field "spec.ports[0].colour"', 'unknown field "spec.selektor"']);
  const dropped = decode(kindRow('Service'), body(), 'Ignore');
  assert.deepEqual(dropped.warnings, []);
  assert.deepEqual(dropped.object['spec'], { ports: [{ port: 80 }] });
});

const wrongTypes: [name: string, kind: string, body: unknown, message: string][] = [
  [
    'text for a number',
    'Service',
    service({ ports: [{ port: '80' }] }),
    'json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32',
  ],
  [
    'a fraction for a number',
    'Service',
    service({ ports: [{ port: 1.5 }] }),
    'json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.port of type int32',
  ],
  [
    'a number for text',
    'Service',
    service({ clusterIP: 7 }),
    'json: cannot unmarshal number into Go struct field ServiceSpec.spec.clusterIP of type string',
  ],
  [
    'a number in a map of text',
    'Service',
    { metadata: { labels: { a: 1 } } },
    'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string',
  ],
  [
    'an object for a list',
    'Service',
    service({ ports: {} }),
    'json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort',
  ],
  [
    'text for an object',
    'Service',
    service('x'),
    'json: cannot unmarshal string into Go struct field Service.spec of type v1.ServiceSpec',
  ],
  [
    'text for a truth value',
    'Pod',
    { spec: { hostNetwork: 'yes' } },
    'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool',
  ],
  [
    'no quantity',
    'Pod',
    { spec: { overhead: { cpu: 'much' } } },
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  ],
  ['no base64', 'Secret', { data: { a: 'a*b=' } }, 'illegal base64 data at input byte 1'],
];

for (const [name, kind, body, message] of wrongTypes) {
  test(`${name} is refused`, () => {
    assert.equal(refusal(kind, body), `${kind} in version "v1" cannot be handled as a ${kind}: ${message}`);
  });
}

test('another kind, another version, and what is no object are refused', () => {
  assert.match(
    refusal('Service', { kind: 'Pod', apiVersion: 'v1' }),
    /^Pod in version "v1" cannot be handled as a Service: /,
  );
  assert.equal(
    refusal('Deployment', { kind: 'Deployment', apiVersion: 'apps/v1beta1' }),
    'the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)',
  );
  assert.match(refusal('Service', []), /^the object provided is unrecognized \(must be of type Service\)/);
  assert.match(
    refusal('Service', { kind: [{ toString: 1 }] }),
    /json: cannot unmarshal array into Go struct field \.kind of type string$/,
  );
});

test('null means that a field is not there, and in a list or map the zero value', () => {
  const { object } = decode(kindRow('Pod'), {
    metadata: { creationTimestamp: null, labels: { a: null } },
    spec: { containers: [null], nodeName: null },
  });
  assert.deepEqual(object, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { labels: { a: '' } },
    spec: { containers: [{ name: '' }] },
  });
});

test('a required field of a plain type that is missing is zero, as it is in Go', () => {
  const { object } = decode(kindRow('Service'), service({ ports: [{ name: 'http' }] }));
  assert.deepEqual(object['spec'], { ports: [{ name: 'http', port: 0 }] });
});

test('quantities become text and times their canonical form', () => {
  const { object } = decode(kindRow('Lease'), { spec: { renewTime: '2026-01-02T03:04:05+01:00' } });
  assert.deepEqual(object['spec'], { renewTime: '2026-01-02T02:04:05.000000Z' });
  const pod = decode(kindRow('Pod'), { spec: { overhead: { cpu: 2 } } }).object;
  assert.deepEqual(pod['spec'], { overhead: { cpu: '2' } });
});

test('the keys of maps and of managed fields are not fields', () => {
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { managedFields: [{ fieldsV1: { 'f:data': {} } }] },
    data: { anything: 'x' },
  };
  assert.deepEqual(prune(kindRow('ConfigMap'), structuredClone(body)), []);
});

test('the bodies of subresources are read by their model', () => {
  assert.deepEqual(decodeModel('V1DeleteOptions', { gracePeriodSeconds: 0, odd: 1 }), { gracePeriodSeconds: 0 });
  assert.throws(() => decodeModel('V1Scale', { spec: { replicas: '3' } }), /ScaleSpec.spec.replicas of type int32/);
});
