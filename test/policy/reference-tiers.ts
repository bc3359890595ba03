// The tiers of policies, from the texts of policy.networking.k8s.io/v1alpha2 and of Calico's reference, sentence by sentence.
import type { CalicoEntity, CalicoRule, ClusterPolicyRule, EgressPeer } from '../../src/objects/policy-types.ts';
import type { CalicoNetworkPolicy, ClusterNetworkPolicy, GlobalNetworkPolicy, Pod } from '../../src/objects/types.ts';
import { isolates, matches, networkPolicyAllows, type ReferenceFlow, type World, within } from './reference.ts';

export interface Question {
  readonly world: World;
  readonly flow: ReferenceFlow;
  readonly type: 'Ingress' | 'Egress';
  readonly own: Pod;
  readonly peer: Pod | undefined;
  readonly peerIP: string;
}

type Action = 'allow' | 'deny' | 'pass';

interface Candidate {
  readonly tier: string;
  readonly order: number;
  readonly name: string;
  /** What the first of its rules that matches says; undefined where none does. */
  readonly says: () => Action | undefined;
}

/** "Tiers are sorted by their order, smallest number first"; a tier "takes no action on the packet": its default action. */
export function tiersAllow(question: Question): boolean {
  const candidates = question.world.policies.flatMap((policy) => candidate(question, policy));
  const tiers = [
    { name: 'kube-admin', order: 1000, end: 'pass' },
    { name: 'default', order: 1_000_000, end: 'deny' },
    { name: 'kube-baseline', order: 10_000_000, end: 'pass' },
    ...question.world.tiers.map(({ metadata, spec }) => ({
      name: metadata.name,
      order: spec.order ?? Infinity,
      end: spec.defaultAction === 'Pass' ? 'pass' : 'deny',
    })),
  ];
  // A tier that nobody made is the last of all.
  for (const { tier } of candidates) {
    if (!tiers.some(({ name }) => name === tier)) tiers.push({ name: tier, order: Infinity, end: 'deny' });
  }
  tiers.sort((a, b) => (a.order === b.order ? (a.name < b.name ? -1 : 1) : a.order - b.order));
  for (const { name, end } of tiers) {
    const policies = candidates.filter(({ tier }) => tier === name);
    // "Policies with identical order will be applied in alphanumerical order based on the Policy Name".
    policies.sort((a, b) => (a.order === b.order ? (a.name < b.name ? -1 : 1) : a.order - b.order));
    const said = policies.map(({ says }) => says()).find((action) => action !== undefined);
    if (said === 'allow') return true;
    if (said === 'deny') return false;
    // "If the Tier applies to the endpoint, but takes no action on the packet the packet is dropped."
    if (said === undefined && policies.length > 0 && end === 'deny') return false;
  }
  // "If a given connection wasn't allowed or denied by any of the tiers, the default kubernetes policy is applied": all can communicate.
  return true;
}

function candidate(question: Question, policy: World['policies'][number]): Candidate[] {
  const { name, namespace = '' } = policy.metadata;
  const { own, type } = question;
  if (policy.kind === 'ClusterNetworkPolicy') {
    const { spec } = policy as ClusterNetworkPolicy;
    const rules = (type === 'Ingress' ? spec.ingress : spec.egress) ?? [];
    // "CNPs with no ingress rules do not affect ingress traffic."
    if (rules.length === 0 || !isPods(question.world, spec.subject, own)) return [];
    const tier = spec.tier === 'Admin' ? 'kube-admin' : 'kube-baseline';
    const says = () => clusterAction(question, rules);
    return [{ tier, order: spec.priority, name: `${name}//ClusterNetworkPolicy`, says }];
  }
  if (policy.apiVersion === 'networking.k8s.io/v1') {
    const np = policy as Parameters<typeof isolates>[0];
    if (!isolates(np, own, type)) return [];
    const says = () => (networkPolicyAllows(np, question) ? ('allow' as const) : undefined);
    return [{ tier: 'default', order: 1000, name: `${name}/${namespace}/NetworkPolicy`, says }];
  }
  return calicoCandidate(question, policy as CalicoNetworkPolicy | GlobalNetworkPolicy);
}

