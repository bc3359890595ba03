// Room objects: the models of policies that are no NetworkPolicies, in the form in which the generator reads those of Kubernetes.
import { type Documented, type Fields, model } from './dialect.ts';

const CLUSTER = 'io.k8s.networking.policy.v1alpha2';
const CALICO = 'org.projectcalico.v3';

/** Of the kind itself and of its list. */
function kind(
  key: string,
  name: string,
  apiVersion: string,
  description: string,
  more: Fields,
): [string, Documented][] {
  const type: Fields = {
    apiVersion: ['string', `Group and version of this object: ${apiVersion}.`],
    kind: ['string', 'The kind of this object.'],
  };
  const metadata = ['V1ObjectMeta', 'Name, labels and annotations.'] as const;
  const items = [`[]${key}!`, 'The objects.'] as const;
  const listMeta = ['V1ListMeta', 'Resource version and continuation of the list.'] as const;
  return [
    [key, model(name, description, { ...type, metadata, ...more })],
    [`${key}List`, model(`${name}List`, `A list of ${name.split('.').pop()}.`, { ...type, items, metadata: listMeta })],
  ];
}

const PORT_OF = 'Which ports of the protocol; absent: all.';
const ACTION = 'What becomes of a packet that the rule matches.';

const CLUSTER_POLICY: [string, Documented][] = [
  ...kind(
    'V1alpha2ClusterNetworkPolicy',
    `${CLUSTER}.ClusterNetworkPolicy`,
    'policy.networking.k8s.io/v1alpha2',
    'A policy of the whole cluster, asked before NetworkPolicies (tier Admin) or after them (tier Baseline).',
    {
      spec: ['V1alpha2ClusterNetworkPolicySpec', 'Whom it selects, and its rules.'],
      status: ['V1alpha2ClusterNetworkPolicyStatus', 'What an implementation says of it.'],
    },
  ),
  [
    'V1alpha2ClusterNetworkPolicySpec',
    model(`${CLUSTER}.ClusterNetworkPolicySpec`, 'Whom the policy selects, and its rules.', {
      tier: ['string', 'Admin: before NetworkPolicies. Baseline: for what these do not decide.'],
      priority: ['int32', 'From 0 to 1000: policies of a tier with lower numbers are asked first.'],
      subject: [
        'V1alpha2Subject',
        'The pods to which the policy applies. Pods on the network of their host are none of them.',
      ],
      ingress: [
        '[]V1alpha2IngressRule',
        'Rules for what comes to these pods, at most 25: the first that matches decides.',
      ],
      egress: ['[]V1alpha2EgressRule', 'Rules for what these pods send, at most 25: the first that matches decides.'],
    }),
  ],
  [
    'V1alpha2ClusterNetworkPolicyStatus',
    model(`${CLUSTER}.ClusterNetworkPolicyStatus`, 'What an implementation says of the policy.', {
      conditions: ['[]V1Condition', 'Conditions, one of each type.'],
    }),
  ],
  [
    'V1alpha2Subject',
    model(`${CLUSTER}.ClusterNetworkPolicySubject`, 'Pods, by exactly one of the fields.', {
      namespaces: ['V1LabelSelector', 'All pods of the namespaces that it selects.'],
      pods: ['V1alpha2NamespacedPod', 'Pods by their labels, in namespaces by theirs.'],
    }),
  ],
  [
    'V1alpha2NamespacedPod',
    model(`${CLUSTER}.NamespacedPod`, 'Pods by their labels, in namespaces by theirs.', {
      namespaceSelector: ['V1LabelSelector', 'Empty: all namespaces.'],
      podSelector: ['V1LabelSelector', 'Empty: all pods of these namespaces.'],
    }),
  ],
  [
    'V1alpha2IngressRule',
    model(`${CLUSTER}.ClusterNetworkPolicyIngressRule`, 'A rule for what comes to the selected pods.', {
      name: ['string', 'What the rule is called where it is told of, up to 100 characters.'],
      action: ['string', `${ACTION} Accept and Deny are final; Pass leaves it to the next tier.`],
      from: ['[]V1alpha2Subject', 'Whose packets it is for, 1 to 25 peers.'],
      protocols: ['[]V1alpha2Protocol', 'Protocols and ports, 1 to 25; absent: all.'],
    }),
  ],
  [
    'V1alpha2EgressRule',
    model(`${CLUSTER}.ClusterNetworkPolicyEgressRule`, 'A rule for what the selected pods send.', {
      name: ['string', 'What the rule is called where it is told of, up to 100 characters.'],
      action: ['string', `${ACTION} Accept and Deny are final; Pass leaves it to the next tier.`],
      to: ['[]V1alpha2EgressPeer', 'To whom packets go that it is for, 1 to 25 peers.'],
      protocols: ['[]V1alpha2Protocol', 'Protocols and ports, 1 to 25; absent: all.'],
    }),
  ],
  [
    'V1alpha2EgressPeer',
    model(`${CLUSTER}.ClusterNetworkPolicyEgressPeer`, 'Somebody to send to, by exactly one of the fields.', {
      namespaces: ['V1LabelSelector', 'All pods of the namespaces that it selects.'],
      pods: ['V1alpha2NamespacedPod', 'Pods by their labels, in namespaces by theirs.'],
      nodes: ['V1LabelSelector', 'The addresses of the nodes that it selects.'],
      networks: ['[]string', 'Addresses in CIDR notation, of the cluster or not, 1 to 25.'],
      domainNames: ['[]string', 'Not enforced here, and refused.'],
    }),
  ],
  [
    'V1alpha2Protocol',
    model(`${CLUSTER}.ClusterNetworkPolicyProtocol`, 'A protocol or a port by name, by exactly one of the fields.', {
      tcp: ['V1alpha2ProtocolPort', 'TCP.'],
      udp: ['V1alpha2ProtocolPort', 'UDP.'],
      sctp: ['V1alpha2ProtocolPort', 'SCTP.'],
      destinationNamedPort: ['string', 'The port that the pod which is spoken to calls so, of whatever protocol.'],
    }),
  ],
  [
    'V1alpha2ProtocolPort',
    model(`${CLUSTER}.ClusterNetworkPolicyProtocolPort`, 'Ports of one protocol.', {
      destinationPort: ['V1alpha2Port', PORT_OF],
    }),
  ],
  [
    'V1alpha2Port',
    model(`${CLUSTER}.Port`, 'One port or several, by exactly one of the fields.', {
      number: ['int32', 'From 1 to 65535.'],
      range: ['V1alpha2PortRange', 'Several, both ends included.'],
    }),
  ],
  [
    'V1alpha2PortRange',
    model(`${CLUSTER}.PortRange`, 'Ports from start to end.', {
      start: ['int32', 'The first one, below end.'],
      end: ['int32', 'The last one.'],
    }),
  ],
];

