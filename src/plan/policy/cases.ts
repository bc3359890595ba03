// Room plan: an expectation taken apart into single flows, each with what the engine says of it.
import { type Family, familyOf, type IP } from '../../addr/ip.ts';
import type { Service } from '../../objects/types.ts';
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
} from './ends.ts';
import type { PolicyEngine } from './engine.ts';
import type { Expectation, ExpectedPort, Outcome } from './expectations.ts';
import { verdictText } from './explain.ts';
import { judge, type Verdict } from './judge.ts';
import type { PolicyPod } from './pod.ts';
import type { Protocol } from './rules.ts';

/** Who sends: a pod, or a node. */
export interface Source {
  /** `shop/web`, `node/node-1` */
  readonly name: string;
  readonly pod: PolicyPod | undefined;
  readonly node: string | undefined;
  readonly ip: IP;
}

export interface FlowCase {
  readonly from: Source;
  /** `shop/db 5432` */
  readonly target: string;
  /** Absent: a name that only DNS can tell. */
  readonly ip?: IP;
  readonly name?: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** Who may get the packet. */
  readonly backends: readonly Backend[];
  /** Undefined: nobody can say before the packet is sent, or some of a Service's pods may be reached and others not. */
  readonly predicted: boolean | undefined;
  readonly why: readonly string[];
}

export interface Cases {
  readonly flows: readonly FlowCase[];
  /** Sources, for names that are asked for. */
  readonly sources: readonly Source[];
  /** Why some of what is expected cannot be asked: pods that are not there. */
  readonly problems: readonly string[];
}

export function casesOf({ from, to, ports }: Expectation, engine: PolicyEngine, directory: Directory): Cases {
  const source = endOf(from, engine, directory);
  if (!source || source.kind === 'service' || source.kind === 'name' || source.kind === 'address') {
    const what = source
      ? 'is no pod: only pods and nodes can be made to send'
      : 'is no pod, workload or node that is there';
    return { flows: [], sources: [], problems: [`${from} ${what}`] };
  }
  const { sources, problems } = sourcesOf(source, engine);
  if (to === undefined) return { flows: [], sources, problems };
  const target = endOf(to, engine, directory);
  if (!target) {
    const missing = `${to} is no pod, workload, Service or node that is there, no address and no name with dots`;
    return { flows: [], sources, problems: [...problems, missing] };
  }
  const found = sources.flatMap((each) => ports.map((port) => flowsTo(each, target, port, engine, directory)));
  return {
    flows: found.flatMap(({ flows }) => flows),
    sources,
    problems: [...problems, ...new Set(found.flatMap((each) => each.problems))],
  };
}

function sourcesOf(end: Extract<End, { kind: 'pods' | 'node' }>, engine: PolicyEngine) {
  if (end.kind === 'node') {
    const source = (ip: IP): Source => ({ name: `node/${end.name}`, pod: undefined, node: end.name, ip });
    return { sources: end.ips.map(source), problems: [] };
  }
  const problems = end.pods.filter((pod) => addressesOf(pod, engine).length === 0).map(({ key }) => lacksAddress(key));
  const sources = end.pods.flatMap((pod) =>
    addressesOf(pod, engine).map((ip): Source => ({ name: pod.key, pod, node: pod.node, ip })),
  );
  return { sources, problems };
}

function lacksAddress(key: string): string {
  return `pod ${key} has no address: it does not run`;
}

interface Found {
  readonly flows: readonly FlowCase[];
  readonly problems: readonly string[];
}

function flowsTo(from: Source, end: End, port: ExpectedPort, engine: PolicyEngine, directory: Directory): Found {
  const family = familyOf(from.ip);
  switch (end.kind) {
    case 'pods':
      return join(end.pods.map((pod) => flowToPod(from, pod, port, engine)));
    case 'service':
      return flowToService(from, end.service, port, engine);
    case 'node':
    case 'address':
      return flowToAddress(from, end.kind === 'node' ? end.ips : [end.ip], port, engine);
    case 'name': {
      if (typeof port.port !== 'number') return { flows: [], problems: [noNumber(port, end.name)] };
      const service = from.pod && serviceNamed(end.name, from.pod.namespace, directory);
      const known = service && flowToService(from, service, port, engine).flows[0];
      const { protocol } = port;
      const flow = { from, target: `${end.name} ${port.port}`, name: end.name, protocol, port: port.port };
      const judged = known ?? { backends: [], predicted: undefined, why: [`what ${end.name} is, only DNS can tell`] };
      // A name has addresses of whichever family: it is asked for once.
      if (family === 6 && hasFour(from, engine)) return { flows: [], problems: [] };
      return {
        flows: [{ ...flow, backends: judged.backends, predicted: judged.predicted, why: judged.why }],
        problems: [],
      };
    }
  }
}

function hasFour({ pod, node }: Source, engine: PolicyEngine): boolean {
  const ips = pod ? addressesOf(pod, engine) : engine.nodeIPs(node);
  return ips.some((ip) => familyOf(ip) === 4);
}

function join(found: readonly Found[]): Found {
  return { flows: found.flatMap(({ flows }) => flows), problems: found.flatMap(({ problems }) => problems) };
}

