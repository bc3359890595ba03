// What arbitrary clusters and policies are made of: names, addresses, labels, selectors.
import fc from 'fast-check';
import type { LabelSelector } from '../../src/objects/select.ts';

export const NAMESPACES = ['x', 'y', 'z'] as const;
export const NODES = ['n1', 'n2'] as const;
export const NODE_IPS = { n1: ['172.30.0.11', 'fd00:30::11'], n2: ['172.30.0.12', 'fd00:30::12'] } as const;
export const OUTSIDE = ['203.0.113.9', '10.9.0.1', '2001:db8::9'];
export const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
export const PORTS = [79, 80, 81, 443, 8080];
export const PORT_NAMES = ['web', 'admin'];
export const SLOTS = [0, 1, 2, 3, 4, 5, 6, 7];

export const meta = (name: string, namespace: string | undefined, labels: Record<string, string>) => ({
  name,
  ...(namespace !== undefined && { namespace }),
  labels,
  uid: `uid-${namespace}-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export const labels = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('a', 'b', 'c'), { maxKeys: 2 });

const expression = fc.oneof(
  fc.record({
    key: fc.constantFrom('app', 'tier', 'kubernetes.io/metadata.name'),
    operator: fc.constantFrom('In', 'NotIn'),
    values: fc.subarray(['a', 'b', 'x', 'y'], { minLength: 1 }),
  }),
  fc.record({ key: fc.constantFrom('app', 'tier'), operator: fc.constantFrom('Exists', 'DoesNotExist') }),
);
export const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: labels }),
  fc.record({ matchExpressions: fc.array(expression, { minLength: 1, maxLength: 2 }) }),
  fc.record({ matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 1 }) }),
);

export const list = <T>(each: fc.Arbitrary<T>) => fc.option(fc.array(each, { maxLength: 2 }), { nil: undefined });

/** Now and then in dry run, or telling of what it allows. */
export const annotations = fc.constantFrom<Record<string, string> | undefined>(
  undefined,
  undefined,
  undefined,
  undefined,
  { 'podwire.io/mode': 'staged' },
  { 'podwire.io/log': 'allowed' },
);
