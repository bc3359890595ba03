// Room plan: who may speak to whom on what, over all pods; pods that policies cannot tell apart stand in one row.
import type { PolicyEngine } from './engine.ts';
import { allows, type Flow, stagesOfPod } from './judge.ts';
import type { PolicyPod } from './pod.ts';
import { atomsOf, type Protocol } from './rules.ts';
import type { Stage } from './tiers.ts';

/** Pods of one namespace that the same policies select, that are the same peers, and call the same ports by the same names. */
export interface PodGroup {
  readonly name: string;
  /** `namespace/name` */
  readonly pods: readonly string[];
}

export interface Cell {
  readonly from: string;
  readonly to: string;
  readonly allowed: Allowed;
}

/** Everything, everything but some ports that rules speak of, or those of the asked ports that are allowed: `TCP 80`. */
export type Allowed = 'all' | { readonly allBut: readonly string[] } | readonly string[];

export function allowedText(allowed: Allowed): string {
  if (allowed === 'all') return 'all';
  if ('allBut' in allowed) return `all but ${allowed.allBut.join(',')}`;
  return allowed.length > 0 ? allowed.join(',') : '-';
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
  const sides = groups.map(({ name, members }) => ({ name, members, sides: sidesOf(engine, members[0]!) }));
  const cells = sides.flatMap((from) =>
    sides.map((to): Cell => {
      const ends = { engine, from: from.sides, to: to.sides };
      // One alone speaks to itself; of several that are alike, one speaks to another.
      const itself = from === to && from.members.length === 1;
      if (itself || (!ends.from.egress && !ends.to.ingress)) return cell(from, to, ports ? textsOf(spoken) : 'all');
      const asked = ports ? spoken : uniquePorts([...spoken, ...portsOfPod(to.members[0]!)]);
      const allowed = asked.filter((port) => mayPass(ends, port));
      if (ports || !mayPass(ends, NEVER)) return cell(from, to, textsOf(allowed));
      const allBut = textsOf(asked.filter((port) => !allowed.includes(port)));
      return cell(from, to, allBut.length > 0 ? { allBut } : 'all');
    }),
  );
  return { groups: groups.map(({ name, members }) => ({ name, pods: members.map(({ key }) => key) })), cells };
}

function cell({ name: from }: Members, { name: to }: Members, allowed: Allowed): Cell {
  return { from, to, allowed };
}

function textsOf(ports: readonly AskedPort[]): string[] {
  return ports.map(({ protocol, port }) => `${protocol} ${port}`);
}

interface PodSides {
  readonly pod: PolicyPod;
  readonly egress: readonly Stage[] | undefined;
  readonly ingress: readonly Stage[] | undefined;
}

function sidesOf(engine: PolicyEngine, pod: PolicyPod): PodSides {
  return { pod, egress: stagesOfPod(engine, pod, 'egress'), ingress: stagesOfPod(engine, pod, 'ingress') };
}

interface Ends {
  readonly engine: PolicyEngine;
  readonly from: PodSides;
  readonly to: PodSides;
}

function mayPass({ engine, from, to }: Ends, port: Pick<Flow, 'protocol' | 'port'>): boolean {
  return (
    (!from.egress || allows(engine, from.egress, 'egress', to.pod, to.pod, port)) &&
    (!to.ingress || allows(engine, to.ingress, 'ingress', from.pod, to.pod, port))
  );
}

interface Members {
  readonly name: string;
  readonly members: readonly PolicyPod[];
}

function groupsOf(engine: PolicyEngine): Members[] {
  const byLooks = Map.groupBy(
    [...engine.pods.values()].filter(({ ips }) => ips.length > 0),
    (pod) => {
      const policies = [...pod.policies].map(({ id }) => id).sort();
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
  const has = all.some(({ peers }) => peers?.flatMap(atomsOf).some(({ kind }) => kind === 'block'));
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
