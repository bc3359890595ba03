// Room objects: EndpointSlices and Endpoints that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

const slice = (fields: object) => ({ addressType: 'IPv4', endpoints: [], ...fields });

validationCases({
  good: [['an EndpointSlice', 'EndpointSlice', slice({ endpoints: [{ addresses: ['10.244.0.7'] }] })]],
  refused: [
    [
      'an address of the other family',
      'EndpointSlice',
      slice({ endpoints: [{ addresses: ['fd00::1'] }] }),
      ['endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address'],
    ],
    [
      'too many endpoints',
      'EndpointSlice',
      slice({ endpoints: Array.from({ length: 1001 }, () => ({ addresses: ['10.0.0.1'] })) }),
      ['endpoints: Too many: 1001: must have at most 1000 items'],
    ],
    [
      'a loopback endpoint',
      'Endpoints',
      { subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ port: 1 }] }] },
      [
        'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
      ],
    ],
  ],
  updates: [
    [
      'the addressType of a slice may not',
      'EndpointSlice',
      slice({}),
      slice({ addressType: 'IPv6' }),
      ['addressType: Invalid value: "IPv6": field is immutable'],
    ],
  ],
});
