// Room objects: ConfigMaps and Secrets that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

validationCases({
  good: [['a ConfigMap', 'ConfigMap', { data: { 'a.b-c_D': 'x' } }]],
  refused: [
    [
      'a key with a slash',
      'ConfigMap',
      { data: { 'a/b': '' } },
      [
        "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      ],
    ],
    [
      'a TLS Secret without its key',
      'Secret',
      { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } },
      ['data[tls.key]: Required value'],
    ],
  ],
  updates: [
    [
      'an immutable ConfigMap may not',
      'ConfigMap',
      { immutable: true, data: { a: '1' } },
      { immutable: true, data: { a: '2' } },
      ['data: Forbidden: field is immutable when `immutable` is set'],
    ],
    [
      'the type of a Secret may not',
      'Secret',
      { type: 'a' },
      { type: 'b' },
      ['type: Invalid value: "b": field is immutable'],
    ],
  ],
});
