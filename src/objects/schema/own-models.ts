// Room objects: the models of kinds that Kubernetes' own packages do not have, ours (podwire.io) among them, in the form in which the generator reads those of Kubernetes.
import { type Documented, type Fields, model } from './dialect.ts';
import { POLICY_MODELS } from './policy-models.ts';

const TYPE: Fields = {
  apiVersion: ['string', 'Group and version of this object: podwire.io/v1alpha1.'],
  kind: ['string', 'The kind of this object.'],
};

export const OWN_MODELS: ReadonlyMap<string, Documented> = new Map([
  ...POLICY_MODELS,
  [
    'V1alpha1LBPool',
    model('podwire.v1alpha1.LBPool', 'Addresses from which Services of type LoadBalancer get theirs.', {
      ...TYPE,
      metadata: ['V1ObjectMeta', 'Name, labels and annotations.'],
      spec: ['V1alpha1LBPoolSpec!', 'The addresses, and which Services may have them.'],
      status: [
        'V1alpha1LBPoolStatus',
        'How many addresses are in use, and whether all can be. Written by the allocation controller.',
      ],
    }),
  ],
  [
    'V1alpha1LBPoolList',
    model('podwire.v1alpha1.LBPoolList', 'A list of LBPools.', {
      ...TYPE,
      items: ['[]V1alpha1LBPool!', 'The pools.'],
      metadata: ['V1ListMeta', 'Resource version and continuation of the list.'],
    }),
  ],
  [
    'V1alpha1LBPoolSpec',
    model('podwire.v1alpha1.LBPoolSpec', 'The addresses of a pool, and which Services may have them.', {
      addresses: [
        '[]string!',
        'Each a CIDR (172.30.0.192/27), a range with both ends included (172.30.0.200-172.30.0.250) or one address, of either family.',
      ],
      autoAssign: [
        'boolean',
        'Whether Services that ask for nothing in particular get addresses of this pool. Default true.',
      ],
      priority: ['int32', 'Of several pools the one with the highest priority is tried first. Default 0.'],
      namespaces: [
        '[]string',
        'Names of namespaces whose Services may have addresses of this pool. Empty, and no namespaceSelector: all.',
      ],
      namespaceSelector: ['V1LabelSelector', 'Selects further namespaces by their labels.'],
      serviceSelector: ['V1LabelSelector', 'Selects the Services that may have addresses of this pool. Absent: all.'],
    }),
  ],
  [
    'V1alpha1LBPoolStatus',
    model('podwire.v1alpha1.LBPoolStatus', 'How many addresses of a pool are in use.', {
      assigned: ['int64', 'Addresses that Services have.'],
      free: ['int64', 'Addresses that can still be had.'],
      conditions: [
        '[]V1Condition',
        'Accepted: whether Services can have its addresses, and what of them is another pool’s first.',
      ],
    }),
  ],
]);
