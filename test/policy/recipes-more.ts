// Recipes of what the API allows besides: expressions, both ends, ranges out, DNS; and by hand who may speak to whom then.
import { A, denyEgress, inX, isA, named, type Recipe, x } from './recipe.ts';

export const MORE: readonly Recipe[] = [
  {
    name: 'nothing out but names: egress to the pods that answer DNS, on one port of UDP and TCP',
    policies: [
      denyEgress,
      x('allow-dns', {
        podSelector: {},
        egress: [
          {
            to: [{ namespaceSelector: named('z'), podSelector: { matchLabels: { pod: 'c' } } }],
            ports: [
              { port: 81, protocol: 'UDP' },
              { port: 81, protocol: 'TCP' },
            ],
          },
        ],
        policyTypes: ['Egress'],
      }),
    ],
    allows: ({ from, to, port }) => !inX(from) || (to === 'z/c' && port === 81),
    outside: [false, false, false],
  },
  {
    name: 'a namespace by the name that the API gives it for a label',
    policies: [x('from-y', { podSelector: {}, ingress: [{ from: [{ namespaceSelector: named('y') }] }] })],
    allows: ({ from, to }) => !inX(to) || from.startsWith('y/'),
  },
  {
    name: 'several namespaces by one expression',
    policies: [
      x('y-and-z', {
        podSelector: A,
        ingress: [
          { from: [{ namespaceSelector: { matchExpressions: [{ key: 'ns', operator: 'In', values: ['y', 'z'] }] } }] },
        ],
      }),
    ],
    allows: ({ from, to }) => !isA(to) || !inX(from),
  },
  {
    name: 'pods by expression, of a policy and of its peers',
    policies: [
      x('not-c', {
        podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['a', 'b'] }] },
        ingress: [
          { from: [{ podSelector: { matchExpressions: [{ key: 'pod', operator: 'NotIn', values: ['c'] }] } }] },
        ],
      }),
    ],
    allows: ({ from, to }) => !['x/a', 'x/b'].includes(to) || ['x/a', 'x/b'].includes(from),
  },
  {
    name: 'a database: block, namespace and pods as peers of one port, and egress of its own',
    policies: [
      x('database', {
        podSelector: A,
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          {
            from: [
              { ipBlock: { cidr: '172.16.0.0/12' } },
              { namespaceSelector: { matchLabels: { ns: 'y' } } },
              { podSelector: { matchLabels: { pod: 'b' } } },
            ],
            ports: [{ port: 80 }],
          },
        ],
        egress: [{ to: [{ namespaceSelector: { matchLabels: { ns: 'z' } } }], ports: [{ port: 81 }] }],
      }),
    ],
    allows: ({ from, to, port, protocol }) =>
      (!isA(to) || ((from.startsWith('y/') || from === 'x/b') && port === 80 && protocol === 'TCP')) &&
      (!isA(from) || (to.startsWith('z/') && port === 81 && protocol === 'TCP')),
    outside: [false, false, false],
  },
  {
    name: 'only within the namespace, in and out',
    policies: [
      x('within', {
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [{ podSelector: {} }] }],
        egress: [{ to: [{ podSelector: {} }] }],
      }),
    ],
    allows: ({ from, to }) => inX(from) === inX(to),
    outside: [false, false, false],
  },
  {
    name: 'egress to whomever, on one port of TCP',
    policies: [x('only-80', { podSelector: {}, egress: [{ ports: [{ port: 80 }] }], policyTypes: ['Egress'] })],
    allows: ({ from, port, protocol }) => !inX(from) || (port === 80 && protocol === 'TCP'),
    outside: [true, true, true],
  },
  {
    name: 'egress in a range of ports to one namespace',
    policies: [
      x('range-out', {
        podSelector: A,
        egress: [
          {
            to: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }],
            ports: [
              { port: 81, endPort: 32000, protocol: 'UDP' },
              { port: 80, endPort: 80 },
            ],
          },
        ],
        policyTypes: ['Egress'],
      }),
    ],
    allows: ({ from, to, port, protocol }) =>
      !isA(from) || (to.startsWith('y/') && port === (protocol === 'TCP' ? 80 : 81)),
    outside: [false, false, false],
  },
  {
    name: 'all of UDP, and of TCP nothing',
    policies: [x('udp', { podSelector: A, ingress: [{ ports: [{ protocol: 'UDP' }] }] })],
    allows: ({ to, protocol }) => !isA(to) || protocol === 'UDP',
  },
  {
    name: 'both ends have to agree: allowed out is not allowed in',
    policies: [
      x('out-to-y', {
        podSelector: {},
        egress: [{ to: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }] }],
        policyTypes: ['Egress'],
      }),
      {
        namespace: 'y',
        name: 'in-from-z',
        spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: named('z') }] }] },
      },
    ],
    allows: ({ from, to }) => !inX(from) && (!to.startsWith('y/') || from.startsWith('z/')),
    outside: [false, false, false],
  },
  {
    name: 'an empty list of rules denies, an empty rule allows',
    policies: [
      x('none', { podSelector: A, ingress: [], egress: [], policyTypes: ['Ingress', 'Egress'] }),
      x('all-in', { podSelector: { matchLabels: { pod: 'a' } }, ingress: [{}] }),
    ],
    allows: ({ from }) => !isA(from),
    outside: [false, false, false],
  },
  {
    name: 'a selector that no pod meets does nothing',
    policies: [x('nobody', { podSelector: { matchLabels: { pod: 'nobody' } }, policyTypes: ['Ingress', 'Egress'] })],
    allows: () => true,
    outside: [true, true, true],
  },
];
