// Room kernel: what every kernel must do, as tests: run over the fake in memory and over the real one in fresh namespaces.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityOf, satisfies } from './identity.ts';
import type { KernelItem, Link, NetnsPath, Route } from './items.ts';
import type { Kernel, KernelError, Transaction } from './kernel.ts';

export interface Subject extends Disposable {
  readonly kernel: Kernel;
  /** A namespace beside the kernel's own, empty. */
  readonly pod: NetnsPath;
  /** What read() would tell of that namespace. */
  readPod(): KernelItem[];
}

/** A transaction that only adds. */
export function adding(...add: KernelItem[]): Transaction {
  return { add, change: [], remove: [] };
}

export function removing(...remove: KernelItem[]): Transaction {
  return { add: [], change: [], remove };
}

export function changing(from: KernelItem, to: KernelItem): Transaction {
  return { add: [], change: [{ from, to }], remove: [] };
}

const bridge: Link = {
  kind: 'link',
  name: 'pwbr',
  mtu: 1500,
  mac: '02:00:00:00:00:01',
  up: true,
  type: { kind: 'bridge' },
};
const vxlan: Link = {
  kind: 'link',
  name: 'pw-vxlan',
  mtu: 1450,
  mac: '02:00:00:00:00:02',
  up: true,
  type: { kind: 'vxlan', vni: 1, local: '172.30.0.11', port: 8472 },
};
const vethTo = (netns: NetnsPath): Link => ({
  kind: 'link',
  name: 'pwveth',
  mtu: 1450,
  mac: 'ee:ee:ee:ee:ee:ee',
  up: true,
  type: { kind: 'veth', peer: { name: 'pwpeer', netns, mac: '02:00:00:00:00:03' } },
});
const onBridge = { link: 'pwbr' } as const;
const address = { kind: 'address', ...onBridge, address: '172.30.0.1/24' } as const;
const route: Route = { kind: 'route', dst: '10.244.1.0/24', type: 'unicast', via: '172.30.0.11', ...onBridge };
const neighbour = { kind: 'neighbour', ...onBridge, ip: '172.30.0.9', mac: '02:00:00:00:00:09' } as const;
const fdb = { kind: 'fdb', link: 'pw-vxlan', mac: '02:00:00:00:00:0a', dst: '172.30.0.12' } as const;

export function assertHolds(read: readonly KernelItem[], ...wanted: KernelItem[]): void {
  const have = new Map(read.map((item) => [identityOf(item), item]));
  for (const want of wanted) {
    const item = have.get(identityOf(want));
    if (!item || !satisfies(item, want)) assert.deepEqual(item, want);
  }
  assert.deepEqual([...have.keys()].toSorted(), wanted.map((item) => identityOf(item)).toSorted());
}

function refuses(kernel: Kernel, transaction: Transaction, code: string): void {
  assert.throws(
    () => kernel.apply(transaction),
    (error: KernelError) => error.name === 'KernelError' && error.code === code,
    `expected ${code}`,
  );
}

type Law = (subject: Subject) => void;

