// `podwire check` on a running cluster: a sound one is called so, and where packets vanish it is named.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { CheckRow } from '../../src/cluster/check.ts';
import type { ClusterConfig } from '../../src/cluster/config.ts';
import { checkPaths } from '../../src/cluster/path-check.ts';
import { clusterSkip, kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { inside, logged, nodeNetns, type OverlayPod, podOn, startCluster } from './overlay-cluster.ts';
import { startStream, switchAlong } from './stream.ts';

const skip = kubectlSkip() ?? clusterSkip() ?? false;
const NETWORK = {
  nodeCIDRs: ['172.30.84.0/24', 'fd00:172:30:84::/64'],
  podCIDRs: ['10.184.0.0/16', 'fd00:10:184::/56'],
  nodePrefixLengths: [24, 64],
  serviceCIDRs: ['10.84.0.0/16', 'fd00:10:84::/112'],
  racks: 2,
};

let machine: Machine;
let pods: OverlayPod[] = [];

before(async () => {
  if (skip) return;
  machine = await Machine.create('paths');
  // node-1 and node-3 are in the first rack, node-2 in the second.
  pods = await startCluster(machine, NETWORK, 3);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const FABRIC = () => nodeNetns(machine, 'fabric');

/** As the command does it: that looks over the machine too, which takes seconds. */
async function checked(): Promise<CheckRow[]> {
  const file = join(machine.state, 'clusters', machine.cluster, 'cluster.json');
  return checkPaths(JSON.parse(readFileSync(file, 'utf8')) as ClusterConfig);
}

/** A firewall that drops what is larger, and tells nobody, for as long as `work` runs. */
async function withHole(netns: string, table: string, chain: string, work: () => Promise<void>): Promise<void> {
  inside(netns, 'nft', `table ${table} hole {\n chain hole {\n ${chain}\n }\n }\n`);
  try {
    await work();
  } finally {
    inside(netns, 'nft', `delete table ${table} hole`);
  }
}

test('a sound cluster is called sound', { skip }, async () => {
  const text = (await machine.podwire('check')).stdout;
  assert.match(text, /paths between nodes +ok +all 12 carry packets of 1500 bytes/);
  assert.match(text, /paths between pods +ok +all 12 carry packets of 1450 bytes/);
});

test('a router that drops large packets silently is named, with the MTU to set', { skip }, async () => {
  const drop = 'type filter hook forward priority 0; ip daddr 172.30.84.139 ip length > 1400 drop;';
  await withHole(FABRIC(), 'ip', drop, async () => {
    const { code, stdout } = await machine.podwire('check', '-o', 'json');
    assert.equal(code, 1);
    const rows = JSON.parse(stdout) as CheckRow[];
    const broken = rows.filter(({ path }) => path?.between === 'nodes');
    assert.deepEqual(broken.map(({ what, state, detail, mend }) => [what, state, detail, mend]).sort(), [
      ['path node-1 -> node-2', 'broken', detail('the router 172.30.84.2'), MEND],
      ['path node-3 -> node-2', 'broken', detail('the router 172.30.84.2'), MEND],
    ]);
    assert.deepEqual(broken[0]!.path!.arrive, 1400);
  });
});

const detail = (where: string) => `IPv4 packets of more than 1400 bytes vanish at ${where}: nobody tells the sender`;
const MEND = 'set network.mtu: 1400, or have the path carry 1500';

test('a leg that carries less is named, in the family that it is of', { skip }, async () => {
  const drop = 'type filter hook ingress device "eth0" priority 0; ip6 length > 1260 drop;';
  await withHole(nodeNetns(machine, 'node-3'), 'netdev', drop, async () => {
    const rows = await checked();
    const lines = rows.flatMap(({ what, detail, path }) => (path?.between === 'nodes' ? `${what}: ${detail}` : []));
    const vanish = 'IPv6 packets of more than 1300 bytes vanish';
    assert.deepEqual(lines.sort(), [
      `path node-1 -> node-3: ${vanish} at the leg of node-3: nobody tells the sender`,
      `path node-2 -> node-3: ${vanish} between the router fd00:172:30:84::2 and node-3: nobody tells the sender`,
    ]);
  });
});

test('a router that tells of its smaller MTU is told from one that is silent', { skip }, async () => {
  inside(FABRIC(), 'ip', 'route', 'add', '172.30.84.139/32', 'dev', 'pw-fabric-2', 'mtu', 'lock', '1400');
  try {
    const rows = await checked();
    const told = rows.filter(({ path }) => path?.between === 'nodes' && path.told);
    assert.deepEqual(told.map(({ what, state }) => [what, state]).sort(), [
      ['path node-1 -> node-2', 'low'],
      ['path node-3 -> node-2', 'low'],
    ]);
    assert.match(told[0]!.detail, /more than 1400 bytes are refused at the router .* and the sender is told/);
  } finally {
    inside(FABRIC(), 'ip', 'route', 'del', '172.30.84.139/32', 'dev', 'pw-fabric-2');
  }
});

test('a node that is cut off is told from one that loses large packets', { skip }, async () => {
  await machine.mustPodwire('node', 'isolate', 'node-2');
  const rows = await checked();
  const row = rows.find(({ what }) => what === 'path node-1 -> node-2')!;
  assert.match(row.detail, /no IPv4 packet arrives: lost between the router 172\.30\.84\.130 and node-2/);
  assert.match(row.mend!, /podwire node heal node-2/);
  await machine.mustPodwire('node', 'heal', 'node-2');
});

test('overlay set between all pairs of backends that carry both families across racks: connections survive', {
  skip,
}, async (t) => {
  const [near, far] = ['node-1', 'node-2'].map((node) => pods.find((pod) => pod.node === node)!) as [
    OverlayPod,
    OverlayPod,
  ];
  await switchAlong(
    t,
    machine,
    ['none', 'udp', 'vxlan', 'udp', 'none', 'vxlan'],
    [
      { from: near, to: far, ip: far.ips[0]! },
      { from: near, to: far, ip: far.ips[1]! },
    ],
  );
});

/** Of the node's route to the other's pods. */
const routeMtus = (node: string, prefixes: readonly string[]) =>
  prefixes.map((prefix) => {
    const text = inside(nodeNetns(machine, node), 'ip', prefix.includes(':') ? '-6' : '-4', 'route', 'show', prefix);
    return Number(text.match(/ mtu (?:lock )?(\d+)/)?.[1]);
  });

/** The router sends no more than 1400 bytes to these addresses, and tells nobody of it, for as long as `work` runs. */
async function withNarrowRouter(routes: readonly (readonly string[])[], work: () => Promise<void>): Promise<void> {
  const silence =
    'type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop;';
  const each = (verb: string) => {
    for (const route of routes) inside(FABRIC(), 'ip', 'route', verb, ...route, 'mtu', 'lock', '1400');
  };
  await withHole(FABRIC(), 'inet', silence, async () => {
    each('replace');
    try {
      await work();
    } finally {
      each('del');
    }
  });
}

for (const [backend, room, number] of [
  ['vxlan', 1350, 4],
  ['none', 1400, 6],
] as const) {
  test(`${backend}: pods meet at once through a router of a smaller MTU that tells nobody`, { skip }, async () => {
    await machine.mustPodwire('overlay', 'set', backend);
    // Every second node is of the other rack.
    if (number === 6) await machine.mustPodwire('node', 'add');
    const name = `node-${number}`;
    const place = 10 + number / 2;
    const routes = [
      [`172.30.84.${128 + place}/32`, 'dev', 'pw-fabric-2'],
      [`fd00:172:30:84:8000::${place.toString(16)}/128`, 'dev', 'pw-fabric-2'],
      ['172.30.84.11/32', 'dev', 'pw-fabric'],
      ['fd00:172:30:84::b/128', 'dev', 'pw-fabric'],
    ];
    await withNarrowRouter(routes, async () => {
      await machine.mustPodwire('node', 'add');
      const far = await podOn(machine, name, `far-${number}`);
      const near = pods.find(({ node }) => node === 'node-1')!;
      const known = (node: string, ...prefixes: string[]) =>
        until(`${node} knows what the way carries`, async () =>
          isDeepStrictEqual(routeMtus(node, prefixes), [room, room]),
        );
      await known('node-1', `10.184.${number - 1}.0/24`, `fd00:10:184:${number - 1}::/64`);
      await known(name, '10.184.0.0/24', 'fd00:10:184::/64');
      const before = fragments();
      assert.ok(Number.isInteger(before));
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        for (const ip of to.ips) {
          await using stream = await startStream(from, to, ip);
          await stream.goesOn(1 << 20);
        }
      }
      assert.equal(fragments(), before);
      await logged(machine, new RegExp(`"to":"${name}".*the way to a node carries less than its link`));
    });
  });
}

/** What the router has cut in pieces so far. */
function fragments(): number {
  const [names, values] = inside(FABRIC(), 'grep', '^Ip:', '/proc/net/snmp')
    .split('\n')
    .map((line) => line.split(' '));
  return Number(values![names!.indexOf('FragCreates')]);
}
