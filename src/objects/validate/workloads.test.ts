// Room objects: Deployments and ReplicaSets that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

const pod = (spec: object) => ({ spec: { containers: [{ name: 'a', image: 'x:1' }], ...spec } });
const template = { metadata: { labels: { app: 'web' } }, ...pod({}) };
const deployment = (spec: object) => ({ spec: { selector: { matchLabels: { app: 'web' } }, template, ...spec } });

validationCases({
  good: [['a Deployment', 'Deployment', deployment({})]],
  refused: [
    ['no selector', 'Deployment', { spec: { template } }, ['spec.selector: Required value']],
    [
      'a selector of other pods',
      'Deployment',
      deployment({ selector: { matchLabels: { app: 'db' } } }),
      ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ],
    [
      'a rollout that cannot begin',
      'Deployment',
      deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } } }),
      ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
    ],
    [
      'fewer than no replicas',
      'ReplicaSet',
      deployment({ replicas: -1 }),
      ['spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    ],
    [
      'pods that do not restart',
      'ReplicaSet',
      deployment({ template: { ...template, ...pod({ restartPolicy: 'Never' }) } }),
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
  ],
  updates: [
    [
      'the selector of a Deployment may not',
      'Deployment',
      deployment({}),
      deployment({
        selector: { matchLabels: { app: 'web', x: 'y' } },
        template: { ...template, metadata: { labels: { app: 'web', x: 'y' } } },
      }),
      ['spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable'],
    ],
  ],
});
