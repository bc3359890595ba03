// Room plan: who may speak to whom on what, over all pods; pods that policies cannot tell apart stand in one row.
import type { PolicyEngine } from './engine.ts';
import { type Flow, gateOf, stagesOfPod } from './judge.ts';
import type { PolicyPod } from './pod.ts';
import { atomsOf, type Direction, type Protocol } from './rules.ts';

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

type Port = Pick<Flow, 'protocol' | 'port'>;

/** A port of which no rule speaks by number: what is allowed there is allowed on any. */
const NEVER: Port = { protocol: 'other', port: 0 };

/** `ports`: absent, those that the pod spoken to has a name for, those that rules speak of, and `more`. */
export function matrixOf(engine: PolicyEngine, ports?: readonly AskedPort[], more: readonly AskedPort[] = []): Matrix {
  const groups = groupsOf(engine);
  const spoken = ports ?? [...portsOfRules(engine), ...more];
  const from = groups.map(({ members }) => new Gates(engine, members[0]!, 'egress'));
  const to = groups.map(({ members }) => {
    const [pod] = members as [PolicyPod];
    const asked = ports ? spoken : uniquePorts([...spoken, ...portsOfPod(pod)]);
    return new Target(new Gates(engine, pod, 'ingress'), asked, ports !== undefined);
  });
  const cells: Cell[] = [];
  for (const [i, sender] of from.entries()) {
    for (const [j, target] of to.entries()) {
      // One alone speaks to itself; of several that are alike, one speaks to another.
      const itself = i === j && groups[i]!.members.length === 1;
      const allowed = itself ? target.everything : target.allowed(sender);
      cells.push({ from: groups[i]!.name, to: groups[j]!.name, allowed });
    }
  }
  return { groups: groups.map(({ name, members }) => ({ name, pods: members.map(({ key }) => key) })), cells };
}

type Gate = (peer: PolicyPod) => boolean;

/** What the policies of a pod say in one direction, port by port. */
class Gates {
  readonly pod: PolicyPod;
  /** Gates of ports; undefined: no policy has a say. */
  readonly #byPort: Map<Port, Gate> | undefined;
  readonly #make: (port: Port) => Gate;

  constructor(engine: PolicyEngine, pod: PolicyPod, direction: Direction) {
    this.pod = pod;
    const stages = stagesOfPod(engine, pod, direction);
    this.#byPort = stages && new Map();
    this.#make = (port) => gateOf(engine, { pod, stages: stages ?? [], direction }, port);
  }

  get isOpen(): boolean {
    return this.#byPort === undefined;
  }

  lets(peer: PolicyPod, port: Port): boolean {
    if (!this.#byPort) return true;
    let gate = this.#byPort.get(port);
    if (!gate) {
      gate = this.#make(port);
      this.#byPort.set(port, gate);
    }
    return gate(peer);
  }
}

/** Whom is spoken to. Of a million cells those that say the same share what they say. */
class Target {
  readonly everything: Allowed;
  readonly #ingress: Gates;
  readonly #asked: readonly AskedPort[];
  /** Only these ports are asked of. */
  readonly #isWhole: boolean;
  readonly #said = new Map<string, Allowed>();

  constructor(ingress: Gates, asked: readonly AskedPort[], isWhole: boolean) {
    this.#ingress = ingress;
    this.#asked = asked;
    this.#isWhole = isWhole;
    this.everything = isWhole ? textsOf(asked) : 'all';
  }

  allowed(sender: Gates): Allowed {
    if (sender.isOpen && this.#ingress.isOpen) return this.everything;
    const passes = (port: Port) => sender.lets(this.#ingress.pod, port) && this.#ingress.lets(sender.pod, port);
    let key = '';
    for (const port of this.#asked) key += passes(port) ? '1' : '0';
    if (!this.#isWhole) key += passes(NEVER) ? '+' : '-';
    let said = this.#said.get(key);
    if (!said) {
      said = this.#say(key);
      this.#said.set(key, said);
    }
    return said;
  }

  #say(key: string): Allowed {
    const are = (digit: string) => textsOf(this.#asked.filter((_, i) => key[i] === digit));
    if (!key.endsWith('+')) return are('1');
    const allBut = are('0');
    return allBut.length > 0 ? { allBut } : 'all';
  }
}

function textsOf(ports: readonly AskedPort[]): string[] {
  return ports.map(({ protocol, port }) => `${protocol} ${port}`);
}

interface Members {
  readonly name: string;
  readonly members: readonly PolicyPod[];
}

function groupsOf(engine: PolicyEngine): Members[] {
  const hasBlocks = speakOfBlocks(engine);
  const byLooks = Map.groupBy(
    [...engine.pods.values()].filter(({ ips }) => ips.length > 0),
    (pod) => {
      const policies = [...pod.policies].map(({ id }) => id).sort();
      return JSON.stringify([
        pod.namespace,
        policies,
        [...pod.peers].sort(),
        [...pod.ports].sort(),
        // Where blocks tell pods apart, each stands for itself.
        hasBlocks ? pod.key : '',
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

function speakOfBlocks({ policies }: PolicyEngine): boolean {
  const all = [...policies.values()].flatMap(({ rules }) => [...rules.ingress, ...rules.egress]);
  return all.some(({ peers }) => peers?.flatMap(atomsOf).some(({ kind }) => kind === 'block'));
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
