// Recipes with tiers: ClusterNetworkPolicies and Calico's policies, alone and with NetworkPolicies, and by hand who may speak to whom then.
import type { Recipe } from './recipes.ts';

const inNamespace = (name: string) => ({ matchLabels: { ns: name } });
const ALL = { namespaces: {} };
const X = { namespaces: inNamespace('x') };
const Z = { namespaces: inNamespace('z') };
const A = { matchLabels: { pod: 'a' } };

function cluster(name: string, tier: 'Admin' | 'Baseline', priority: number, subject: object, rules: object) {
  const spec = { tier, priority, subject, ...rules };
  return { apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name }, spec };
}

function calico(kind: 'NetworkPolicy' | 'GlobalNetworkPolicy', name: string, spec: object) {
  const metadata = { name, ...(kind === 'NetworkPolicy' && { namespace: 'x' }) };
  return { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
}

const is = (namespace: string) => (pod: string) => pod.startsWith(`${namespace}/`);
const [inX, inZ] = [is('x'), is('z')];
const denyX = { namespace: 'x', name: 'deny', spec: { podSelector: {}, policyTypes: ['Ingress'] } };

export const TIER_RECIPES: readonly Recipe[] = [
  {
    name: 'Admin tier: a namespace is denied to another, whatever NetworkPolicies allow',
    policies: [{ namespace: 'x', name: 'allow', spec: { podSelector: {}, ingress: [{}] } }],
    objects: [cluster('guard', 'Admin', 1, X, { ingress: [{ action: 'Deny', from: [Z] }] })],
    allows: ({ from, to }) => !(inX(to) && inZ(from)),
  },
  {
    name: 'Admin tier: what it accepts no NetworkPolicy denies; the first priority decides',
    policies: [denyX],
    objects: [
      cluster('accept', 'Admin', 1, X, {
        ingress: [{ action: 'Accept', from: [Z], protocols: [{ tcp: { destinationPort: { number: 80 } } }] }],
      }),
      cluster('later', 'Admin', 2, X, { ingress: [{ action: 'Deny', from: [Z] }] }),
    ],
    allows: ({ from, to, port, protocol }) => !inX(to) || (inZ(from) && port === 80 && protocol === 'TCP'),
  },
  {
    name: 'Admin tier: what it passes NetworkPolicies decide, and without them the Baseline tier',
    policies: [{ namespace: 'x', name: 'a', spec: { podSelector: A, ingress: [{ from: [{ podSelector: {} }] }] } }],
    objects: [
      cluster('pass', 'Admin', 1, ALL, { ingress: [{ action: 'Pass', from: [ALL] }] }),
      cluster('never', 'Admin', 2, ALL, { ingress: [{ action: 'Deny', from: [ALL] }] }),
      cluster('floor', 'Baseline', 1, X, { ingress: [{ action: 'Deny', from: [ALL] }] }),
    ],
    allows: ({ from, to }) => (to === 'x/a' ? inX(from) : !inX(to)),
  },
  {
    name: 'Baseline tier: a default deny with ranges of ports open, over UDP too',
    policies: [],
    objects: [
      cluster('floor', 'Baseline', 5, X, {
        ingress: [
          {
            action: 'Accept',
            from: [ALL],
            protocols: [{ udp: { destinationPort: { range: { start: 79, end: 80 } } } }],
          },
          { action: 'Deny', from: [ALL] },
        ],
      }),
    ],
    allows: ({ to, port, protocol }) => !inX(to) || (protocol === 'UDP' && port === 80),
  },
  {
    name: 'egress: a port by its name of some pods, networks and nodes; all else is denied',
    policies: [],
    objects: [
      cluster(
        'out',
        'Admin',
        1,
        { pods: { namespaceSelector: inNamespace('x'), podSelector: A } },
        {
          egress: [
            {
              action: 'Accept',
              to: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { pod: 'b' } } } }],
              protocols: [{ destinationNamedPort: 'serve-81-tcp' }],
            },
            { action: 'Accept', to: [{ networks: ['203.0.113.0/24'] }] },
            { action: 'Accept', to: [{ nodes: { matchLabels: { role: 'far' } } }] },
            { action: 'Deny', to: [{ networks: ['0.0.0.0/0', '::/0'] }] },
          ],
        },
      ),
    ],
    allows: ({ from, to, port, protocol }) =>
      from !== 'x/a' || (to.endsWith('/b') && port === 81 && protocol === 'TCP'),
    outside: [true, true, false],
  },
  {
    name: 'Calico: the lower order decides, and what no rule decides is denied',
    policies: [],
    objects: [
      calico('GlobalNetworkPolicy', 'first', {
        order: 1,
        selector: 'pod == "a"',
        namespaceSelector: 'ns == "x"',
        ingress: [
          { action: 'Deny', protocol: 'TCP', source: { selector: 'pod in {"c"}' } },
          { action: 'Allow', source: { namespaceSelector: 'ns starts with "x" || ns == "y"' } },
        ],
      }),
      calico('GlobalNetworkPolicy', 'second', {
        order: 2,
        selector: 'has(pod) && pod != "b" && pod != "c"',
        ingress: [{ action: 'Deny' }],
      }),
    ],
    allows: ({ from, to, protocol }) => {
      if (!to.endsWith('/a')) return true;
      if (to !== 'x/a') return false;
      return !(from.endsWith('/c') && protocol === 'TCP') && !inZ(from);
    },
  },
  {
    name: 'Calico: a policy of a namespace, ranges of ports, all but one, and addresses that are left out',
    policies: [],
    objects: [
      calico('NetworkPolicy', 'ports', {
        selector: '!(pod contains "b")',
        types: ['Ingress'],
        ingress: [
          {
            action: 'Allow',
            protocol: 'TCP',
            source: { selector: 'all()' },
            destination: { ports: ['80:90'], notPorts: [81] },
          },
          { action: 'Allow', protocol: 'UDP', source: { notNets: ['10.244.0.0/16', 'fd00:244::/32'] } },
        ],
      }),
    ],
    // Without a namespaceSelector its selectors mean its own namespace.
    allows: ({ from, to, port, protocol }) =>
      !inX(to) || to === 'x/b' || (inX(from) && protocol === 'TCP' && port === 80),
  },
  {
    name: 'Calico before NetworkPolicies (order 1000) and after them, in the default tier',
    policies: [
      {
        namespace: 'x',
        name: 'from-y',
        spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: inNamespace('y') }] }] },
      },
    ],
    objects: [
      calico('GlobalNetworkPolicy', 'before', {
        order: 999,
        namespaceSelector: 'ns == "x"',
        ingress: [{ action: 'Deny', source: { selector: 'pod == "c"' } }],
      }),
      calico('GlobalNetworkPolicy', 'after', {
        order: 1001,
        namespaceSelector: 'ns == "x"',
        ingress: [
          { action: 'Deny', source: { selector: 'pod == "b"' } },
          { action: 'Allow', source: { namespaceSelector: 'ns == "z"' } },
        ],
      }),
    ],
    allows: ({ from, to }) =>
      !inX(to) || (!from.endsWith('/c') && (is('y')(from) || (inZ(from) && !from.endsWith('/b')))),
  },
  {
    name: 'Calico: a tier before all others that passes on, egress by protocol',
    policies: [],
    objects: [
      {
        apiVersion: 'projectcalico.org/v3',
        kind: 'Tier',
        metadata: { name: 'early' },
        spec: { order: 1, defaultAction: 'Pass' },
      },
      calico('GlobalNetworkPolicy', 'no-udp', {
        tier: 'early',
        namespaceSelector: 'ns == "y"',
        egress: [{ action: 'Deny', protocol: 'UDP' }, { action: 'Log' }],
      }),
      cluster('accept', 'Admin', 1, ALL, { egress: [{ action: 'Accept', to: [ALL] }] }),
    ],
    allows: ({ from, protocol }) => !(is('y')(from) && protocol === 'UDP'),
  },
  {
    name: 'staged: what it would do is counted, and nothing is denied',
    policies: [],
    objects: [
      {
        ...cluster('guard', 'Admin', 1, X, { ingress: [{ action: 'Deny', from: [ALL] }] }),
        metadata: { name: 'guard', annotations: { 'podwire.io/mode': 'staged' } },
      },
    ],
    allows: () => true,
  },
];
