// Room objects: NetworkPolicies that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

const policy = (rule: object) => ({ spec: { ingress: [rule] } });

validationCases({
  good: [
    [
      'a policy with an exception',
      'NetworkPolicy',
      policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }),
    ],
  ],
  refused: [
    [
      'an exception outside',
      'NetworkPolicy',
      policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }),
      ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`'],
    ],
    [
      'a CIDR that is none',
      'NetworkPolicy',
      policy({ from: [{ ipBlock: { cidr: '10.0.0.0' } }] }),
      [
        'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
    [
      'a range of ports that runs backwards',
      'NetworkPolicy',
      policy({ ports: [{ port: 80, endPort: 79 }] }),
      ['spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`'],
    ],
    [
      'a range of ports from a name on, or from nowhere',
      'NetworkPolicy',
      policy({ ports: [{ port: 'web', endPort: 90 }, { endPort: 90 }] }),
      [
        'spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric',
        'spec.ingress[0].ports[1].port: Required value: must be specified when `endPort` is set',
      ],
    ],
    [
      'a protocol and ports that are none',
      'NetworkPolicy',
      policy({ ports: [{ protocol: 'ICMP' }, { port: 0 }, { port: 1, endPort: 65536 }] }),
      [
        'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
        'spec.ingress[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive',
        'spec.ingress[0].ports[2].endPort: Invalid value: 65536: must be between 1 and 65535, inclusive',
      ],
    ],
    [
      'an exception outside of its block',
      'NetworkPolicy',
      policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.1.0.0/16', 'fd00::/64', '10.1/16'] } }] }),
      [
        'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.1.0.0/16": must be a strict subset of `cidr`',
        'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "fd00::/64": must be a strict subset of `cidr`',
        'spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: "10.1/16": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
    [
      'selectors that cannot be',
      'NetworkPolicy',
      policy({
        from: [
          { podSelector: { matchExpressions: [{ key: 'app', operator: 'Like', values: ['a'] }] } },
          { namespaceSelector: { matchExpressions: [{ key: 'app', operator: 'In' }] } },
          { podSelector: { matchExpressions: [{ key: 'app', operator: 'Exists', values: ['a'] }] } },
        ],
      }),
      [
        'spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator',
        "spec.ingress[0].from[1].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "spec.ingress[0].from[2].podSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
      ],
    ],
    [
      'a peer that is nobody',
      'NetworkPolicy',
      policy({ from: [{}] }),
      ['spec.ingress[0].from[0]: Required value: must specify a peer'],
    ],
    [
      'a peer that is two',
      'NetworkPolicy',
      policy({ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }),
      ['spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer'],
    ],
  ],
});
