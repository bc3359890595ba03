// The real kernel obeys the contract, in namespaces of its own.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { adding, kernelContract } from '../../src/kernel/contract.ts';
import type { KernelItem } from '../../src/kernel/items.ts';
import { openKernel } from '../../src/kernel/linux.ts';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
let count = 0;

kernelContract(
  'linux',
  () => {
    const [own, pod] = ['node', 'pod'].map((role) => netnsPath(`pwt-kernel-${process.pid}-${role}-${count++}`)) as [
      string,
      string,
    ];
    createNetns(own);
    createNetns(pod);
    const kernel = openKernel({ netns: own });
    return {
      kernel,
      pod,
      readPod: () => {
        const there = openKernel({ netns: pod });
        try {
          return there.read();
        } finally {
          there.close();
        }
      },
      [Symbol.dispose]: () => {
        kernel.close();
        removeNamespace(own);
        removeNamespace(pod);
      },
    };
  },
  skip,
);

test('sysctls are set in the namespace that they name, and an unknown key is ENOENT unless it may be lacking', {
  skip,
}, () => {
  const [own, pod] = ['node', 'pod'].map((role) => netnsPath(`pwt-kernel-${process.pid}-sysctl-${role}`)) as [
    string,
    string,
  ];
  createNetns(own);
  createNetns(pod);
  const kernel = openKernel({ netns: own });
  const key = 'net/ipv4/ip_forward';
  const value = (netns: string) => inNetns(netns, () => readFileSync(`/proc/sys/${key}`, 'utf8').trim());
  try {
    const before = readFileSync(`/proc/sys/${key}`, 'utf8');
    kernel.apply(adding({ kind: 'sysctl', key, value: '1' }, { kind: 'sysctl', netns: pod, key, value: '0' }));
    assert.deepEqual([value(own), value(pod)], ['1', '0']);
    kernel.apply(adding({ kind: 'sysctl', netns: pod, key, value: '1' }));
    assert.equal(value(pod), '1');
    assert.equal(readFileSync(`/proc/sys/${key}`, 'utf8'), before);
    const unknown = { kind: 'sysctl', key: 'net/ipv4/no_such_key', value: '1' } as const;
    assert.throws(() => kernel.apply(adding(unknown)), { name: 'KernelError', code: 'ENOENT' });
    kernel.apply(adding({ ...unknown, optional: true }));
  } finally {
    kernel.close();
    removeNamespace(own);
    removeNamespace(pod);
  }
});

interface IpLink {
  readonly ifname: string;
  readonly num_tx_queues: number;
  readonly num_rx_queues: number;
  readonly addr_info: readonly { readonly family: string }[];
}

test('a veth has one queue, and no IPv6 address where none is wanted; its rp_filter is set with it, also when a remnant is replaced', {
  skip,
}, () => {
  const [own, pod] = ['node', 'pod'].map((role) => netnsPath(`pwt-kernel-${process.pid}-veth-${role}`)) as [
    string,
    string,
  ];
  createNetns(own);
  createNetns(pod);
  const kernel = openKernel({ netns: own });
  const ends = (name: string, ifname: string, mtu: number, none: object): KernelItem[] => [
    { kind: 'link', name, mtu, up: true, ...none, type: { kind: 'veth', peer: { name: ifname, netns: pod } } },
    { kind: 'sysctl', key: `net/ipv4/conf/${name}/rp_filter`, value: '1' },
    { kind: 'link', netns: pod, name: ifname, mtu, up: true, ...none, type: { kind: 'existing' } },
  ];
  const none = { linkLocal: false };
  const look = (netns: string, name: string): IpLink => {
    const words = ['-n', netns.split('/').at(-1)!, '-j', '-d', 'address', 'show', name];
    return JSON.parse(execFileSync('ip', words, { encoding: 'utf8' }))[0];
  };
  const queues = ({ num_tx_queues, num_rx_queues }: IpLink) => [num_tx_queues, num_rx_queues];
  const filter = (name: string) =>
    inNetns(own, () => readFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, 'utf8').trim());
  try {
    // Below 1280 the kernel has no IPv6 on a link at all, as where IPv6 is off.
    kernel.apply(adding(...ends('pw1', 'eth0', 1450, none), ...ends('pw2', 'eth1', 1000, none)));
    kernel.apply(adding(...ends('pw3', 'eth2', 1450, {})));
    for (const link of [look(own, 'pw1'), look(pod, 'eth0'), look(own, 'pw2'), look(pod, 'eth1')]) {
      assert.deepEqual([link.ifname, queues(link), link.addr_info], [link.ifname, [1, 1], []]);
    }
    for (const link of [look(own, 'pw3'), look(pod, 'eth2')]) {
      assert.deepEqual(
        link.addr_info.map(({ family }) => family),
        ['inet6'],
      );
    }
    assert.deepEqual(['pw1', 'pw2', 'pw3'].map(filter), ['1', '1', '1']);
    execFileSync('ip', ['-n', own.split('/').at(-1)!, 'link', 'add', 'pw4', 'type', 'bridge']);
    kernel.apply(adding(...ends('pw4', 'eth3', 1450, none)));
    assert.deepEqual([filter('pw4'), look(own, 'pw4').addr_info, look(pod, 'eth3').addr_info], ['1', [], []]);
  } finally {
    kernel.close();
    removeNamespace(own);
    removeNamespace(pod);
  }
});

test('of what is put again as it is nobody is told', { skip }, async () => {
  const own = netnsPath(`pwt-kernel-${process.pid}-again`);
  createNetns(own);
  const kernel = openKernel({ netns: own });
  const link = 'pwbr';
  const marker = (host: number) => ({ kind: 'address', link, address: `192.0.2.${host}/32` }) as const;
  const items = [
    { kind: 'link', name: link, mtu: 1500, mac: '02:00:00:00:00:01', up: true, type: { kind: 'bridge' } },
    { kind: 'address', link, address: '172.30.0.11/24' },
    { kind: 'address', link, address: 'fd00:172:30::b/64' },
    { kind: 'neighbour', link, ip: '172.30.0.12', mac: '02:00:00:00:00:02' },
    { kind: 'route', dst: '10.244.1.0/24', type: 'unicast', link, via: '172.30.0.12' },
  ] as const;
  const monitor = spawn('nsenter', [`--net=${own}`, 'ip', 'monitor', 'address', 'link', 'neigh', 'route']);
  let heard = '';
  monitor.stdout.setEncoding('utf8').on('data', (text: string) => {
    heard += text;
  });
  try {
    kernel.apply(adding(...items));
    for (let host = 1; !heard.includes('192.0.2.'); host++) {
      kernel.apply(adding(marker(host)));
      await setTimeout(20);
    }
    const mark = async (host: number) => {
      kernel.apply(adding(marker(host)));
      while (!heard.includes(`192.0.2.${host}/32`)) await setTimeout(5);
    };
    await mark(200);
    heard = '';
    kernel.apply(adding(...items));
    await mark(201);
    const ours = heard.split('\n').filter((line) => /172\.30\.0\.1|fd00:172:30::b|10\.244\.1\.0/.test(line));
    assert.deepEqual(ours, []);
  } finally {
    monitor.kill();
    kernel.close();
    removeNamespace(own);
  }
});
