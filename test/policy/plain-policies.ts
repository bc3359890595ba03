// Arbitrary NetworkPolicies, as the API would store them.
import fc from 'fast-check';
import type { NetworkPolicy } from '../../src/objects/types.ts';
import { list, meta, NAMESPACES, PORT_NAMES, PORTS, PROTOCOLS, selector } from './parts.ts';

const block = fc.constantFrom<{ cidr: string; except?: string[] }>(
  { cidr: '0.0.0.0/0' },
  { cidr: '::/0', except: ['fd00:244::/64'] },
  { cidr: '10.0.0.0/8', except: ['10.244.0.0/16'] },
  { cidr: '10.244.0.0/16', except: ['10.244.0.4/30', '10.244.0.0/31'] },
  { cidr: '10.244.0.2/32' },
  { cidr: '172.30.0.0/24', except: ['172.30.0.12/32'] },
  { cidr: 'fd00:244::/126' },
  { cidr: '203.0.113.7/24' },
);
const peer = fc.oneof(
  selector.map((podSelector) => ({ podSelector })),
  selector.map((namespaceSelector) => ({ namespaceSelector })),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  { weight: 2, arbitrary: block.map((ipBlock) => ({ ipBlock })) },
);
const protocol = fc.option(fc.constantFrom(...PROTOCOLS), { nil: undefined });
const port = fc.oneof(
  fc.record({ protocol }),
  fc.record({ protocol, port: fc.constantFrom<number | string>(...PORTS, ...PORT_NAMES) }),
  fc.record({ protocol, port: fc.constantFrom(79, 80), endPort: fc.constantFrom(80, 81, 8080) }),
);
const types = fc.constantFrom(undefined, [], ['Ingress'], ['Egress'], ['Ingress', 'Egress']);

export function policyNamed(
  name: string,
  annotations: fc.Arbitrary<Record<string, string> | undefined> = fc.constant(undefined),
): fc.Arbitrary<NetworkPolicy> {
  return fc
    .record({
      namespace: fc.constantFrom(...NAMESPACES),
      podSelector: selector,
      policyTypes: types,
      ingress: list(fc.record({ from: list(peer), ports: list(port) })),
      egress: list(fc.record({ to: list(peer), ports: list(port) })),
    })
    .chain(({ namespace, ...spec }) => annotations.map((notes) => ({ namespace, notes, spec })))
    .map(({ namespace, notes, spec }) => {
      // Absent fields are absent, not undefined.
      const plain = JSON.parse(JSON.stringify(spec)) as NonNullable<NetworkPolicy['spec']>;
      const metadata = {
        ...meta(name, namespace, {}),
        ...(notes && { annotations: notes }),
      } as NetworkPolicy['metadata'];
      return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec: plain };
    });
}
