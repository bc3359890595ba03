// Room cluster: expectations of policies held against real packets of a running cluster, and against what the engine says.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { familyOf, type IP } from '../../addr/ip.ts';
import { parseResolvConf, type ResolvConf } from '../../dns/resolv-conf.ts';
import { etcPath } from '../../node/pod-paths.ts';
import { StartQueue } from '../../node/start-queue.ts';
import { casesOf, type FlowCase, orNothing, type Source, staticOutcome } from '../../plan/policy/cases.ts';
import { addressesOf, type Directory, serviceNamed } from '../../plan/policy/ends.ts';
import type { PolicyEngine } from '../../plan/policy/engine.ts';
import type { Expectation, ExpectedDns, Outcome } from '../../plan/policy/expectations.ts';
import type { PolicyPod } from '../../plan/policy/pod.ts';
import { etcDirOf, type Place, type PlacedPod, placeOfNode, placeOfPod } from '../pod-place.ts';
import type { Listeners } from './listeners.ts';
import { askHttp, lookUp, type Seen, shoot } from './shots.ts';

export interface TestRun {
  readonly cluster: string;
  readonly engine: PolicyEngine;
  readonly directory: Directory;
  /** `namespace/name` to what is needed to find it on this machine; only pods that run. */
  readonly places: ReadonlyMap<string, PlacedPod>;
  readonly listeners: Listeners;
  /** Whether somebody is to answer where the pod has nobody. */
  readonly listen: boolean;
  /** How long silence must last to count as a denial, in milliseconds. */
  readonly silence: number;
}

/** What ought to be answered is waited for longer: the first SYN may be lost on a busy machine, the second comes after a second. */
const DUE_MS = 5000;
const AGAIN_MS = 300;
const AT_ONCE = 200;

export async function holdAgainstPackets(expectations: readonly Expectation[], run: TestRun): Promise<Outcome[]> {
  const turns = new StartQueue(AT_ONCE);
  return Promise.all(expectations.map((each) => outcomeOf(each, run, turns)));
}

async function outcomeOf(expectation: Expectation, run: TestRun, turns: StartQueue): Promise<Outcome> {
  const { engine, directory } = run;
  if (expectation.isStatic) return staticOutcome(expectation, engine, directory);
  const { flows, sources, problems } = casesOf(expectation, engine, directory);
  const { name, dns } = expectation;
  if (problems.length > 0 || (flows.length === 0 && !dns)) return { name, ok: false, why: orNothing(problems) };
  const began = performance.now();
  const asking = dns ? onePerPod(sources).map((source) => () => answerDue(source, dns, expectation, run)) : [];
  const sending = flows.map((flow) => () => flowDue(flow, expectation, run));
  const found = await Promise.all([...asking, ...sending].map((ask) => turns.run(() => again(ask, expectation))));
  const wrong = found.filter(({ ok }) => !ok);
  const shown = wrong.length > 0 ? wrong : found;
  return {
    name,
    ok: wrong.length === 0,
    why: [...shown.slice(0, MOST_SHOWN).flatMap(({ why }) => why), ...moreText(shown.length - MOST_SHOWN)],
    ...(found.some(({ disagrees }) => disagrees) && { disagrees: true }),
    milliseconds: Math.round(performance.now() - began),
  };
}

const MOST_SHOWN = 5;

function moreText(more: number): string[] {
  return more > 0 ? [`and ${more} more`] : [];
}

interface Found {
  readonly ok: boolean;
  readonly why: readonly string[];
  readonly disagrees?: boolean;
}

/** A change that is on its way to the kernel is not a failure yet. */
async function again(ask: () => Promise<Found>, { attempts = 2 }: Expectation): Promise<Found> {
  for (let tried = 1; ; tried++) {
    const found = await ask();
    if (found.ok || tried >= attempts) return found;
    await pause(AGAIN_MS);
  }
}

function onePerPod(sources: readonly Source[]): Source[] {
  return [...new Map(sources.map((source) => [source.name, source])).values()];
}

async function flowDue(flow: FlowCase, expectation: Expectation, run: TestRun): Promise<Found> {
  const from = placeOf(flow.from, run);
  if (!from) return { ok: false, why: [`pod ${flow.from.name} does not run: nothing can be sent from it`] };
  if (flow.protocol === 'SCTP') return ofEngine(flow, expectation);
  const targets: Targets = flow.ip === undefined ? await addressesOfName(flow, from, run) : { ips: [flow.ip] };
  if ('words' in targets) return verdictOn(flow, expectation, { passes: false, words: targets.words });
  const arrivesAt = expectation.http ? [] : await answering(flow, run);
  const isDue = flow.predicted ?? expectation.expect === 'allow';
  const patience = isDue ? DUE_MS : run.silence;
  const { port, protocol } = flow;
  for (const to of targets.ips) {
    const fromIP = familyOf(flow.from.ip) === familyOf(to) ? { fromIP: flow.from.ip } : {};
    const ends = { from, ...fromIP, to, port, patience };
    if (expectation.http) {
      const { path, host = hostOf(flow, to), status } = expectation.http;
      const answer = await askHttp({ ...ends, path, host });
      const due = verdictOn(flow, expectation, { passes: answer.status !== undefined, words: answer.words });
      if (!due.ok || status === undefined || status === answer.status || expectation.expect === 'deny') return due;
      return { ok: false, why: [`${nameOf(flow)}: HTTP ${status} was expected, it is ${answer.words}`] };
    }
    const shot = await shoot({ ...ends, protocol, arrivesAt }, run.listeners);
    if (shot.passes || to === targets.ips.at(-1)) return verdictOn(flow, expectation, shot);
  }
  return { ok: false, why: [`${nameOf(flow)}: there is no address to send to`] };
}