const POLICY_SPEC: Fields = {
  tier: ['string', 'Name of its Tier. Default: default.'],
  order: [
    'double',
    'Policies of a tier with lower numbers are asked first; those without one last. Equal ones by name.',
  ],
  selector: ['string', 'Whom it applies to, as an expression: app == "web" && !has(legacy). Empty: all.'],
  serviceAccountSelector: ['string', 'The same for the labels of the pods’ service accounts.'],
  types: ['[]string', 'Ingress, Egress or both. Default: what it has rules for.'],
  ingress: ['[]V3Rule', 'Rules for what comes to the pods, asked in their order.'],
  egress: ['[]V3Rule', 'Rules for what the pods send, asked in their order.'],
  performanceHints: ['[]string', 'Not looked at here.'],
};

const CALICO_POLICY: [string, Documented][] = [
  ...kind('V3NetworkPolicy', `${CALICO}.NetworkPolicy`, 'projectcalico.org/v3', 'Calico’s policy of a namespace.', {
    spec: ['V3NetworkPolicySpec', 'Whom it selects, where it stands, and its rules.'],
  }),
  ...kind(
    'V3GlobalNetworkPolicy',
    `${CALICO}.GlobalNetworkPolicy`,
    'projectcalico.org/v3',
    'Calico’s policy of the whole cluster.',
    { spec: ['V3GlobalNetworkPolicySpec', 'Whom it selects, where it stands, and its rules.'] },
  ),
  ...kind('V3Tier', `${CALICO}.Tier`, 'projectcalico.org/v3', 'A group of Calico’s policies that are asked together.', {
    spec: ['V3TierSpec', 'Where it stands, and how it ends.'],
  }),
  ['V3NetworkPolicySpec', model(`${CALICO}.NetworkPolicySpec`, 'Whom the policy selects, and its rules.', POLICY_SPEC)],
  [
    'V3GlobalNetworkPolicySpec',
    model(`${CALICO}.GlobalNetworkPolicySpec`, 'Whom the policy selects, and its rules.', {
      ...POLICY_SPEC,
      namespaceSelector: [
        'string',
        'Pods of which namespaces it applies to, as an expression over their labels. Empty: all.',
      ],
      doNotTrack: ['boolean', 'For host endpoints; refused here.'],
      preDNAT: ['boolean', 'For host endpoints; refused here.'],
      applyOnForward: ['boolean', 'For host endpoints; refused here.'],
    }),
  ],
  [
    'V3TierSpec',
    model(`${CALICO}.TierSpec`, 'Where the tier stands, and how it ends.', {
      order: [
        'double',
        'Tiers with lower numbers are asked first; kube-admin has 1000, default 1000000, kube-baseline 10000000.',
      ],
      defaultAction: [
        'string',
        'Deny (the default) or Pass: for pods that its policies select, where no rule decides.',
      ],
    }),
  ],
  [
    'V3Rule',
    model(`${CALICO}.Rule`, 'What becomes of packets for which all of it holds.', {
      action: ['string', 'Allow and Deny are final; Pass leaves it to the next tier; Log tells of it and goes on.'],
      ipVersion: ['int32', '4 or 6; absent: both.'],
      protocol: ['intOrString', 'TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite or its number; absent: all.'],
      notProtocol: ['intOrString', 'All but this.'],
      icmp: ['V3ICMP', 'Refused here: protocol ICMP means all types.'],
      notICMP: ['V3ICMP', 'Refused here.'],
      source: ['V3EntityRule', 'Who sends.'],
      destination: ['V3EntityRule', 'Who is sent to, and its ports.'],
      http: ['V3HTTPMatch', 'Refused here.'],
      metadata: ['V3RuleMetadata', 'Remarks.'],
    }),
  ],
  [
    'V3EntityRule',
    model(`${CALICO}.EntityRule`, 'One end of a connection: whoever all of it holds for.', {
      nets: ['[]string', 'Addresses, as CIDRs or single ones.'],
      notNets: ['[]string', 'None of these addresses.'],
      selector: ['string', 'Pods by their labels, as an expression; of the policy’s namespace where it has one.'],
      notSelector: ['string', 'No pod that the expression selects.'],
      namespaceSelector: ['string', 'Pods of the namespaces that the expression selects.'],
      ports: ['[]intOrString', '80, "80:90" or a name; of the destination.'],
      notPorts: ['[]intOrString', 'None of these ports.'],
      serviceAccounts: ['V3ServiceAccountMatch', 'Pods of these service accounts.'],
      services: ['V3ServiceMatch', 'Refused here.'],
    }),
  ],
  [
    'V3ServiceAccountMatch',
    model(`${CALICO}.ServiceAccountMatch`, 'Service accounts for which all of it holds.', {
      names: ['[]string', 'One of these.'],
      selector: ['string', 'By their labels, as an expression.'],
    }),
  ],
  [
    'V3ServiceMatch',
    model(`${CALICO}.ServiceMatch`, 'A Service.', {
      name: ['string', 'Its name.'],
      namespace: ['string', 'Its namespace.'],
    }),
  ],
  [
    'V3ICMP',
    model(`${CALICO}.ICMPFields`, 'A kind of ICMP message.', {
      type: ['int32', 'Its type.'],
      code: ['int32', 'Its code.'],
    }),
  ],
  [
    'V3HTTPMatch',
    model(`${CALICO}.HTTPMatch`, 'HTTP requests.', {
      methods: ['[]string', 'Their methods.'],
      paths: ['[]V3HTTPPath', 'Their paths.'],
    }),
  ],
  [
    'V3HTTPPath',
    model(`${CALICO}.HTTPPath`, 'A path.', {
      exact: ['string', 'The whole of it.'],
      prefix: ['string', 'Its beginning.'],
    }),
  ],
  [
    'V3RuleMetadata',
    model(`${CALICO}.RuleMetadata`, 'Remarks on a rule.', {
      annotations: ['{}string', 'Whatever its author wants to note.'],
    }),
  ],
];

export const POLICY_MODELS: readonly (readonly [string, Documented])[] = [...CLUSTER_POLICY, ...CALICO_POLICY];
