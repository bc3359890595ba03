// Room objects: the shapes of policies that are no NetworkPolicies: policy.networking.k8s.io/v1alpha2 and projectcalico.org/v3.
import type { V1LabelSelector } from '@kubernetes/client-node';
import type { Json, StoredMeta } from './types.ts';

interface Object<Spec> {
  apiVersion: string;
  kind: string;
  metadata: StoredMeta;
  spec: Spec;
}

type Selector = Json<V1LabelSelector>;

/** Exactly one of the fields. */
export interface NamespacesOrPods {
  namespaces?: Selector;
  pods?: { namespaceSelector?: Selector; podSelector?: Selector };
}

export interface EgressPeer extends NamespacesOrPods {
  nodes?: Selector;
  /** CIDRs */
  networks?: string[];
  domainNames?: string[];
}

export interface ProtocolPort {
  destinationPort?: { number?: number; range?: { start: number; end: number } };
}

/** Exactly one of the fields. */
export interface ProtocolMatch {
  tcp?: ProtocolPort;
  udp?: ProtocolPort;
  sctp?: ProtocolPort;
  destinationNamedPort?: string;
}

export interface ClusterPolicyRule {
  name?: string;
  action: string;
  from?: NamespacesOrPods[];
  to?: EgressPeer[];
  protocols?: ProtocolMatch[];
}

export type ClusterNetworkPolicy = Object<{
  tier: string;
  priority: number;
  subject: NamespacesOrPods;
  ingress?: ClusterPolicyRule[];
  egress?: ClusterPolicyRule[];
}>;

/** One end of a Calico rule: whoever all of it holds for. Selectors are in Calico's expression language. */
export interface CalicoEntity {
  nets?: string[];
  notNets?: string[];
  selector?: string;
  notSelector?: string;
  namespaceSelector?: string;
  /** `80`, `80:90`, or a port's name. */
  ports?: (number | string)[];
  notPorts?: (number | string)[];
  serviceAccounts?: { names?: string[]; selector?: string };
  services?: { name?: string; namespace?: string };
}

export interface CalicoRule {
  action: string;
  ipVersion?: number;
  protocol?: number | string;
  notProtocol?: number | string;
  icmp?: { type?: number; code?: number };
  notICMP?: { type?: number; code?: number };
  source?: CalicoEntity;
  destination?: CalicoEntity;
  http?: { methods?: string[]; paths?: { exact?: string; prefix?: string }[] };
  metadata?: { annotations?: Record<string, string> };
}

export interface CalicoPolicySpec {
  tier?: string;
  order?: number;
  selector?: string;
  serviceAccountSelector?: string;
  types?: string[];
  ingress?: CalicoRule[];
  egress?: CalicoRule[];
  performanceHints?: string[];
}

export type CalicoNetworkPolicy = Object<CalicoPolicySpec>;

export type GlobalNetworkPolicy = Object<
  CalicoPolicySpec & {
    namespaceSelector?: string;
    doNotTrack?: boolean;
    preDNAT?: boolean;
    applyOnForward?: boolean;
  }
>;

/** projectcalico.org/v3 Tier. */
export type CalicoTier = Object<{ order?: number; defaultAction?: string }>;