function hostOf({ name, port }: FlowCase, to: IP): string {
  const host = name ?? (to.includes(':') ? `[${to}]` : to);
  return port === 80 ? host : `${host}:${port}`;
}

function ofEngine(flow: FlowCase, { expect }: Expectation): Found {
  const why = [`${nameOf(flow)}: SCTP is not sent, this is the engine's word`, ...flow.why];
  return { ok: flow.predicted === (expect === 'allow'), why };
}

function nameOf({ from, target, ip }: FlowCase): string {
  return `${from.name} (${from.ip}) -> ${target}${ip === undefined || target.startsWith(ip) ? '' : ` (${ip})`}`;
}

/** Both must hold: what was expected, and that packets and policies say the same. */
function verdictOn(flow: FlowCase, { expect }: Expectation, { passes, words, noWay }: Seen): Found {
  const differs = flow.predicted !== undefined && flow.predicted !== passes;
  const disagrees = differs && !noWay;
  const holds = passes === (expect === 'allow');
  const seen = passes ? 'the packet passes' : 'the packet does not pass';
  const head = `${nameOf(flow)}: ${seen}: ${words}`;
  const clash = passes
    ? 'DISAGREEMENT: policies deny it and yet it passes: they are not enforced, or have changed in this moment'
    : 'DISAGREEMENT: policies allow it and yet it does not pass: something else is in the way (podwire check, podwire trace)';
  const what = disagrees
    ? [clash]
    : differs
      ? [`no policy denies it, there only is no way there ("static: true" asks the policies alone)`]
      : [];
  const why = [head, ...flow.why, ...what, ...(holds ? [] : [`${expect} was expected`])];
  return { ok: holds && !differs, why, ...(disagrees && { disagrees }) };
}

function placeOf({ pod, node }: Source, run: TestRun): Place | undefined {
  if (pod) return placed(pod, run);
  return node === undefined ? undefined : placeOfNode(run.cluster, node);
}

function placed(pod: PolicyPod, run: TestRun): Place | undefined {
  const found = run.places.get(pod.key);
  return found && placeOfPod(run.cluster, found);
}

/** Where packets of the flow may arrive; where nobody listens, we do. */
async function answering({ from, backends, protocol }: FlowCase, run: TestRun) {
  const places = backends.flatMap(({ pod, port }) => {
    const netns = placed(pod, run)?.netns;
    const ips = addressesOf(pod, run.engine).filter((ip) => familyOf(ip) === familyOf(from.ip));
    return netns === undefined ? [] : ips.map((ip) => ({ netns, ip, port, protocol: protocol as 'TCP' | 'UDP' }));
  });
  if (run.listen) await Promise.all(places.map((place) => run.listeners.listen(place)));
  return places;
}

type Targets = { readonly ips: readonly IP[] } | { readonly words: string };

async function addressesOfName(flow: FlowCase, from: Place, run: TestRun): Promise<Targets> {
  const { name, from: source } = flow;
  const found = await lookUp(from, resolvConfOf(source, run), name!);
  const service = source.pod && serviceNamed(name!, source.pod.namespace, run.directory);
  if (found.addresses.length > 0) {
    const own = (source.pod ? addressesOf(source.pod, run.engine) : run.engine.nodeIPs(source.node)).map(familyOf);
    const ips = found.addresses.filter((ip) => own.includes(familyOf(ip)));
    if (ips.length > 0) return { ips };
    return { words: `${name} has no address of a family that ${source.name} has` };
  }
  return { words: service && !found.denied ? `${found.words}, though there is such a Service` : found.words };
}

function resolvConfOf({ pod, node }: Source, run: TestRun): ResolvConf {
  const place = pod && run.places.get(pod.key);
  if (!place) return parseResolvConf(node === undefined ? '' : readFileSync('/etc/resolv.conf', 'utf8'));
  return parseResolvConf(readFileSync(etcPath(etcDirOf(run.cluster, place), 'resolv.conf'), 'utf8'));
}

async function answerDue(source: Source, dns: ExpectedDns, { expect }: Expectation, run: TestRun): Promise<Found> {
  const from = placeOf(source, run);
  if (!from) return { ok: false, why: [`pod ${source.name} does not run: nothing can be asked from it`] };
  const { addresses, denied, words } = await lookUp(from, resolvConfOf(source, run), dns.name);
  const said = `${source.name}: ${words}`;
  if (expect === 'deny') return { ok: denied, why: denied ? [said] : [said, 'deny was expected: no answer at all'] };
  const wanted = dns.answers && [...dns.answers].sort().join(', ');
  if (wanted !== undefined) {
    const ok = !denied && wanted === [...addresses].sort().join(', ');
    return { ok, why: ok ? [said] : [said, `${dns.answers!.length > 0 ? wanted : 'no address'} was expected`] };
  }
  return { ok: addresses.length > 0, why: addresses.length > 0 ? [said] : [said, 'an address was expected'] };
}
