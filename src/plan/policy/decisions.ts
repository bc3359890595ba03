// Room plan: what the walk through the tiers says of one pod and one class of peers, as intervals of ports that do not overlap.
import type { Form } from './base.ts';
import { type Direction, FLOW_PROTOCOLS, type FlowProtocol, type PortMatch, type Rule, ruleText } from './rules.ts';
import type { RulingChain } from './tier-base.ts';
import type { Stage } from './tiers.ts';
import { type Decision, walk } from './walk.ts';

/** `ports` as the map's key goes on after link and class. */
export interface Interval {
  readonly form: Form;
  readonly ports: readonly (string | number)[];
  readonly ruling: RulingChain;
  /** Who says so: rules first. */
  readonly says: string;
}

/** One pod's policies of one direction, in force and with what is staged. */
export interface PodStages {
  /** `Pod/shop/web` */
  readonly pod: string;
  readonly direction: Direction;
  readonly inForce: readonly Stage[];
  /** Undefined where nothing is staged. */
  readonly withStaged: readonly Stage[] | undefined;
}

type PlainPort = Exclude<PortMatch, { kind: 'name' }>;

/** Rules that are for the class, and on which ports; undefined: on all. */
type Applicable = ReadonlyMap<Rule, readonly PlainPort[] | undefined>;

/** As nft names them. A protocol that has no name here is `any`. */
const NAMES: Readonly<Record<Exclude<FlowProtocol, 'other'>, string | number>> = {
  TCP: 'tcp',
  UDP: 'udp',
  SCTP: 'sctp',
  ICMP: 'icmp',
  ICMPv6: 'ipv6-icmp',
  UDPLite: 136,
};
const LAST_PORT = 65535;

export function intervalsOf(of: PodStages, applicable: Applicable): Interval[] {
  const asked = (stages: readonly Stage[]) =>
    stages.map((stage): AskedStage => {
      const rules = stage.policies.flatMap((policy) => policy.rules[of.direction]);
      return { ...stage, rules: rules.filter((rule) => applicable.has(rule)) };
    });
  const stages: Asked = {
    pod: of.pod,
    inForce: asked(of.inForce),
    withStaged: of.withStaged && asked(of.withStaged),
  };
  const at = (protocol: FlowProtocol, port: number) => rulingAt(stages, applicable, protocol, port);
  const any = at('other', 0);
  const ports = [...applicable.values()].flatMap((list) => list ?? []);
  const spoken = new Set(ports.map(({ protocol }) => protocol));
  // Whoever speaks of all others says by it that some are none of them.
  const protocols = spoken.has('other') ? FLOW_PROTOCOLS : [...spoken];
  const narrower = protocols.flatMap((protocol) => {
    if (protocol === 'other') return [];
    const own = ports.filter((port) => port.protocol === protocol);
    return intervalsOfProtocol(protocol, own, any, (port) => at(protocol, port));
  });
  return [{ form: 'any', ports: [], ...any }, ...narrower];
}

/** With those of its rules that are for the class. */
interface AskedStage extends Stage {
  readonly rules: readonly Rule[];
}

interface Asked {
  readonly pod: string;
  readonly inForce: readonly AskedStage[];
  readonly withStaged: readonly AskedStage[] | undefined;
}

type Ruling = Pick<Interval, 'ruling' | 'says'>;

interface Segment extends Ruling {
  readonly first: number;
  last: number;
}

function intervalsOfProtocol(
  protocol: Exclude<FlowProtocol, 'other'>,
  ports: readonly PlainPort[],
  any: Ruling,
  at: (port: number) => Ruling,
): Interval[] {
  const segments = segmentsOf(ports, at);
  const widest = segments.reduce((a, b) => (b.last - b.first > a.last - a.first ? b : a));
  const name = NAMES[protocol];
  const rest = segments.filter((each) => !same(each, widest));
  const whole: Interval[] = same(widest, any) ? [] : [{ form: 'protocols', ports: [name], ...ruling(widest) }];
  return [
    ...whole,
    ...rest.map(({ first, last, ...said }): Interval => {
      if (first === last) return { form: 'ports', ports: [name, first], ...said };
      return { form: 'ranges', ports: [name, `${first}-${last}`], ...said };
    }),
  ];
}

function segmentsOf(ports: readonly PlainPort[], at: (port: number) => Ruling): [Segment, ...Segment[]] {
  const starts = new Set([0]);
  for (const port of ports) {
    if (port.kind === 'range') starts.add(port.first).add(port.last + 1);
  }
  const bounds = [...starts].filter((start) => start <= LAST_PORT).sort((a, b) => a - b);
  const segments: Segment[] = [];
  for (const [i, first] of bounds.entries()) {
    const said = at(first);
    const last = (bounds[i + 1] ?? LAST_PORT + 1) - 1;
    const before = segments.at(-1);
    if (before && same(before, said)) before.last = last;
    else segments.push({ first, last, ...said });
  }
  return segments as [Segment, ...Segment[]];
}

function same(a: Ruling, b: Ruling): boolean {
  return a.ruling === b.ruling && a.says === b.says;
}

function ruling({ ruling: of, says }: Ruling): Ruling {
  return { ruling: of, says };
}

function rulingAt(stages: Asked, applicable: Applicable, protocol: FlowProtocol, port: number): Ruling {
  const applies = (rule: Rule): true | undefined => {
    const ports = applicable.get(rule);
    return !ports || ports.some((each) => portIs(each, protocol, port)) ? true : undefined;
  };
  let logged = false;
  const decide = (of: readonly AskedStage[], meet?: (does: string) => void) =>
    walk(of, applies, ({ rules }) => rules, meet && (({ does }) => meet(does)));
  const now = decide(stages.inForce, (does) => {
    logged ||= does === 'log';
  });
  const then = stages.withStaged && decide(stages.withStaged);
  return rulingOf(stages.pod, now, then, logged);
}

function portIs(port: PlainPort, protocol: FlowProtocol, number: number): boolean {
  if (port.protocol !== protocol) return false;
  return port.kind === 'all' || (port.first <= number && number <= port.last);
}

function rulingOf(pod: string, now: Decision<true>, then: Decision<true> | undefined, logged: boolean): Ruling {
  const says = decisionText(pod, now);
  if (then && now.allowed && !then.allowed) {
    return { ruling: 'would-deny', says: `staged: ${decisionText(pod, then)}; now ${says}` };
  }
  // A staged rule that says the same, or would allow what is refused now, is told of beside.
  const beside = then && isStaged(then) ? `${says}; staged: ${decisionText(pod, then)}` : says;
  if (!now.allowed) return { ruling: 'refused', says: beside };
  const log = logged || (now.kind === 'rule' && now.rule.policy.logsAllowed);
  return { ruling: log ? 'allow-log' : 'allow', says: beside };
}

function isStaged(decision: Decision<true>): boolean {
  return decision.kind === 'rule' && decision.rule.policy.staged;
}

function decisionText(pod: string, decision: Decision<true>): string {
  if (decision.kind === 'rule') return `${ruleText(decision.rule)}${decision.allowed ? '' : ' denies'}`;
  if (decision.kind === 'none') return `${pod}: no policy decides`;
  return `${pod} isolated by ${decision.stage.policies.map(({ id }) => id).join(', ')}`;
}
