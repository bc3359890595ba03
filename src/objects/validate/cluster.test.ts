// Room objects: Nodes, Namespaces, Events and Leases that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

validationCases({
  good: [
    ['a Lease', 'Lease', { spec: { leaseDurationSeconds: 40 } }],
    ['a Node', 'Node', { spec: { podCIDRs: ['10.244.0.0/24'], taints: [{ key: 'a', effect: 'NoSchedule' }] } }],
  ],
  refused: [
    ['a taint without effect', 'Node', { spec: { taints: [{ key: 'a' }] } }, ['spec.taints[0].effect: Required value']],
    [
      'an event in another namespace',
      'Event',
      { involvedObject: { namespace: 'shop' } },
      ['involvedObject.namespace: Invalid value: "shop": does not match event.namespace'],
    ],
  ],
});
