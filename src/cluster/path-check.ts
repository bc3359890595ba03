// Room cluster: whether every path between the nodes of a running cluster carries the overlay's largest packets, and where not.
import { type Family, familyOf } from '../addr/ip.ts';
import { netnsPath } from '../sys/netns.ts';
import type { CheckRow } from './check.ts';
import type { ClusterConfig } from './config.ts';
import { type NodeLayout, netnsName, nodeLayouts } from './layout.ts';
import { type PathEnd, PathProbe } from './path-probe.ts';
import { onePodPerNode } from './pod-ends.ts';

/** What was found of one path, one way. */
export interface PathReport {
  readonly between: 'nodes' | 'pods';
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  /** Bytes of the IP packets that ought to arrive, and of the largest that do; 0 when none do. */
  readonly wanted: number;
  readonly arrive: number;
  /** Somebody on the way tells the sender so: nothing vanishes silently. */
  readonly told: boolean;
  readonly where: string;
}

/** In a large cluster each node asks some others, of every rack, and is asked by some. */
const MOST_PAIRS = 400;
/** Paths that are looked into; what is wrong with more has the same cause. */
const MOST_REPORTS = 12;
const AT_ONCE = 50;
/** IPv6 has links of no less (RFC 8200), and the config takes no less. */
const LEAST_MTU = 1280;

export async function checkPaths(config: ClusterConfig): Promise<CheckRow[]> {
  const layouts = nodeLayouts(config);
  await using probe = new PathProbe();
  const nodes = layouts.map((layout) => ({ layout, netns: netnsPath(layout.netns), ips: layout.ips }));
  const found = onePodPerNode(config.name, layouts);
  const pods = found.map((pod) => ({ ...pod, layout: layouts.find(({ name }) => name === pod.node)! }));
  const wires = await checkPairs(probe, config, 'nodes', pairsOf(nodes), config.network.mtu);
  const lame = new Set(wires.reports.map(({ from, to, family }) => `${from} ${to} ${family}`));
  const sound = pairsOf(pods).filter(
    ([a, b]) => ![4, 6].some((f) => lame.has(`${a.layout.name} ${b.layout.name} ${f}`)),
  );
  const mtu = Math.min(...pods.map((pod) => pod.mtu));
  const meetings = await checkPairs(probe, config, 'pods', sound, mtu);
  return [...rowsOf(wires, 'nodes', config.network.mtu), ...rowsOf(meetings, 'pods', mtu)];
}

interface Place {
  readonly layout: NodeLayout;
  readonly netns: string;
  readonly ips: readonly string[];
}

type Pair = readonly [from: Place, to: Place];

/** Each with its next ones, as many as there may be: nodes are dealt to racks in turn, so all racks are among them. */
function pairsOf<T extends Place>(places: readonly T[]): (readonly [T, T])[] {
  const reach = Math.min(places.length - 1, Math.max(1, Math.floor(MOST_PAIRS / Math.max(1, places.length))));
  return places.flatMap((from, i) =>
    Array.from({ length: Math.max(0, reach) }, (_, k) => [from, places[(i + k + 1) % places.length]!] as const),
  );
}

interface Found {
  /** Paths asked, each of one family. */
  readonly asked: number;
  readonly failed: number;
  readonly reports: readonly PathReport[];
}

async function checkPairs(
  probe: PathProbe,
  config: ClusterConfig,
  between: PathReport['between'],
  pairs: readonly Pair[],
  wanted: number,
): Promise<Found> {
  const paths = pairs.flatMap(([from, to]) =>
    from.ips.flatMap((ip): Path[] => {
      const far = to.ips.find((each) => familyOf(each) === familyOf(ip));
      if (far === undefined) return [];
      return [{ config, between, wanted, from: endOf(from, ip), to: endOf(to, far), ends: [from.layout, to.layout] }];
    }),
  );
  const failed: Path[] = [];
  for (let i = 0; i < paths.length; i += AT_ONCE) {
    const group = paths.slice(i, i + AT_ONCE);
    const passed = await Promise.all(group.map(({ from, to }) => probe.passes(from, to, wanted)));
    failed.push(...group.filter((_, at) => !passed[at]));
  }
  const reports = await Promise.all(failed.slice(0, MOST_REPORTS).map((path) => lookInto(probe, path)));
  return { asked: paths.length, failed: failed.length, reports };
}

