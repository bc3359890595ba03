// Room node: a container's environment, its downward API, and $(VAR).
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ConfigMap, Secret, Service } from '../objects/types.ts';
import { ConfigError, fieldValue, type PodFacts, resourceValue } from './downward.ts';
import { containerEnv, type EnvSources } from './env.ts';
import { expand } from './expand.ts';
import { container, pod } from './pod-view.fixture.ts';

const stored = (name: string, rest: object) => ({ metadata: { name, namespace: 'shop' }, ...rest });
const config = stored('settings', { data: { COLOUR: 'blue', 'log.level': 'debug' } }) as unknown as ConfigMap;
const secret = stored('login', { data: { password: Buffer.from('s3cret').toString('base64') } }) as unknown as Secret;
const redis = stored('redis-main', {
  spec: { clusterIP: '10.96.0.11', ports: [{ port: 6379 }, { name: 'admin-ui', port: 80 }] },
}) as unknown as Service;
const headless = stored('peers', { spec: { clusterIP: 'None', ports: [{ port: 1 }] } }) as unknown as Service;

const facts: PodFacts = {
  pod: pod(
    { serviceAccountName: 'builder' },
    { labels: { app: 'web', 'a/b': 'c' }, annotations: { note: 'say "hi"' } },
  ),
  nodeName: 'worker-1',
  hostIPs: ['172.30.0.11'],
  podIPs: ['10.244.0.5', 'fd00:10:244::5'],
  allocatable: { cpu: '2', memory: '4Gi', 'ephemeral-storage': '10Gi' },
};
const sources: EnvSources = {
  facts,
  services: [redis, headless],
  configMap: (name) => (name === 'settings' ? config : undefined),
  secret: (name) => (name === 'login' ? secret : undefined),
};

function env(spec: Parameters<typeof container>[1]): Record<string, string> {
  return Object.fromEntries(containerEnv(container('app', spec), { ...sources, services: [] }));
}

describe('$(VAR)', () => {
  const variables = new Map([
    ['A', '1'],
    ['B.c-d', '2'],
  ]);
  const cases: Record<string, [text: string, expected: string]> = {
    'is replaced': ['x$(A)y$(B.c-d)', 'x1y2'],
    'stays when unknown': ['$(NO)', '$(NO)'],
    'is kept from expansion by $$': ['$$(A)', '$(A)'],
    'leaves other dollar signs': ['$A $ 5$', '$A $ 5$'],
    'pairs of dollar signs become one': ['$$$$', '$$'],
    'an unclosed one stays': ['$(A', '$(A'],
  };
  for (const [name, [text, expected]] of Object.entries(cases)) {
    it(name, () => assert.equal(expand(text, variables), expected));
  }
});

describe('the environment', () => {
  it('expands what stands before', () => {
    const variables = [
      { name: 'A', value: '1' },
      { name: 'B', value: '$(A)-$(C)' },
      { name: 'C', value: '3' },
    ];
    assert.deepEqual(env({ env: variables }), { A: '1', B: '1-$(C)', C: '3' });
  });

  it('takes whole ConfigMaps and Secrets with a prefix, and later entries win', () => {
    const envFrom = [{ configMapRef: { name: 'settings' }, prefix: 'S_' }, { secretRef: { name: 'login' } }];
    assert.deepEqual(env({ envFrom, env: [{ name: 'S_COLOUR', value: 'red' }] }), {
      S_COLOUR: 'red',
      'S_log.level': 'debug',
      password: 's3cret',
    });
  });

  it('takes single keys', () => {
    const variables = [
      { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'COLOUR' } } },
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'login', key: 'password' } } },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    ];
    assert.deepEqual(env({ env: variables }), { COLOUR: 'blue', PASSWORD: 's3cret', IP: '10.244.0.5' });
  });

  it('leaves out what is optional and not there', () => {
    const valueFrom = { configMapKeyRef: { name: 'settings', key: 'none', optional: true } };
    const envFrom = [{ secretRef: { name: 'none', optional: true } }];
    assert.deepEqual(env({ envFrom, env: [{ name: 'X', valueFrom }] }), {});
  });

  const wrong: Record<string, [spec: Parameters<typeof env>[0], message: RegExp]> = {
    'a missing ConfigMap': [{ envFrom: [{ configMapRef: { name: 'no' } }] }, /^configmap "no" not found$/],
    'a missing Secret': [{ envFrom: [{ secretRef: { name: 'no' } }] }, /^secret "no" not found$/],
    'a missing key': [
      { env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'settings', key: 'no' } } }] },
      /^couldn't find key no in ConfigMap shop\/settings$/,
    ],
  };
  for (const [name, [spec, message]] of Object.entries(wrong)) {
    it(`${name} is named`, () => {
      assert.throws(
        () => env(spec),
        (error) => error instanceof ConfigError && message.test(error.message),
      );
    });
  }

  it('names the Services around, headless ones aside', () => {
    assert.deepEqual(Object.fromEntries(containerEnv(container('app'), sources)), {
      REDIS_MAIN_SERVICE_HOST: '10.96.0.11',
      REDIS_MAIN_SERVICE_PORT: '6379',
      REDIS_MAIN_SERVICE_PORT_ADMIN_UI: '80',
      REDIS_MAIN_PORT: 'tcp://10.96.0.11:6379',
      REDIS_MAIN_PORT_6379_TCP: 'tcp://10.96.0.11:6379',
      REDIS_MAIN_PORT_6379_TCP_PROTO: 'tcp',
      REDIS_MAIN_PORT_6379_TCP_PORT: '6379',
      REDIS_MAIN_PORT_6379_TCP_ADDR: '10.96.0.11',
      REDIS_MAIN_PORT_80_TCP: 'tcp://10.96.0.11:80',
      REDIS_MAIN_PORT_80_TCP_PROTO: 'tcp',
      REDIS_MAIN_PORT_80_TCP_PORT: '80',
      REDIS_MAIN_PORT_80_TCP_ADDR: '10.96.0.11',
    });
  });
});

describe('the downward API', () => {
  const fields: Record<string, string> = {
    'metadata.name': 'web',
    'metadata.namespace': 'shop',
    "metadata.labels['a/b']": 'c',
    "metadata.labels['none']": '',
    'metadata.labels': 'a/b="c"\napp="web"',
    'metadata.annotations': 'note="say \\"hi\\""',
    'spec.nodeName': 'worker-1',
    'spec.serviceAccountName': 'builder',
    'status.hostIP': '172.30.0.11',
    'status.podIPs': '10.244.0.5,fd00:10:244::5',
  };
  for (const [fieldPath, expected] of Object.entries(fields)) {
    it(`${fieldPath} is ${JSON.stringify(expected)}`, () => assert.equal(fieldValue(facts, { fieldPath }), expected));
  }

  const limited = container('app', { resources: { limits: { cpu: '250m', memory: '64Mi' } } });
  const resources: [resource: string, divisor: string | undefined, expected: string][] = [
    ['limits.cpu', undefined, '1'],
    ['limits.cpu', '1m', '250'],
    ['requests.cpu', '1m', '250'],
    ['limits.memory', undefined, '67108864'],
    ['limits.memory', '1Mi', '64'],
    ['limits.memory', '0', '67108864'],
    ['limits.ephemeral-storage', '1Gi', '10'],
  ];
  for (const [resource, divisor, expected] of resources) {
    it(`${resource} in ${divisor ?? 'units'} is ${expected}`, () => {
      assert.equal(resourceValue(facts, { resource, ...(divisor && { divisor }) }, limited), expected);
    });
  }
});
