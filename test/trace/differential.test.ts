// Random clusters, policies, Services and flows: what `podwire trace` says, what the API's text says and what a real packet does are one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { Way } from '../../src/trace/hop.ts';
import { traceFlow } from '../../src/trace/walker.ts';
import { PacketWorld, type Seen } from './packet-world.ts';
import { outcomesOf } from './reference.ts';
import { flow, type TraceFlow, world } from './worlds.ts';

const missing = ['ip', 'nft'].filter((tool) => spawnSync(tool, ['-V']).error !== undefined);
const skip =
  process.getuid?.() !== 0
    ? 'needs root for network namespaces'
    : missing.length > 0
      ? `needs ${missing.join(', ')}`
      : false;

/** 10,000 flows. */
const CLUSTERS = 50;
const FLOWS = 200;
const LIMIT_MS = 180_000;
const seed = Number(process.env['PODWIRE_SEED'] ?? Date.now() % 2 ** 31);

describe(`trace, reference and packets (seed ${seed})`, { skip }, () => {
  let packets: PacketWorld;
  let count = 0;
  before(() => {
    packets = new PacketWorld();
  });
  after(() => packets?.[Symbol.dispose]());

  test(`${CLUSTERS * FLOWS} flows`, async (t) => {
    const flows = fc.array(flow, { minLength: FLOWS, maxLength: FLOWS });
    const property = fc.asyncProperty(world, flows, async (cluster, asked) => {
      const traced = packets.clusterOf(cluster);
      const predicted = asked.map(({ src, dst, port, protocol }) => {
        return traceFlow(traced, { from: src, to: dst, packet: { src, dst, port, protocol } }).ways;
      });
      packets.program(traced);
      const seen = await packets.send(asked, (i) => predicted[i]!.some(({ ending }) => UNTOLD.includes(ending.kind)));
      count += asked.length;
      const wrong = asked.flatMap((each, i) =>
        differences(each, outcomesOf(cluster, each), predicted[i]!, seen[i]!, traced),
      );
      assert.deepEqual(wrong, []);
    });
    // A slow machine tries fewer; of a difference the smallest world that is found in this time is told.
    await fc.assert(property, { numRuns: CLUSTERS, seed, interruptAfterTimeLimit: LIMIT_MS });
    t.diagnostic(`${count} flows`);
  });
});

type Cluster = ReturnType<PacketWorld['clusterOf']>;

/** The kernel tells of ways that there are not a few times a second only (ip_error): such a packet may seem lost. */
const UNTOLD = ['lost', 'unreachable'];

function differences(
  asked: TraceFlow,
  reference: ReadonlySet<string>,
  ways: readonly Way[],
  seen: Seen,
  cluster: Cluster,
): string[] {
  const name = `${asked.src} -> ${asked.dst}:${asked.port}/${asked.protocol}`;
  const said = new Set(ways.map(outcomeOf));
  const real = realOutcome(seen, cluster);
  const where = seen.endedOn.at(-1);
  const isSaid =
    real === 'lost'
      ? ways.some(({ ending, hops }) => UNTOLD.includes(ending.kind) && hops.at(-1)!.node === where)
      : said.has(real);
  const words = [...said].join(' | ');
  return [
    ...(same(said, reference) ? [] : [`${name}: trace says ${words}, the API ${[...reference].join(' | ')}`]),
    ...(isSaid ? [] : [`${name}: trace says ${words}, the packet ${real} ${where ?? ''}`]),
  ];
}

function outcomeOf({ ending: { kind, at, packet } }: Way): string {
  return kind === 'delivered' ? `delivered ${at}:${packet.port} from ${packet.src}` : kind;
}

function realOutcome({ result, endedOn }: Seen, cluster: Cluster): string {
  if (!result || result.outcome === 'no answer') return endedOn.length > 0 ? 'lost' : 'never seen';
  if (result.outcome !== 'connected') return result.outcome;
  const { at, port, from } = JSON.parse(result.answer!) as { at: string; port: number; from: string };
  const { namespace, name } = cluster.podAt(at)!.pod.metadata;
  return `delivered ${namespace}/${name}:${port} from ${from}`;
}

function same(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each));
}
