// Namespaces for the tests of Services: a client outside, a node with two pods, and another node with one, on one bridge.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createNetns, inNetns, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { PeerProcess } from '../peer-process.ts';
import { orUndo } from '../set-up.ts';
import type { Command } from './peer.ts';

const NAMES = ['fabric', 'client', 'node', 'other', 'pod1', 'pod2'] as const;
export type Place = (typeof NAMES)[number];

/** Addresses by place, IPv4 and IPv6. `other` stands for the other node's address, `remote` for its pod's. */
export const ADDRESSES = {
  client: ['172.30.9.1', 'fd00:30::1'],
  node: ['172.30.9.11', 'fd00:30::11'],
  other: ['172.30.9.12', 'fd00:30::12'],
  pod1: ['10.244.1.2', 'fd00:10:244:1::2'],
  pod2: ['10.244.1.3', 'fd00:10:244:1::3'],
  remote: ['10.244.2.2', 'fd00:10:244:2::2'],
} as const;

export class Topology implements Disposable {
  readonly #prefix = `pwt-svc${process.pid}-`;
  readonly #peers = new Map<Place, PeerProcess<Command>>();

  constructor() {
    const undo = () => this[Symbol.dispose]();
    orUndo(undo, () => {
      for (const name of NAMES) createNetns(this.netns(name));
      this.#wire();
      for (const name of NAMES.slice(1)) this.#peers.set(name, this.#spawn(name));
    });
  }

  netns(name: Place): string {
    return netnsPath(`${this.#prefix}${name}`);
  }

  at(name: Place): PeerProcess<Command> {
    return this.#peers.get(name)!;
  }

  /** `ip` or another command inside a namespace. */
  run(name: Place, command: string): string {
    const [file, ...args] = command.split(' ');
    return inNetns(this.netns(name), () =>
      execFileSync(file!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
    );
  }

  #spawn(name: Place): PeerProcess<Command> {
    return new PeerProcess(new URL('./peer.ts', import.meta.url), this.netns(name));
  }

  #wire(): void {
    for (const name of NAMES) {
      const script = this.#script(name);
      inNetns(this.netns(name), () =>
        execFileSync('ip', ['-batch', '-'], { input: script, stdio: ['pipe', 'ignore', 'inherit'] }),
      );
    }
    for (const name of ['node', 'other'] as const) {
      this.#set(name, { 'ipv4/ip_forward': 1, 'ipv6/conf/all/forwarding': 1 });
      // The kernel sends few ICMP errors a second to one host, redirects among them: a refusal must not get lost.
      this.#set(name, { 'ipv4/icmp_ratelimit': 0, 'ipv6/icmp/ratelimit': 0, 'ipv4/conf/all/send_redirects': 0 });
    }
  }

  #set(name: Place, sysctls: Readonly<Record<string, number>>): void {
    inNetns(this.netns(name), () => {
      for (const [key, value] of Object.entries(sysctls)) writeFileSync(`/proc/sys/net/${key}`, `${value}`);
    });
  }

  #script(name: Place): string {
    const lines = ['link set lo up'];
    if (name === 'fabric') {
      // The bridge must not show frames to nftables: there are no rules of ours here, but bridge-nf would track them.
      lines.push('link add name br0 type bridge', 'link set br0 up');
      for (const leg of ['client', 'node', 'other'] as const) {
        lines.push(
          `link add name ${leg} type veth peer name eth0 netns ${this.#prefix}${leg}`,
          `link set ${leg} master br0 up`,
        );
      }
      return lines.join('\n');
    }
    if (name === 'pod1' || name === 'pod2') return lines.join('\n');
    const [v4, v6] = ADDRESSES[name];
    lines.push('link set eth0 up', `addr add ${v4}/24 dev eth0`, `addr add ${v6}/64 dev eth0 nodad`);
    if (name === 'client') {
      // The machine itself: it reaches Services through the node.
      lines.push(
        `route add 10.96.0.0/16 via ${ADDRESSES.node[0]}`,
        `route add fd00:10:96::/112 via ${ADDRESSES.node[1]}`,
      );
    }
    if (name === 'other') {
      const [r4, r6] = ADDRESSES.remote;
      lines.push(`addr add ${r4}/32 dev lo`, `addr add ${r6}/128 dev lo nodad`);
      lines.push(
        `route add 10.244.1.0/24 via ${ADDRESSES.node[0]}`,
        `route add fd00:10:244:1::/64 via ${ADDRESSES.node[1]}`,
      );
    }
    if (name === 'node') {
      lines.push(
        `route add 10.244.2.0/24 via ${ADDRESSES.other[0]}`,
        `route add fd00:10:244:2::/64 via ${ADDRESSES.other[1]}`,
      );
      lines.push(`route add default via ${ADDRESSES.client[0]}`, `route add default via ${ADDRESSES.client[1]}`);
      for (const pod of ['pod1', 'pod2'] as const) lines.push(...this.#podLines(pod));
    }
    return lines.join('\n');
  }

  #podLines(pod: 'pod1' | 'pod2'): string[] {
    const [v4, v6] = ADDRESSES[pod];
    const netns = `${this.#prefix}${pod}`;
    return [
      `link add name ${pod} type veth peer name eth0 netns ${netns}`,
      `link set ${pod} address ee:ee:ee:ee:ee:ee`,
      `link set ${pod} up`,
      `route add ${v4}/32 dev ${pod}`,
      `route add ${v6}/128 dev ${pod}`,
    ];
  }

  /** The pods' own side, once the veths are there. */
  podSide(): void {
    for (const pod of ['pod1', 'pod2'] as const) {
      const [v4, v6] = ADDRESSES[pod];
      const script = [
        'link set eth0 up',
        `addr add ${v4}/32 dev eth0`,
        `addr add ${v6}/128 dev eth0 nodad`,
        'neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent',
        'neigh add fe80::1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent',
        'route add default via 169.254.1.1 dev eth0 onlink',
        'route add default via fe80::1 dev eth0 onlink',
      ].join('\n');
      inNetns(this.netns(pod), () =>
        execFileSync('ip', ['-batch', '-'], { input: script, stdio: ['pipe', 'ignore', 'inherit'] }),
      );
    }
  }

  [Symbol.dispose](): void {
    for (const peer of this.#peers.values()) peer.kill();
    for (const name of NAMES) removeNamespace(this.netns(name));
  }
}
