// The recipes that everybody uses, as the Kubernetes documentation and its readers write them, and by hand who may speak to whom then.
import { A, denyEgress, denyIngress, inX, isA, type Recipe, x } from './recipe.ts';

export const KNOWN: readonly Recipe[] = [
  { name: 'no policy: everybody speaks to everybody', policies: [], allows: () => true, outside: [true, true, true] },
  {
    name: 'default deny all ingress',
    policies: [denyIngress],
    allows: ({ to }) => !inX(to),
    outside: [true, true, true],
  },
  {
    name: 'default deny all egress',
    policies: [denyEgress],
    allows: ({ from }) => !inX(from),
    outside: [false, false, false],
  },
  {
    name: 'default deny all ingress and all egress',
    policies: [x('default-deny-all', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })],
    allows: ({ from, to }) => !inX(from) && !inX(to),
    outside: [false, false, false],
  },
  {
    name: 'allow all ingress, over a default deny',
    policies: [denyIngress, x('allow-all-ingress', { podSelector: {}, ingress: [{}], policyTypes: ['Ingress'] })],
    allows: () => true,
  },
  {
    name: 'allow all egress, over a default deny',
    policies: [denyEgress, x('allow-all-egress', { podSelector: {}, egress: [{}], policyTypes: ['Egress'] })],
    allows: () => true,
    outside: [true, true, true],
  },
  {
    name: 'deny all traffic to one application',
    policies: [x('web-deny-all', { podSelector: A, ingress: [] })],
    allows: ({ to }) => !isA(to),
  },
  {
    name: 'limit traffic to an application to one peer of its namespace',
    policies: [
      x('api-allow', { podSelector: A, ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'b' } } }] }] }),
    ],
    allows: ({ from, to }) => !isA(to) || from === 'x/b',
  },
  {
    name: 'deny traffic from other namespaces',
    policies: [x('deny-from-other-namespaces', { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] })],
    allows: ({ from, to }) => !inX(to) || inX(from),
  },
  {
    name: 'allow traffic from all namespaces, but not from outside',
    policies: [x('web-allow-all-namespaces', { podSelector: A, ingress: [{ from: [{ namespaceSelector: {} }] }] })],
    allows: () => true,
  },
  {
    name: 'allow traffic from one namespace by its label',
    policies: [
      x('web-allow-prod', {
        podSelector: A,
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }] }],
      }),
    ],
    allows: ({ from, to }) => !isA(to) || from.startsWith('y/'),
  },
  {
    name: 'allow traffic from some pods of another namespace',
    policies: [
      x('web-allow-monitoring', {
        podSelector: A,
        ingress: [
          { from: [{ namespaceSelector: { matchLabels: { ns: 'y' } }, podSelector: { matchLabels: { pod: 'b' } } }] },
        ],
      }),
    ],
    allows: ({ from, to }) => !isA(to) || from === 'y/b',
  },
  {
    name: 'a namespace or a pod: two peers of one rule',
    policies: [
      x('or', {
        podSelector: A,
        ingress: [
          {
            from: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }, { podSelector: { matchLabels: { pod: 'b' } } }],
          },
        ],
      }),
    ],
    allows: ({ from, to }) => !isA(to) || from.startsWith('y/') || from === 'x/b',
  },
  {
    name: 'namespaces by expression: all but their own',
    policies: [
      x('not-x', {
        podSelector: A,
        ingress: [
          { from: [{ namespaceSelector: { matchExpressions: [{ key: 'ns', operator: 'NotIn', values: ['x'] }] } }] },
        ],
      }),
    ],
    allows: ({ from, to }) => !isA(to) || !inX(from),
  },
  {
    name: 'allow traffic only to a port of an application',
    policies: [x('api-allow-80', { podSelector: A, ingress: [{ ports: [{ port: 80, protocol: 'TCP' }] }] })],
    allows: ({ to, port, protocol }) => !isA(to) || (port === 80 && protocol === 'TCP'),
  },
  {
    name: 'a port by its name, over UDP another by number',
    policies: [
      x('named', { podSelector: A, ingress: [{ ports: [{ port: 'serve-81-tcp' }, { port: 80, protocol: 'UDP' }] }] }),
    ],
    allows: ({ to, port, protocol }) => !isA(to) || port === (protocol === 'TCP' ? 81 : 80),
  },
  {
    name: 'a port by its name, where it is the peer’s',
    policies: [
      x('named-egress', { podSelector: A, egress: [{ ports: [{ port: 'serve-80-tcp' }] }], policyTypes: ['Egress'] }),
    ],
    allows: ({ from, port, protocol }) => !isA(from) || (port === 80 && protocol === 'TCP'),
    outside: [false, false, false],
  },
  {
    name: 'a range of ports',
    policies: [
      x('range', {
        podSelector: A,
        ingress: [
          {
            ports: [
              { port: 81, endPort: 90 },
              { port: 1, endPort: 80, protocol: 'UDP' },
            ],
          },
        ],
      }),
    ],
    allows: ({ to, port, protocol }) => !isA(to) || port === (protocol === 'TCP' ? 81 : 80),
  },
  {
    name: 'several policies are a union',
    policies: [
      x('one', { podSelector: A, ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'b' } } }] }] }),
      x('two', {
        podSelector: {},
        ingress: [
          { from: [{ namespaceSelector: { matchLabels: { ns: 'z' } } }], ports: [{ port: 81, protocol: 'UDP' }] },
        ],
      }),
    ],
    allows: ({ from, to, port, protocol }) =>
      !inX(to) || (isA(to) && from === 'x/b') || (from.startsWith('z/') && port === 81 && protocol === 'UDP'),
  },
  {
    name: 'egress to a namespace, and ingress apart from it',
    policies: [
      x('egress-y', {
        podSelector: A,
        egress: [{ to: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }] }],
        policyTypes: ['Egress'],
      }),
      { namespace: 'y', name: 'no-ingress-b', spec: { podSelector: { matchLabels: { pod: 'b' } } } },
    ],
    allows: ({ from, to }) => (!isA(from) || to.startsWith('y/')) && to !== 'y/b',
    outside: [false, false, false],
  },
  {
    name: 'no egress to the metadata address of clouds, all else is open',
    policies: [
      x('no-metadata', {
        podSelector: {},
        egress: [
          { to: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.169.254/32'] } }, { ipBlock: { cidr: '::/0' } }] },
        ],
        policyTypes: ['Egress'],
      }),
    ],
    allows: () => true,
    outside: [true, true, false],
  },
  {
    name: 'egress only to the cluster',
    policies: [
      x('no-external', { podSelector: {}, egress: [{ to: [{ namespaceSelector: {} }] }], policyTypes: ['Egress'] }),
    ],
    allows: () => true,
    outside: [false, false, false],
  },
  {
    name: 'egress only to the outside, by a block with exceptions',
    policies: [
      x('external-only', {
        podSelector: A,
        egress: [
          {
            to: [
              { ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '169.254.0.0/16'] } },
              { ipBlock: { cidr: '2000::/3' } },
            ],
            ports: [{ port: 80 }],
          },
        ],
        policyTypes: ['Egress'],
      }),
    ],
    allows: ({ from }) => !isA(from),
    outside: [true, true, false],
  },
  {
    name: 'ingress from a block of pods’ addresses without one of them',
    policies: [
      x('block', {
        podSelector: A,
        ingress: [
          {
            from: [
              { ipBlock: { cidr: '10.244.8.0/24', except: ['10.244.8.3/32'] } },
              { ipBlock: { cidr: 'fd00:244:8::/64', except: ['fd00:244:8::3/128'] } },
            ],
          },
        ],
      }),
    ],
    allows: ({ from, to }) => !isA(to) || from !== 'x/b',
  },
];