function flowToPod(from: Source, pod: PolicyPod, asked: ExpectedPort, engine: PolicyEngine): Found {
  const port = portOfPod(asked, pod);
  if (port === undefined) return { flows: [], problems: [noNumber(asked, `pod ${pod.key}`)] };
  const ips = addressesOf(pod, engine);
  if (ips.length === 0) return { flows: [], problems: [lacksAddress(pod.key)] };
  const flows = ofFamily(ips, familyOf(from.ip)).map((ip): FlowCase => {
    const verdict = judge(engine, { from: from.ip, to: ip, protocol: asked.protocol, port });
    const target = `${pod.key} ${port}${asked.protocol === 'TCP' ? '' : `/${asked.protocol}`}`;
    const { protocol } = asked;
    return { from, target, ip, protocol, port, backends: [{ pod, port }], ...predictionOf([verdict]) };
  });
  return { flows, problems: [] };
}

function noNumber({ protocol, port }: ExpectedPort, whose: string): string {
  return `${whose} has no port ${protocol} named ${port}`;
}

function flowToAddress(from: Source, ips: readonly IP[], asked: ExpectedPort, engine: PolicyEngine): Found {
  const { protocol, port } = asked;
  if (typeof port !== 'number') return { flows: [], problems: [noNumber(asked, ips.join(', '))] };
  const flows = ofFamily(ips, familyOf(from.ip)).map((ip): FlowCase => {
    const verdict = judge(engine, { from: from.ip, to: ip, protocol, port });
    const pod = engine.podAt(ip);
    const backends = pod ? [{ pod, port }] : [];
    return { from, target: `${ip} ${port}`, ip, protocol, port, backends, ...predictionOf([verdict]) };
  });
  return { flows, problems: [] };
}

function flowToService(from: Source, service: Service, asked: ExpectedPort, engine: PolicyEngine): Found {
  const { namespace, name } = service.metadata;
  const port = servicePort(service, asked);
  const key = `Service/${namespace}/${name}`;
  if (!port) return { flows: [], problems: [`${key} has no port ${asked.protocol} ${asked.port}`] };
  const family = familyOf(from.ip);
  const backends = backendsOf(service, port, engine);
  const targets = backends.flatMap((backend) =>
    ofFamily(addressesOf(backend.pod, engine), family).map((ip) => ({ ip, ...backend })),
  );
  if (targets.length === 0) return { flows: [], problems: [`${key} has no pod behind it`] };
  const { protocol } = asked;
  const verdicts = targets.map(({ ip, port }) => judge(engine, { from: from.ip, to: ip, protocol, port }));
  const common = { from, target: `${key} ${port.port}`, protocol, backends, ...predictionOf(verdicts) };
  const vips = ofFamily(
    (service.spec.clusterIPs ?? []).filter((ip) => ip !== 'None'),
    family,
  );
  // A headless Service is its pods; in manifests none has an address yet.
  if (vips.length === 0) {
    const flows = targets.map(({ ip, port }, i) => ({ ...common, ip, port, ...predictionOf([verdicts[i]!]) }));
    return { flows, problems: [] };
  }
  return { flows: vips.map((ip) => ({ ...common, ip, port: port.port })), problems: [] };
}

function predictionOf(verdicts: readonly Verdict[]): Pick<FlowCase, 'predicted' | 'why'> {
  const [first] = verdicts;
  if (!first) return { predicted: undefined, why: [] };
  const differs = verdicts.some(({ allowed }) => allowed !== first.allowed);
  if (!differs) return { predicted: first.allowed, why: verdictText(first) };
  const passing = verdicts.filter(({ allowed }) => allowed).length;
  return { predicted: undefined, why: [`${passing} of its ${verdicts.length} pods may be reached, the others not`] };
}

function ofFamily(ips: readonly IP[], family: Family): IP[] {
  return ips.filter((ip) => familyOf(ip) === family);
}

/** What the engine alone says. */
export function staticOutcome(expectation: Expectation, engine: PolicyEngine, directory: Directory): Outcome {
  const { name, expect, dns, to } = expectation;
  if (dns && to === undefined) return { name, ok: true, why: [], skipped: 'names need packets' };
  const { flows, problems } = casesOf(expectation, engine, directory);
  if (problems.length > 0 || flows.length === 0) return { name, ok: false, why: orNothing(problems) };
  const known = flows.filter(({ predicted }) => predicted !== undefined);
  const wrong = flows.filter(
    ({ predicted, name }) => predicted !== (expect === 'allow') && !(name && predicted === undefined),
  );
  if (known.length === 0 && wrong.length === 0)
    return { name, ok: true, why: flows[0]!.why, skipped: flows[0]!.why[0]! };
  const shown = wrong.length > 0 ? wrong : flows;
  const head = flows.length > 1 ? (flow: FlowCase) => [`${flow.from.name} -> ${flow.target}`] : () => [];
  return { name, ok: wrong.length === 0, why: shown.slice(0, 3).flatMap((flow) => [...head(flow), ...flow.why]) };
}

export function orNothing(problems: readonly string[]): readonly string[] {
  return problems.length > 0 ? problems : ['the two have no address of one family'];
}
