// The recipes that everybody uses, as the Kubernetes documentation and its readers write them, and by hand who may speak to whom then.
import type { NetworkPolicy } from '../../src/objects/types.ts';

export interface Case {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

export interface PolicyObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: object };
  readonly spec: object | undefined;
}

export interface Recipe {
  readonly name: string;
  readonly policies: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly spec: NetworkPolicy['spec'];
  }[];
  /** Policies of other kinds, and tiers. */
  readonly objects?: readonly PolicyObject[];
  /** Of two different pods. A pod reaches itself always. */
  readonly allows: (flow: Case) => boolean;
  /** Whether x/a may ask the host outside at its IPv4, IPv6 and link-local address, on port 80. */
  readonly outside?: readonly [boolean, boolean, boolean];
}

const A = { matchLabels: { pod: 'a' } };
const inX = (pod: string) => pod.startsWith('x/');
const isA = (pod: string) => pod === 'x/a';

function x(name: string, spec: NetworkPolicy['spec']) {
  return { namespace: 'x', name, spec };
}

const named = (namespace: string) => ({ matchLabels: { 'kubernetes.io/metadata.name': namespace } });

const denyIngress = x('default-deny-ingress', { podSelector: {}, policyTypes: ['Ingress'] });
const denyEgress = x('default-deny-egress', { podSelector: {}, policyTypes: ['Egress'] });

export const RECIPES: readonly Recipe[] = [
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
