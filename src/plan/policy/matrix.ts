// Room plan: who may speak to whom on what, over all pods; pods that policies cannot tell apart stand in one row.
import type { PolicyEngine } from './engine.ts';
import { type Flow, judge } from './judge.ts';
import type { PolicyPod } from './pod.ts';
import type { Protocol } from './rules.ts';

/** Pods of one namespace that the same policies select, that are the same peers, and call the same ports by the same names. */
export interface PodGroup {
  readonly name: string;
  /** `namespace/name` */
  readonly pods: readonly string[];
}

export interface Cell {
  readonly from: string;
  readonly to: string;
  /** `all`, or those of the asked ports that are allowed: `TCP 80`. */
  readonly allowed: 'all' | readonly string[];
}

export interface Matrix {
  readonly groups: readonly PodGroup[];
  readonly cells: readonly Cell[];
}

export interface AskedPort {
  readonly protocol: Protocol;
  readonly port: number;
}

/** A port of which no rule speaks by number: what is allowed there is allowed on any. */
const NEVER: Pick<Flow, 'protocol' | 'port'> = { protocol: 'other', port: 0 };

/** `ports`: absent, those that the pod spoken to has a name for, those that rules speak of, and `more`. */
export function matrixOf(engine: PolicyEngine, ports?: readonly AskedPort[], more: readonly AskedPort[] = []): Matrix {
  const groups = groupsOf(engine);
  const spoken = ports ?? [...portsOfRules(engine), ...more];
  const cells = groups.flatMap(({ name: from, members: [a] }) =>
    groups.map(({ name: to, members }): Cell => {
      // Two of one group are two pods; where there is one alone, it speaks to itself.
      const b = from === to ? (members[1] ?? members[0]!) : members[0]!;
      const asked = ports ? spoken : uniquePorts([...spoken, ...portsOfPod(b)]);
      return { from, to, allowed: allowedPorts(engine, a!, b, asked, ports === undefined) };
    }),
  );
  return { groups: groups.map(({ name, members }) => ({ name, pods: members.map(({ key }) => key) })), cells };
}

function allowedPorts(
  engine: PolicyEngine,
  from: PolicyPod,
  to: PolicyPod,
  asked: readonly AskedPort[],
  whole: boolean,
): Cell['allowed'] {
  const ends = { from: from.ips[0]!, to: to.ips[0]! };
  if (whole && judge(engine, { ...ends, ...NEVER }).allowed) return 'all';
  const allowed = asked.filter((port) => judge(engine, { ...ends, ...port }).allowed);
  return allowed.map(({ protocol, port }) => `${protocol} ${port}`);
}

interface Members {
  readonly name: string;
  readonly members: readonly PolicyPod[];
}

function groupsOf(engine: PolicyEngine): Members[] {
  const byLooks = Map.groupBy(
    [...engine.pods.values()].filter(({ ips }) => ips.length > 0),
    (pod) => {
      const policies = [...pod.policies].map(({ key }) => key).sort();
      return JSON.stringify([
        pod.namespace,
        policies,
        [...pod.peers].sort(),
        [...pod.ports].sort(),
        blocksOf(engine, pod),
      ]);
    },
  );
  const groups = [...byLooks.values()].map((members) => {
    const sorted = members.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    const more = members.length > 1 ? ` (+${members.length - 1})` : '';
    return { name: `${sorted[0]!.key}${more}`, members: sorted };
  });
  return groups.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Where blocks tell pods apart, each stands for itself. */
function blocksOf(engine: PolicyEngine, pod: PolicyPod): string {
  const all = [...engine.policies.values()].flatMap(({ rules }) => [...rules.ingress, ...rules.egress]);
  const has = all.some(({ peers }) => peers?.some(({ kind }) => kind === 'block'));
  return has ? pod.key : '';
}

/** Ports that rules speak of, and that pods have names for. */
export function spokenPorts(engine: PolicyEngine): AskedPort[] {
  return uniquePorts([...portsOfRules(engine), ...[...engine.pods.values()].flatMap(portsOfPod)]);
}

function portsOfRules(engine: PolicyEngine): AskedPort[] {
  const rules = [...engine.policies.values()].flatMap(({ rules }) => [...rules.ingress, ...rules.egress]);
  return rules.flatMap(({ ports }) =>
    (ports ?? []).flatMap((port): AskedPort[] => {
      if (port.kind === 'range')
        return [port.first, port.last].map((each) => ({ protocol: port.protocol, port: each }));
      return [];
    }),
  );
}

function portsOfPod({ ports }: PolicyPod): AskedPort[] {
  return [...ports].map(([key, port]) => ({ protocol: key.split('/')[0] as Protocol, port }));
}

function uniquePorts(ports: readonly AskedPort[]): AskedPort[] {
  const unique = new Map(ports.map((each) => [`${each.protocol} ${each.port}`, each]));
  return [...unique.values()].sort((a, b) =>
    a.protocol === b.protocol ? a.port - b.port : a.protocol < b.protocol ? -1 : 1,
  );
}
