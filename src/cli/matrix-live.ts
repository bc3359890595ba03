// Room cli: `podwire policy matrix --live`: a packet for each pair of pods and port, beside what the policies say of it.
import { Listeners } from '../cluster/policy-test/listeners.ts';
import { holdAgainstPackets } from '../cluster/policy-test/run.ts';
import { requireRoot } from '../cluster/root.ts';
import type { DraftObject } from '../objects/types.ts';
import type { Expectation, Outcome } from '../plan/policy/expectations.ts';
import { type AskedPort, type Cell, type Matrix, matrixOf, type PodGroup } from '../plan/policy/matrix.ts';
import { ofObjects } from './policy-source.ts';
import { runningPods } from './policy-test.ts';

export interface LiveCell extends Cell {
  /** Ports of which the packets say otherwise. */
  readonly disagrees: readonly string[];
  readonly why: readonly string[];
}

export interface LiveMatrix {
  readonly groups: readonly PodGroup[];
  readonly cells: readonly LiveCell[];
}

const SILENCE_MS = 1000;

/** The first pod of each kind speaks for all that are like it. */
export async function liveMatrix(
  cluster: string,
  objects: readonly DraftObject[],
  dns: readonly string[],
  ports: readonly AskedPort[],
): Promise<LiveMatrix> {
  requireRoot();
  const { engine, directory } = ofObjects(objects, dns);
  const places = runningPods(objects);
  const { groups, cells } = placed(matrixOf(engine, ports), (pod) => places.has(pod));
  const pods = new Map(groups.map(({ name, pods }) => [name, pods]));
  using listeners = new Listeners();
  const run = { cluster, engine, directory, places, listeners, listen: true, silence: SILENCE_MS };
  const asked = cells.map((cell) => expectationsOf(cell, pods, ports));
  const outcomes = await holdAgainstPackets(asked.flat(), run);
  let at = 0;
  return {
    groups,
    cells: cells.map((cell, i) => {
      const own = outcomes.slice(at, at + asked[i]!.length);
      at += own.length;
      return liveCell(cell, own);
    }),
  };
}

/** Without those of which no packet can be sent. */
function placed({ groups, cells }: Matrix, isPlaced: (pod: string) => boolean): Matrix {
  const kept = groups
    .map(({ name, pods }) => ({ name, pods: pods.filter(isPlaced) }))
    .filter(({ pods }) => pods.length > 0);
  const names = new Set(kept.map(({ name }) => name));
  return { groups: kept, cells: cells.filter(({ from, to }) => names.has(from) && names.has(to)) };
}

function expectationsOf(
  { from, to, allowed }: Cell,
  pods: ReadonlyMap<string, readonly string[]>,
  ports: readonly AskedPort[],
): Expectation[] {
  const [source, target] = [pods.get(from)![0]!, pods.get(to)!.at(from === to ? -1 : 0)!];
  return ports.map((port): Expectation => {
    const name = `${port.protocol} ${port.port}`;
    const isAllowed = allowed === 'all' || (Array.isArray(allowed) && allowed.includes(name));
    return { name, from: source, to: target, ports: [port], expect: isAllowed ? 'allow' : 'deny' };
  });
}

function liveCell(cell: Cell, outcomes: readonly Outcome[]): LiveCell {
  const wrong = outcomes.filter(({ ok }) => !ok);
  return { ...cell, disagrees: wrong.map(({ name }) => name), why: wrong.flatMap(({ why }) => why) };
}