interface Path {
  readonly config: ClusterConfig;
  readonly between: PathReport['between'];
  readonly wanted: number;
  readonly from: PathEnd;
  readonly to: PathEnd;
  readonly ends: readonly [NodeLayout, NodeLayout];
}

function endOf({ layout, netns }: Place, ip: string): PathEnd {
  return { name: layout.name, netns, ip };
}

async function lookInto(probe: PathProbe, path: Path): Promise<PathReport> {
  const { between, from, to, wanted } = path;
  const arrive = await probe.largest(from, to, wanted);
  const told = arrive > 0 && (await probe.isTold(from, to, wanted));
  const where = between === 'nodes' ? await whereOf(probe, path) : 'between the pods';
  return { between, from: from.name, to: to.name, family: familyOf(from.ip), wanted, arrive, told, where };
}

/** The fabric's own addresses stand halfway: what passes one half and not the other is lost there. */
async function whereOf(probe: PathProbe, { config, from, to, wanted, ends }: Path): Promise<string> {
  const halfway = ends.map(({ routers }): PathEnd => {
    const ip = routers.find((each) => familyOf(each) === familyOf(from.ip))!;
    return { name: `the router ${ip}`, netns: netnsPath(netnsName(config.name, 'fabric')), ip };
  }) as [PathEnd, PathEnd];
  const [near, far] = halfway;
  const [there, onward] = await Promise.all([probe.passes(from, near, wanted), probe.passes(far, to, wanted)]);
  const routed = ends[0].rack !== ends[1].rack;
  if (!there) return routed ? `between ${from.name} and ${near.name}` : `at the leg of ${from.name}`;
  if (!onward) return routed ? `between ${far.name} and ${to.name}` : `at the leg of ${to.name}`;
  return routed ? `at ${near.name}` : 'on the segment between them';
}

function rowsOf({ asked, failed, reports }: Found, between: PathReport['between'], wanted: number): CheckRow[] {
  const what = `paths between ${between}`;
  if (asked === 0) {
    const detail =
      between === 'nodes' ? 'there is one node' : 'pods on less than two nodes with sound paths: not asked';
    return [{ what, state: 'ok', detail }];
  }
  if (failed === 0) return [{ what, state: 'ok', detail: `all ${asked} carry packets of ${wanted} bytes` }];
  const more = failed - reports.length;
  return [
    ...reports.map((path) => ({ what: `path ${path.from} -> ${path.to}`, ...judge(path), path })),
    ...(more > 0 ? [{ what, state: 'broken', detail: `${more} more of ${asked} paths are no better` } as const] : []),
  ];
}

function judge({ between, family, wanted, arrive, told, where, from, to }: PathReport): Omit<CheckRow, 'what'> {
  const pods = between === 'pods' ? ' of pods' : '';
  if (arrive === 0) {
    const mend =
      between === 'pods'
        ? 'look for what refuses it: a NetworkPolicy, a firewall, a route that is gone'
        : `podwire node heal ${where.endsWith(to) ? to : from}, or start, if it was cut off`;
    return { state: 'broken', detail: `no IPv${family} packet${pods} arrives: lost ${where}`, mend };
  }
  const set = `set network.mtu: ${arrive}, or have the path carry ${wanted}`;
  const mend = arrive < LEAST_MTU || between === 'pods' ? `have the path carry ${wanted}` : set;
  const than = `IPv${family} packets${pods} of more than ${arrive} bytes`;
  if (told) return { state: 'low', detail: `${than} are refused ${where}, and the sender is told`, mend };
  return { state: 'broken', detail: `${than} vanish ${where}: nobody tells the sender`, mend };
}