function isPods({ namespaces }: World, { namespaces: all, pods }: EgressPeer, pod: Pod | undefined): boolean {
  if (!pod) return false;
  const labels = namespaces.find(({ metadata }) => metadata.name === pod.metadata.namespace)?.metadata.labels ?? {};
  if (all) return matches(all, labels);
  // "if empty, it selects all Namespaces", "if empty, it selects all Pods".
  return matches(pods!.namespaceSelector ?? {}, labels) && matches(pods!.podSelector ?? {}, pod.metadata.labels ?? {});
}

function clusterAction(question: Question, rules: readonly ClusterPolicyRule[]): Action | undefined {
  const { type } = question;
  const found = rules.find(
    ({ from, to, protocols }) =>
      ((type === 'Ingress' ? from : to) ?? []).some((peer) => isClusterPeer(question, peer)) &&
      // "If unspecified, protocol-specific attributes will not be used to match traffic."
      (!protocols || protocols.some((each) => isClusterPort(question, each))),
  );
  return found && ({ Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const)[found.action as 'Accept'];
}

function isClusterPeer({ world, peer, peerIP }: Question, of: EgressPeer): boolean {
  if (of.networks) return of.networks.some((cidr) => within(cidr, peerIP));
  if (of.nodes) {
    // "It selects the nodeIPs as the peer type by matching on the IPs present in the node.Status.Addresses field of the node."
    return world.nodes.some(
      ({ metadata, status }) =>
        matches(of.nodes!, metadata.labels ?? {}) && status?.addresses?.some(({ address }) => address === peerIP),
    );
  }
  return isPods(world, of, peer);
}

function isClusterPort(question: Question, match: NonNullable<ClusterPolicyRule['protocols']>[number]): boolean {
  const { protocol, port } = question.flow;
  const name = match.destinationNamedPort;
  if (name !== undefined) return portNamed(question, name, protocol) === port;
  const [[word, { destinationPort: wanted }] = ['', {}]] = Object.entries(match) as [
    string,
    NonNullable<typeof match.tcp>,
  ][];
  if (word.toUpperCase() !== protocol) return false;
  if (!wanted) return true;
  return wanted.range ? wanted.range.start <= port && port <= wanted.range.end : wanted.number === port;
}

function portNamed({ type, own, peer }: Question, name: string, protocol: string): number | undefined {
  const server = type === 'Ingress' ? own : peer;
  const ports = server?.spec.containers.flatMap((each) => each.ports ?? []) ?? [];
  return ports.find((each) => each.name === name && (each.protocol ?? 'TCP') === protocol)?.containerPort;
}

function calicoCandidate(question: Question, policy: CalicoNetworkPolicy | GlobalNetworkPolicy): Candidate[] {
  const { spec, metadata, kind } = policy;
  const { own, type, world } = question;
  const { ingress = [], egress = [] } = spec;
  const byRules = [
    ...(egress.length === 0 || ingress.length > 0 ? ['Ingress'] : []),
    ...(egress.length > 0 ? ['Egress'] : []),
  ];
  if (!(spec.types ?? byRules).includes(type)) return [];
  const isGlobal = kind === 'GlobalNetworkPolicy';
  if (!isGlobal && own.metadata.namespace !== metadata.namespace) return [];
  const namespaceSelector = 'namespaceSelector' in spec ? spec.namespaceSelector : undefined;
  if (!says(namespaceSelector, namespaceLabels(world, own))) return [];
  if (!says(spec.selector, podLabels(own)) || !says(spec.serviceAccountSelector, accountLabels(world, own))) return [];
  const rules = type === 'Ingress' ? ingress : egress;
  const namespace = isGlobal ? undefined : metadata.namespace;
  return [
    {
      tier: spec.tier ?? 'default',
      order: spec.order ?? Infinity,
      name: `${metadata.name}/${namespace ?? ''}/${isGlobal ? kind : 'NetworkPolicy.projectcalico.org'}`,
      says: () => {
        // "Log": the packet goes on to the next rule.
        const found = rules.find(
          ({ action, ...rule }) => action !== 'Log' && calicoMatches(question, { action, ...rule }, namespace),
        );
        return found && ({ Allow: 'allow', Deny: 'deny', Pass: 'pass' } as const)[found.action as 'Allow'];
      },
    },
  ];
}

function calicoMatches(question: Question, rule: CalicoRule, namespace: string | undefined): boolean {
  const { flow, type, peerIP } = question;
  const entity = (type === 'Ingress' ? rule.source : rule.destination) ?? {};
  const { ports = [], notPorts = [] } = rule.destination ?? {};
  const is = (port: number | string) => {
    const [first, last = first] = String(port).split(':');
    if (/^\d/.test(String(port))) return Number(first) <= flow.port && flow.port <= Number(last);
    return portNamed(question, String(port), flow.protocol) === flow.port;
  };
  return (
    (rule.ipVersion === undefined || (rule.ipVersion === 6) === peerIP.includes(':')) &&
    (rule.protocol === undefined || rule.protocol === flow.protocol) &&
    (rule.notProtocol === undefined || rule.notProtocol !== flow.protocol) &&
    (ports.length === 0 || ports.some(is)) &&
    !notPorts.some(is) &&
    isEntity(question, entity, namespace)
  );
}

/** "All the match criteria within a rule must be satisfied for a packet to match." */
function isEntity({ world, peer, peerIP }: Question, entity: CalicoEntity, namespace: string | undefined): boolean {
  const { nets, notNets, selector, notSelector, namespaceSelector, serviceAccounts } = entity;
  if (nets && !nets.some((net) => within(whole(net), peerIP))) return false;
  if (notNets?.some((net) => within(whole(net), peerIP))) return false;
  // "the latter will accept packets from non-Calico sources".
  if (notSelector && peer && says(notSelector, podLabels(peer))) return false;
  const asksForPods = selector || namespaceSelector || serviceAccounts || (notSelector && namespace);
  if (!asksForPods) return true;
  if (!peer) return false;
  if (namespaceSelector) {
    if (!says(namespaceSelector, namespaceLabels(world, peer))) return false;
    // "an empty NamespaceSelector implies that the Selector is limited to … the same namespace as the NetworkPolicy".
  } else if (namespace && peer.metadata.namespace !== namespace) return false;
  const { names = [], selector: accounts } = serviceAccounts ?? {};
  if (names.length > 0 && !names.includes(peer.spec.serviceAccountName ?? 'default')) return false;
  return says(accounts, accountLabels(world, peer)) && says(selector, podLabels(peer));
}

function whole(net: string): string {
  return net.includes('/') ? net : `${net}/${net.includes(':') ? 128 : 32}`;
}

type Labels = Record<string, string>;

function podLabels({ metadata, spec }: Pod): Labels {
  return {
    ...metadata.labels,
    'projectcalico.org/namespace': metadata.namespace!,
    'projectcalico.org/orchestrator': 'k8s',
    'projectcalico.org/serviceaccount': spec.serviceAccountName ?? 'default',
  };
}

function namespaceLabels({ namespaces }: World, pod: Pod): Labels {
  const name = pod.metadata.namespace!;
  const found = namespaces.find(({ metadata }) => metadata.name === name);
  return { ...found?.metadata.labels, 'projectcalico.org/name': name };
}

function accountLabels({ accounts }: World, { metadata, spec }: Pod): Labels {
  const name = spec.serviceAccountName ?? 'default';
  const found = accounts.find((each) => each.metadata.namespace === metadata.namespace && each.metadata.name === name);
  return { ...found?.metadata.labels, 'projectcalico.org/name': name };
}

/** Calico's expressions are nearly JavaScript's: what is not is put into its words. */
function says(text: string | undefined, labels: Labels): boolean {
  if (!text) return true;
  const value = (label: string) => `labels[${JSON.stringify(label)}]`;
  const script = text
    .replaceAll(/([\w./-]+) (not in|in) \{([^}]*)\}/g, (_, label: string, word: string, list: string) => {
      return `(${word === 'in' ? '' : '!'}[${list}].includes(${value(label)}))`;
    })
    .replaceAll(/([\w./-]+) (contains|starts with|ends with) (["'][^"']*["'])/g, (_, label, word, literal) => {
      const method = { contains: 'includes', 'starts with': 'startsWith', 'ends with': 'endsWith' }[word as 'contains'];
      return `((${value(label)} ?? ${'undefined'})?.${method}(${literal}) === true)`;
    })
    .replaceAll(
      /([\w./-]+) (==|!=) (["'][^"']*["'])/g,
      (_, label, sign, literal) => `(${value(label)} ${sign}= ${literal})`,
    )
    .replaceAll(/has\(([\w./-]+)\)/g, (_, label: string) => `(${value(label)} !== undefined)`)
    .replaceAll('all()', 'true')
    .replaceAll('global()', 'false');
  return new Function('labels', `return ${script};`)(labels) as boolean;
}
