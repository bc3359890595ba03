// Room objects: what is asked of the metadata of every kind, and a refusal as a whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindRow } from '../kinds.ts';
import { prepared, validationCases } from './cases.fixture.ts';
import { invalid, validate } from './validate.ts';

const LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

validationCases({
  refused: [
    [
      'no name',
      'ConfigMap',
      { metadata: { name: '' } },
      ['metadata.name: Required value: name or generateName is required'],
    ],
    [
      'a name with capitals',
      'Namespace',
      { metadata: { name: 'Shop' } },
      [`metadata.name: Invalid value: "Shop": ${LABEL}`],
    ],
    [
      'a bad label value',
      'ConfigMap',
      { metadata: { labels: { a: '-' } } },
      [
        "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
      ],
    ],
    [
      'a finalizer without a domain',
      'ConfigMap',
      { metadata: { finalizers: ['mine'] } },
      [
        'metadata.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
      ],
    ],
  ],
  updates: [
    [
      'the name may not',
      'ConfigMap',
      {},
      { metadata: { name: 'other' } },
      ['metadata.name: Invalid value: "other": field is immutable'],
    ],
    [
      'a finalizer may not come to what is being deleted',
      'ConfigMap',
      { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['a.b/c'] } },
      { metadata: { finalizers: ['a.b/c', 'a.b/d'] } },
      [
        'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ["a.b/d"]',
      ],
    ],
  ],
});

test('a writer of a subresource answers for the metadata alone', () => {
  const row = kindRow('Pod');
  const object = prepared('Pod', { spec: {} });
  assert.deepEqual(validate(row, object, undefined, { subresource: 'status' }), []);
});

test('the refusal is a 422 Status in the words of Kubernetes, with all causes', () => {
  const row = kindRow('Deployment');
  const causes = validate(row, prepared('Deployment', { spec: {} }));
  const { status } = invalid(row, 'web', causes);
  assert.equal(
    status.message,
    'Deployment.apps "web" is invalid: [spec.selector: Required value, spec.template.spec.containers: Required value]',
  );
  assert.equal(status.code, 422);
  assert.equal(status.reason, 'Invalid');
  assert.deepEqual(status.details, {
    name: 'web',
    group: 'apps',
    kind: 'Deployment',
    causes: [
      { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.selector' },
      { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.template.spec.containers' },
    ],
  });
  const single = invalid(kindRow('Pod'), 'web', causes.slice(0, 1));
  assert.equal(single.message, 'Pod "web" is invalid: spec.selector: Required value');
});
