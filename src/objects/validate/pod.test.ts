// Room objects: Pods that may be stored and that may not, and the words of refusals.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problems, validationCases } from './cases.fixture.ts';

const pod = (spec: object) => ({ spec: { containers: [{ name: 'a', image: 'x:1' }], ...spec } });
const container = (fields: object) => ({ spec: { containers: [{ name: 'a', image: 'x:1', ...fields }] } });

validationCases({
  good: [
    ['a Pod', 'Pod', pod({ volumes: [{ name: 'v', emptyDir: {} }] })],
    [
      'a Pod that uses its volume',
      'Pod',
      pod({
        containers: [{ name: 'a', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
        volumes: [{ name: 'v' }],
      }),
    ],
    [
      'a sidecar with a probe',
      'Pod',
      pod({
        initContainers: [
          { name: 's', image: 'x', restartPolicy: 'Always', startupProbe: { exec: { command: ['true'] } } },
        ],
      }),
    ],
  ],
  refused: [
    ['no containers', 'Pod', { spec: {} }, ['spec.containers: Required value']],
    [
      'a hostname of its own, and more',
      'Pod',
      pod({ hostnameOverride: `a.${'b'.repeat(70)}`, setHostnameAsFQDN: true, hostNetwork: true }),
      [
        'spec.hostnameOverride: Too long: may not be more than 64 bytes',
        'spec.setHostnameAsFQDN: Forbidden: may not be specified when `hostnameOverride` is set',
        'spec.hostnameOverride: Forbidden: may not be specified when `hostNetwork` is true',
      ],
    ],
    ['no image', 'Pod', container({ image: '' }), ['spec.containers[0].image: Required value']],
    [
      'two containers of one name',
      'Pod',
      pod({
        containers: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'y' },
        ],
      }),
      ['spec.containers[1].name: Duplicate value: "a"'],
    ],
    [
      'a port out of range',
      'Pod',
      container({ ports: [{ containerPort: 70000 }] }),
      ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
    ],
    [
      'an unknown protocol',
      'Pod',
      container({ ports: [{ containerPort: 1, protocol: 'ICMP' }] }),
      ['spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ],
    [
      'a mount of no volume',
      'Pod',
      container({ volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ],
    [
      'requests over limits',
      'Pod',
      container({ resources: { requests: { cpu: '2' }, limits: { cpu: '1500m' } } }),
      ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1500m'],
    ],
    [
      'a probe of no kind',
      'Pod',
      container({ livenessProbe: {} }),
      ['spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    ],
    [
      'a probe of two kinds',
      'Pod',
      container({ readinessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } }),
      ['spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
    ],
    [
      'a probe of an init container',
      'Pod',
      pod({ initContainers: [{ name: 'i', image: 'x', livenessProbe: { exec: { command: ['a'] } } }] }),
      [
        'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
    [
      'a variable from nowhere',
      'Pod',
      container({ env: [{ name: 'A', valueFrom: {} }] }),
      [
        'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `fileKeyRef` or `secretKeyRef`',
      ],
    ],
    [
      'an unknown restartPolicy',
      'Pod',
      pod({ restartPolicy: 'Sometimes' }),
      ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'],
    ],
    [
      'a volume of two kinds',
      'Pod',
      pod({ volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] }),
      ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
    ],
  ],
  updates: [
    ['the image of a Pod may change', 'Pod', container({}), container({ image: 'x:2' }), []],
    [
      'the containers of a Pod may not',
      'Pod',
      container({}),
      pod({
        containers: [
          { name: 'a', image: 'x:1' },
          { name: 'b', image: 'x:1' },
        ],
      }),
      ['spec.containers: Forbidden: pod updates may not add or remove containers'],
    ],
  ],
});

test('a Pod of which something else changes says what', () => {
  const [problem, ...rest] = problems('Pod', pod({ hostNetwork: true }), pod({}));
  assert.match(
    problem!,
    /^spec: Forbidden: pod updates may not change fields other than .*\n {2}changed: spec\.hostNetwork$/s,
  );
  assert.deepEqual(rest, []);
});