const LAWS: Record<string, Law> = {
  'a token bucket is put on a link, changed, put again, and taken away twice': ({ kernel }) => {
    const bucket = { kind: 'bucket', link: 'pwbr', rate: 1e6, burst: 1e5, limit: 2e5 } as const;
    kernel.apply(adding(bridge, bucket));
    kernel.apply(changing(bucket, { ...bucket, rate: 2e6 }));
    kernel.apply(adding(bucket));
    kernel.apply(removing(bucket));
    kernel.apply(removing(bucket));
    kernel.apply(removing(bridge, bucket));
    assertHolds(kernel.read());
    refuses(kernel, adding({ ...bucket, link: 'pw-none' }), 'ENODEV');
  },

  'a fresh namespace holds nothing of ours': ({ kernel }) => assertHolds(kernel.read()),

  'what is added is read back, link kinds and all that hangs on them': ({ kernel }) => {
    const items = [fdb, route, neighbour, address, vxlan, bridge];
    kernel.apply(adding(...items));
    assertHolds(kernel.read(), ...items);
  },

  'adding what is there changes nothing': ({ kernel }) => {
    const items = [bridge, vxlan, address, route, neighbour, fdb];
    kernel.apply(adding(...items));
    kernel.apply(adding(...items));
    assertHolds(kernel.read(), ...items);
  },

  'removing all leaves nothing, and removing what is gone succeeds': ({ kernel }) => {
    const items = [bridge, vxlan, address, route, neighbour, fdb];
    kernel.apply(adding(...items));
    kernel.apply(removing(...items));
    assertHolds(kernel.read());
    kernel.apply(removing(...items));
    assertHolds(kernel.read());
  },

  'one thing on a link is removed and the rest stays': ({ kernel }) => {
    kernel.apply(adding(bridge, vxlan, address, route, neighbour, fdb));
    kernel.apply(removing(route, fdb));
    assertHolds(kernel.read(), bridge, vxlan, address, neighbour);
    kernel.apply(removing(neighbour, address));
    assertHolds(kernel.read(), bridge, vxlan);
  },

  'a link takes along all that is on it': ({ kernel }) => {
    kernel.apply(adding(bridge, address, neighbour, route));
    kernel.apply(removing(bridge, route));
    assertHolds(kernel.read());
  },

  'a removed link can be added again at once': ({ kernel }) => {
    kernel.apply(adding(vxlan, fdb));
    kernel.apply(removing(vxlan, fdb));
    kernel.apply(adding(vxlan));
    assertHolds(kernel.read(), vxlan);
  },

  'a veth is born with its other end in the pod, and both go together': ({ kernel, pod, readPod }) => {
    const veth = vethTo(pod);
    const toPod: Route = { kind: 'route', dst: '10.244.0.7/32', type: 'unicast', link: 'pwveth' };
    const there = { netns: pod, link: 'pwpeer' } as const;
    const inPod: KernelItem[] = [
      { kind: 'link', netns: pod, name: 'pwpeer', mtu: 1450, up: true, type: { kind: 'existing' } },
      { kind: 'address', ...there, address: '10.244.0.7/32' },
      { kind: 'neighbour', ...there, ip: '169.254.1.1', mac: 'ee:ee:ee:ee:ee:ee' },
      { kind: 'route', ...there, dst: '0.0.0.0/0', type: 'unicast', via: '169.254.1.1', onlink: true },
    ];
    kernel.apply(adding(...inPod, toPod, veth));
    assertHolds(kernel.read(), veth, toPod);
    const seen = readPod();
    assert.deepEqual(seen.map((item) => item.kind).toSorted(), ['address', 'link', 'neighbour', 'route']);
    const link = seen.find((item) => item.kind === 'link');
    assert.deepEqual([link?.mac, link?.mtu, link?.up], ['02:00:00:00:00:03', 1450, true]);
    kernel.apply(removing(veth, toPod, ...inPod));
    assertHolds(kernel.read());
  },

  'a link of a namespace is seen before it is made and after': ({ kernel, pod, readPod }) => {
    const inPod: KernelItem = { kind: 'address', netns: pod, link: 'pwpeer', address: '10.244.0.7/32' };
    assert.deepEqual([kernel.hasLink(pod, 'pwpeer'), kernel.hasLink(pod, 'lo')], [false, true]);
    kernel.apply(adding(vethTo(pod), inPod));
    assert.equal(kernel.hasLink(pod, 'pwpeer'), true);
    kernel.apply(adding(inPod));
    assert.deepEqual(
      readPod()
        .map((item) => item.kind)
        .toSorted(),
      ['address', 'link'],
    );
  },

  'a pod wired again, as after a restart, keeps its device': ({ kernel, pod, readPod }) => {
    const veth = vethTo(pod);
    const inPod: KernelItem = { kind: 'address', netns: pod, link: 'pwpeer', address: '10.244.0.7/32' };
    kernel.apply(adding(veth, inPod));
    const before = readPod();
    kernel.apply(adding(veth, inPod));
    assert.deepEqual(readPod(), before);
  },

  'a namespace that does not exist is ENOENT to add to, and nothing to remove from': ({ kernel }) => {
    const nowhere = '/run/netns/pwt-nowhere';
    refuses(kernel, adding(vethTo(nowhere)), 'ENOENT');
    const lost: KernelItem = { kind: 'address', netns: nowhere, link: 'eth0', address: '10.244.0.7/32' };
    refuses(kernel, adding(lost), 'ENOENT');
    kernel.apply(removing(lost));
  },

  'things on a link that is not there are ENODEV': ({ kernel }) => {
    for (const item of [address, neighbour, fdb, route]) refuses(kernel, adding(item), 'ENODEV');
    refuses(kernel, adding({ ...vxlan, master: 'pwbr' }), 'ENODEV');
    refuses(kernel, adding({ ...bridge, name: 'pwgone', type: { kind: 'existing' } }), 'ENODEV');
  },

  'a gateway must be reachable unless it is said to be on the link': ({ kernel }) => {
    const alone = { ...address, address: '172.31.0.1/32' };
    kernel.apply(adding(bridge, alone));
    refuses(kernel, adding(route), 'ENETUNREACH');
    kernel.apply(adding({ ...route, onlink: true }));
    assertHolds(kernel.read(), bridge, alone, { ...route, onlink: true });
  },

  'no route leads over a link that is down': ({ kernel }) => {
    kernel.apply(adding({ ...bridge, up: false }));
    refuses(kernel, adding({ ...route, onlink: true }), 'ENETDOWN');
  },

  'a name beyond 15 bytes is refused': ({ kernel }) => {
    refuses(kernel, adding({ ...bridge, name: 'pw-sixteen-bytes' }), 'ERANGE');
  },

  'settings of a link change in place': ({ kernel }) => {
    kernel.apply(adding(bridge, vxlan, fdb));
    const small: Link = { ...vxlan, mtu: 1400, mac: '02:00:00:00:00:22' };
    kernel.apply(changing(vxlan, small));
    assertHolds(kernel.read(), bridge, small, fdb);
    const low: Link = { ...bridge, mtu: 1450 };
    const port: Link = { ...vxlan, master: 'pwbr' };
    kernel.apply({
      add: [],
      change: [
        { from: bridge, to: low },
        { from: small, to: port },
      ],
      remove: [],
    });
    assertHolds(kernel.read(), low, port, fdb);
    kernel.apply(changing(port, vxlan));
    assertHolds(kernel.read(), low, vxlan, fdb);
  },

  'a VXLAN device with another local address is a new device': ({ kernel }) => {
    kernel.apply(adding(vxlan, fdb));
    const to: Link = { ...vxlan, type: { kind: 'vxlan', vni: 1, local: '172.30.0.99', port: 8472 } };
    kernel.apply({ add: [fdb], change: [{ from: vxlan, to }], remove: [] });
    assertHolds(kernel.read(), to, fdb);
  },

  'a link of ours that is of another kind makes way': ({ kernel }) => {
    kernel.apply(adding({ ...vxlan, name: 'pwbr' }));
    kernel.apply(adding(bridge));
    assertHolds(kernel.read(), bridge);
  },

  'routes, neighbours and forwarding entries change in place': ({ kernel }) => {
    kernel.apply(adding(bridge, address, vxlan, route, neighbour, fdb));
    const changes = [
      { from: route, to: { ...route, via: '172.30.0.12', mtu: 1400, src: '172.30.0.1' } },
      { from: neighbour, to: { ...neighbour, mac: '02:00:00:00:00:99' } },
      { from: fdb, to: { ...fdb, dst: '172.30.0.13' } },
    ];
    kernel.apply({ add: [], change: changes, remove: [] });
    assertHolds(kernel.read(), bridge, address, vxlan, ...changes.map((change) => change.to));
  },

  'a route becomes unreachable in place': ({ kernel }) => {
    kernel.apply(adding(bridge, address, route));
    const to: Route = { kind: 'route', dst: route.dst, type: 'unreachable' };
    kernel.apply(changing(route, to));
    assertHolds(kernel.read(), bridge, address, to);
  },

  'routes to one place with other metrics stand side by side': ({ kernel }) => {
    const last: Route = { kind: 'route', dst: route.dst, type: 'unreachable', metric: 9999 };
    kernel.apply(adding(last, bridge, address, route));
    assertHolds(kernel.read(), last, bridge, address, route);
    kernel.apply(removing(route));
    assertHolds(kernel.read(), last, bridge, address);
  },

  'an address is the node’s own by a local route, and IPv6 neighbours are answered for it': ({ kernel }) => {
    const local = (dst: string): Route => ({ kind: 'route', dst, type: 'local', link: 'lo' });
    const proxy = { kind: 'proxy', link: 'pwbr', ip: 'fd00:10:30::200' } as const;
    const loUp = { kind: 'link', name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } } as const;
    kernel.apply(adding(loUp, bridge, local('172.30.0.200/32'), local('fd00:10:30::200/128'), proxy));
    assertHolds(kernel.read(), bridge, local('172.30.0.200/32'), local('fd00:10:30::200/128'), proxy);
    kernel.apply(adding(local('172.30.0.200/32'), proxy));
    kernel.apply(removing(local('172.30.0.200/32'), local('fd00:10:30::200/128'), proxy));
    kernel.apply(removing(proxy));
    assertHolds(kernel.read(), bridge);
  },

  'IPv6 addresses, routes and neighbours': ({ kernel }) => {
    const items: KernelItem[] = [
      bridge,
      { kind: 'address', ...onBridge, address: 'fd00:10:30::1/64' },
      { kind: 'route', dst: 'fd00:10:244:1::/64', type: 'unicast', via: 'fd00:10:30::11', ...onBridge },
      { kind: 'route', dst: 'fd00:10:244::/56', type: 'unreachable', metric: 9999 },
      { kind: 'neighbour', ...onBridge, ip: 'fd00:10:30::9', mac: '02:00:00:00:00:09' },
    ];
    kernel.apply(adding(...items));
    assertHolds(kernel.read(), ...items);
    kernel.apply(adding(...items));
    assertHolds(kernel.read(), ...items);
    kernel.apply(removing(...items));
    assertHolds(kernel.read());
  },

  'an address without a route for its prefix reaches nobody by it': ({ kernel }) => {
    const alone = { ...address, noPrefixRoute: true };
    kernel.apply(adding(bridge, alone));
    assertHolds(kernel.read(), bridge, alone);
  },

  'one transaction adds, changes and removes': ({ kernel }) => {
    kernel.apply(adding(bridge, address, route, neighbour));
    const to = { ...neighbour, mac: '02:00:00:00:00:77' };
    kernel.apply({ add: [vxlan, fdb], change: [{ from: neighbour, to }], remove: [route] });
    assertHolds(kernel.read(), bridge, address, vxlan, fdb, to);
  },
};

/** Declares one test for each law. `open` gives a fresh subject. */
export function kernelContract(name: string, open: () => Subject, skip: string | false = false): void {
  for (const [law, check] of Object.entries(LAWS)) {
    test(`${name}: ${law}`, { skip }, () => {
      using subject = open();
      check(subject);
    });
  }
}
