// Room objects: Services that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

const service = (spec: object) => ({ spec: { ports: [{ port: 80 }], ...spec } });

validationCases({
  good: [
    ['a Service', 'Service', service({})],
    ['a headless Service without ports', 'Service', { spec: { clusterIP: 'None' } }],
    ['an ExternalName', 'Service', { spec: { type: 'ExternalName', externalName: 'example.com.' } }],
  ],
  refused: [
    ['no ports', 'Service', { spec: {} }, ['spec.ports: Required value']],
    [
      'several ports without names',
      'Service',
      service({ ports: [{ port: 80, name: 'http' }, { port: 81 }] }),
      ['spec.ports[1].name: Required value'],
    ],
    [
      'the same port twice',
      'Service',
      service({
        ports: [
          { port: 80, name: 'a' },
          { port: 80, name: 'b' },
        ],
      }),
      ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
    ],
    [
      'a nodePort of a ClusterIP',
      'Service',
      service({ ports: [{ port: 80, nodePort: 30000 }] }),
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      'an unknown type',
      'Service',
      service({ type: 'Magic' }),
      [
        'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      'an address that is none',
      'Service',
      service({ clusterIP: '10.96.0' }),
      ['spec.clusterIPs[0]: Invalid value: "10.96.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ],
  ],
  updates: [
    [
      'the address of a Service may not',
      'Service',
      service({ clusterIP: '10.96.0.7' }),
      service({ clusterIP: '10.96.0.8' }),
      ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set'],
    ],
    [
      'a Service may become an ExternalName',
      'Service',
      service({ clusterIP: '10.96.0.7' }),
      { spec: { type: 'ExternalName', externalName: 'a.b' } },
      [],
    ],
  ],
});
