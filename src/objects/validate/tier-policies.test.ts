// Room objects: ClusterNetworkPolicies, Calico's policies and tiers that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

const ALL = [{ namespaces: {} }];
const cluster = (rest: object) => ({ spec: { tier: 'Admin', priority: 1, subject: { namespaces: {} }, ...rest } });
const out = (rule: object) => cluster({ egress: [{ action: 'Deny', to: ALL, ...rule }] });
const calico = (rule: object) => ({ spec: { ingress: [{ action: 'Allow', ...rule }] } });

validationCases({
  good: [
    [
      'a ClusterNetworkPolicy with all that there is',
      'ClusterNetworkPolicy',
      cluster({
        subject: { pods: { podSelector: { matchLabels: { app: 'a' } } } },
        ingress: [{ name: 'n', action: 'Pass', from: ALL, protocols: [{ destinationNamedPort: 'web' }] }],
        egress: [
          { action: 'Accept', to: [{ nodes: {} }, { networks: ['10.0.0.1/8', 'fd00::/8'] }] },
          { action: 'Deny', to: ALL, protocols: [{ tcp: { destinationPort: { range: { start: 1, end: 2 } } } }] },
        ],
      }),
    ],
    [
      'a Calico policy with all that is looked at',
      'CalicoNetworkPolicy',
      {
        spec: {
          order: 1.5,
          selector: 'app == "a"',
          serviceAccountSelector: 'has(x)',
          types: ['Ingress', 'Egress'],
          ingress: [
            {
              action: 'Log',
              protocol: 6,
              source: { nets: ['10.0.0.1', 'fd00::/8'], namespaceSelector: 'global()' },
              destination: { ports: [80, '81:90', 'web'] },
            },
          ],
          egress: [{ action: 'Pass', notProtocol: 'udp', ipVersion: 4, destination: { notSelector: 'has(y)' } }],
        },
      },
    ],
    ['a tier', 'CalicoTier', { spec: { order: 7, defaultAction: 'Pass' } }],
  ],
  refused: [
    [
      'a word for a dry run that there is not',
      'NetworkPolicy',
      {
        metadata: { annotations: { 'podwire.io/mode': 'Staged', 'podwire.io/log': 'allowed' } },
        spec: { podSelector: {} },
      },
      ['metadata.annotations[podwire.io/mode]: Unsupported value: "Staged": supported values: "enforced", "staged"'],
    ],
    [
      'tier, priority and subject are required',
      'ClusterNetworkPolicy',
      { spec: {} },
      ['spec.tier: Required value', 'spec.priority: Required value', 'spec.subject: Required value'],
    ],
    [
      'words and numbers that there are not',
      'ClusterNetworkPolicy',
      cluster({ tier: 'Top', priority: -1, ingress: [{ action: 'Allow', from: ALL, name: 'x'.repeat(101) }] }),
      [
        'spec.tier: Unsupported value: "Top": supported values: "Admin", "Baseline"',
        'spec.priority: Invalid value: -1: spec.priority in body should be greater than or equal to 0',
        'spec.ingress[0].name: Too long: may not be more than 100 bytes',
        'spec.ingress[0].action: Unsupported value: "Allow": supported values: "Accept", "Deny", "Pass"',
      ],
    ],
    [
      'more fields than one, or none',
      'ClusterNetworkPolicy',
      cluster({
        subject: { namespaces: {}, pods: { podSelector: {} } },
        ingress: [{ action: 'Deny', from: [{}], protocols: [] }],
      }),
      [
        'spec.subject: Too many: 2: must have at most 1 item',
        'spec.ingress[0].from[0]: Invalid value: 0: spec.ingress[0].from[0] in body should have at least 1 properties',
        'spec.ingress[0].protocols: Invalid value: 0: spec.ingress[0].protocols in body should have at least 1 items',
      ],
    ],
    [
      'networks that are none, or twice the same',
      'ClusterNetworkPolicy',
      out({ to: [{ networks: ['10.0.0.0', 'fd00::/8', 'fd00::/8'] }] }),
      [
        'spec.egress[0].to[0].networks[0]: Invalid value: "10.0.0.0": Invalid CIDR format provided',
        'spec.egress[0].to[0].networks[2]: Duplicate value: "fd00::/8"',
      ],
    ],
    [
      'names of ports where there are none, and names of domains',
      'ClusterNetworkPolicy',
      out({ to: [{ domainNames: ['example.com'] }], protocols: [{ destinationNamedPort: 'web' }] }),
      [
        'spec.egress[0].to[0].domainNames: Forbidden: domain names are not enforced here; name their networks',
        'spec.egress[0]: Invalid value: "object": networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for networks/nodes/domainNames',
      ],
    ],
    [
      'ports that run backwards, or are none',
      'ClusterNetworkPolicy',
      out({
        protocols: [
          { tcp: { destinationPort: { range: { start: 80, end: 80 } } } },
          { udp: { destinationPort: { number: 65536 } } },
          { sctp: {} },
        ],
      }),
      [
        'spec.egress[0].protocols[0].tcp.destinationPort.range: Invalid value: "object": Start port must be less than End port',
        'spec.egress[0].protocols[1].udp.destinationPort.number: Invalid value: 65536: spec.egress[0].protocols[1].udp.destinationPort.number in body should be less than or equal to 65535',
        'spec.egress[0].protocols[2].sctp: Invalid value: 0: spec.egress[0].protocols[2].sctp in body should have at least 1 properties',
      ],
    ],
    [
      'what is for host endpoints',
      'GlobalNetworkPolicy',
      { spec: { doNotTrack: true, preDNAT: true, applyOnForward: true, selector: 'global()' } },
      [
        'spec.selector: Invalid value: "global()": global() can only be used in an EntityRule namespaceSelector',
        ...['doNotTrack', 'preDNAT', 'applyOnForward'].map(
          (field) => `spec.${field}: Forbidden: it is for host endpoints; only pods are held to policies here`,
        ),
      ],
    ],
    [
      'what of a Calico rule is not looked at',
      'CalicoNetworkPolicy',
      calico({ icmp: { type: 8 }, protocol: 'ICMP', source: { ports: [80] }, destination: { selector: 'has(a)' } }),
      [
        'spec.ingress[0].icmp: Forbidden: types and codes of ICMP are not told apart here; protocol ICMP means all of them',
        'spec.ingress[0].source.ports: Forbidden: the port that a client sends from is not looked at here',
        "spec.ingress[0].destination.selector: Forbidden: a rule's own end is what spec.selector selects; write a policy of its own for fewer pods",
      ],
    ],
    [
      'Calico’s ports and networks that are none',
      'CalicoNetworkPolicy',
      calico({ protocol: 'TCP', source: { nets: ['10.0.0'] }, destination: { ports: [0, '90:80', '-'] } }),
      [
        'spec.ingress[0].source.nets[0]: Invalid value: "10.0.0": must be an IP address or a CIDR, such as 10.0.0.0/8 or fd00::/8',
        'spec.ingress[0].destination.ports[0]: Invalid value: 0: must be between 1 and 65535, inclusive',
        'spec.ingress[0].destination.ports[1]: Invalid value: "90:80": minimum port number must not exceed maximum',
        'spec.ingress[0].destination.ports[2]: Invalid value: "-": must contain at least one letter (a-z)',
        'spec.ingress[0].destination.ports[2]: Invalid value: "-": must not begin or end with a hyphen',
      ],
    ],
    [
      'ports without their protocol',
      'CalicoNetworkPolicy',
      calico({ destination: { ports: [80] } }),
      ['spec.ingress[0].protocol: Invalid value: "": rules that specify ports must set protocol to TCP, UDP or SCTP'],
    ],
    [
      'an action of a tier that there is not',
      'CalicoTier',
      { spec: { defaultAction: 'Allow' } },
      ['spec.defaultAction: Unsupported value: "Allow": supported values: "Deny", "Pass"'],
    ],
  ],
});
