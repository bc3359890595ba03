// Room cli: `podwire policy explain`: may one speak to another, and which rules say so.
import { Fault } from '../observe/fault.ts';
import {
  addressesOf,
  type Backend,
  backendsOf,
  type Directory,
  type End,
  endOf,
  portOfPod,
  serviceNamed,
  servicePort,
} from '../plan/policy/ends.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import type { ExpectedPort } from '../plan/policy/expectations.ts';
import { reasonText, verdictText } from '../plan/policy/explain.ts';
import { type Flow, judge, type Side, type Verdict } from '../plan/policy/judge.ts';
import type { PolicyPod } from '../plan/policy/pod.ts';
import { ruleText } from '../plan/policy/rules.ts';
import { expectedPort, portText, qualified } from './expectation-file.ts';
import { policySource } from './policy-source.ts';

interface ExplainFlags {
  readonly name: string;
  readonly namespace: string;
  readonly filename?: string;
  readonly output: string;
}

interface Target {
  readonly ip: string;
  readonly port: number;
}

/** Exit code 3: denied. */
export async function runPolicyExplain(from: string, to: string, port: string, flags: ExplainFlags): Promise<void> {
  const { engine, directory } = await policySource(flags);
  const asked = expectedPort(port);
  if (!asked) throw new Fault(`"${port}" is not a port such as 80, 53/UDP, or a name`, { exitCode: 2 });
  const ends = [from, to].map((text) => meant(text, flags.namespace, engine, directory)) as [End, End];
  const sources = addressesOfEnd(ends[0], engine);
  const targets = targetsOf(ends[1], asked, engine);
  const pairs = sources.flatMap((source) =>
    targets
      .filter(({ ip }) => ip.includes(':') === source.includes(':'))
      .map(({ ip, port }): Flow => {
        return { from: source, to: ip, protocol: asked.protocol, port };
      }),
  );
  if (pairs.length === 0) throw new Fault(`${from} and ${to} have no address of one family`, { exitCode: 2 });
  const verdicts = pairs.map((flow) => ({ flow, verdict: judge(engine, flow) }));
  const isDenied = verdicts.some(({ verdict }) => !verdict.allowed);
  const first = verdicts.find(({ verdict }) => verdict.allowed !== isDenied)!;
  if (flags.output === 'json')
    console.log(JSON.stringify({ ...first.flow, ...plainVerdict(first.verdict) }, undefined, 2));
  else console.log([...verdictText(first.verdict), ...moreText(verdicts, first, engine)].join('\n'));
  if (isDenied) process.exitCode = 3;
}

function meant(text: string, namespace: string, engine: PolicyEngine, directory: Directory): End {
  const end = endOf(qualified(text, namespace), engine, directory);
  const service = end?.kind === 'name' && serviceNamed(end.name, namespace, directory);
  if (service) return { kind: 'service', service };
  if (end && end.kind !== 'name') return end;
  const word = text.split('/').at(-1);
  const elsewhere = [...engine.pods.values()].filter(({ key }) => key.split('/')[1] === word).map(({ key }) => key);
  const mend =
    elsewhere.length > 0
      ? `there is ${elsewhere.slice(0, 3).join(', ')}`
      : 'name a pod, a workload or a Service as NAMESPACE/NAME, or give an address';
  throw new Fault(`there is no ${text}`, { mend, exitCode: 2 });
}

function addressesOfEnd(end: End, engine: PolicyEngine): readonly string[] {
  switch (end.kind) {
    case 'pods':
      return running(end.pods.map((pod) => ({ pod, ips: addressesOf(pod, engine) })));
    case 'node':
      return end.ips;
    case 'address':
      return [end.ip];
    default:
      throw new Fault('a Service sends nothing: name a pod or a workload', { exitCode: 2 });
  }
}

function running(pods: readonly { readonly pod: PolicyPod; readonly ips: readonly string[] }[]): string[] {
  const ips = pods.flatMap((each) => each.ips);
  if (ips.length === 0) throw new Fault(`pod ${pods.map(({ pod }) => pod.key).join(', ')} has no address`);
  return ips;
}

function targetsOf(end: End, asked: ExpectedPort, engine: PolicyEngine): Target[] {
  if (end.kind === 'service') {
    const port = servicePort(end.service, asked);
    const { namespace, name } = end.service.metadata;
    if (!port) throw new Fault(`Service ${namespace}/${name} has no port ${portText(asked)}`, { exitCode: 2 });
    const backends = backendsOf(end.service, port, engine);
    if (backends.length === 0) throw new Fault(`Service ${namespace}/${name} has no pod behind it`);
    return addressed(backends, engine);
  }
  if (end.kind === 'pods') {
    const found = end.pods.flatMap((pod): Backend[] => {
      const port = portOfPod(asked, pod);
      return port === undefined ? [] : [{ pod, port }];
    });
    if (found.length === 0) throw new Fault(`pod ${end.pods[0]!.key} has no port named ${asked.port}`, { exitCode: 2 });
    return addressed(found, engine);
  }
  if (typeof asked.port !== 'number') throw new Fault(`no pod says which number ${asked.port} is`, { exitCode: 2 });
  const { port } = asked;
  return addressesOfEnd(end, engine).map((ip) => ({ ip, port }));
}

function addressed(backends: readonly Backend[], engine: PolicyEngine): Target[] {
  running(backends.map(({ pod }) => ({ pod, ips: addressesOf(pod, engine) })));
  return backends.flatMap(({ pod, port }) => addressesOf(pod, engine).map((ip) => ({ ip, port })));
}

interface Judged {
  readonly flow: Flow;
  readonly verdict: Verdict;
}

/** Where several pods are meant and they are not alike. */
function moreText(all: readonly Judged[], first: Judged, engine: PolicyEngine): string[] {
  const others = all.filter(({ verdict }) => verdict.allowed !== first.verdict.allowed);
  const name = (ip: string) => engine.podAt(ip)?.key ?? ip;
  if (others.length === 0) return [];
  const { from, to, port } = others[0]!.flow;
  const word = first.verdict.allowed ? 'denied' : 'allowed';
  return [
    `but ${word} for ${others.length} of ${all.length} pairs of pods, among them ${name(from)} -> ${name(to)} ${port}`,
  ];
}

function plainVerdict({ egress, ingress, allowed }: Verdict): object {
  return { allowed, egress: plain(egress), ingress: plain(ingress) };
}

function plain(side: Side): object {
  const { because, allowed, pod, staged } = side;
  const rules =
    side.because === 'rule'
      ? { tier: side.tier, rules: [...new Set(side.matches.map(({ rule }) => ruleText(rule)))] }
      : {};
  const isolatedBy =
    side.because === 'no rule' ? { tier: side.tier, isolatedBy: side.isolatedBy.map(({ id }) => id) } : {};
  return {
    ...(pod && { pod: pod.key }),
    allowed,
    because,
    ...rules,
    ...isolatedBy,
    ...(staged && { staged: { allowed: staged.allowed, says: reasonText(staged) } }),
  };
}
