// What a recipe of policies is, and the words that recipes are written in.
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

export const A = { matchLabels: { pod: 'a' } };
export const inX = (pod: string) => pod.startsWith('x/');
export const isA = (pod: string) => pod === 'x/a';

export function x(name: string, spec: NetworkPolicy['spec']) {
  return { namespace: 'x', name, spec };
}

export const named = (namespace: string) => ({ matchLabels: { 'kubernetes.io/metadata.name': namespace } });

export const denyIngress = x('default-deny-ingress', { podSelector: {}, policyTypes: ['Ingress'] });
export const denyEgress = x('default-deny-egress', { podSelector: {}, policyTypes: ['Egress'] });
