// Test lb: who claims addresses, as the kernel of a host beside the cluster hears it: every answer and announcement, of ARP and of NDP.
import { spawn } from 'node:child_process';
import type { OutsideHost } from '../cluster/outside.ts';

interface NftSet {
  readonly set?: { readonly name: string; readonly elem?: readonly string[] };
}

/** Sees all that comes in on eth0 of the host's namespace, by rules of nft. */
export class Claims {
  readonly #outside: OutsideHost;
  readonly #netns: string;
  readonly #addresses: readonly string[];

  private constructor(outside: OutsideHost, netns: string, addresses: readonly string[]) {
    this.#outside = outside;
    this.#netns = netns;
    this.#addresses = addresses;
  }

  static async watch(outside: OutsideHost, netns: string, addresses: readonly string[]): Promise<Claims> {
    const table = [
      'table netdev claims {',
      ...addresses.map((_, i) => `set seen${i} { type ether_addr; flags dynamic; size 64; }`),
      'chain in {',
      'type filter hook ingress device eth0 priority 0;',
      ...addresses.map((address, i) => `${claimOf(address)} add @seen${i} { ether saddr }`),
      '}',
      '}',
    ];
    await outside.run('nft', [table.join('\n')]);
    return new Claims(outside, netns, addresses);
  }

  /** The MACs that have claimed it since the last forget(). */
  async macs(address: string): Promise<string[]> {
    const text = await this.#outside.run('nft', ['-j', 'list', 'set', 'netdev', 'claims', this.#set(address)]);
    const { nftables } = JSON.parse(text) as { nftables: NftSet[] };
    return nftables.flatMap(({ set }) => set?.elem ?? []).sort();
  }

  async forget(): Promise<void> {
    const flush = this.#addresses.map((address) => `flush set netdev claims ${this.#set(address)}`);
    await this.#outside.run('nft', [flush.join('; ')]);
  }

  #set(address: string): string {
    return `seen${this.#addresses.indexOf(address)}`;
  }

  /** Asks for all addresses again and again while the work goes on. */
  async whileAsked<T>(work: () => Promise<T>): Promise<T> {
    // Bounded, should this process end before them.
    const loops = this.#addresses.map((address) => {
      const script = `while :; do ${askOnce(address)} >/dev/null 2>&1; sleep 0.02; done`;
      const words = [`--net=/run/netns/${this.#netns}`, '--', 'timeout', '120', 'sh', '-c', script];
      return spawn('nsenter', words, { stdio: 'ignore', detached: true });
    });
    try {
      return await work();
    } finally {
      for (const loop of loops) {
        const ended = new Promise((resolve) => loop.once('exit', resolve));
        process.kill(-loop.pid!, 'SIGKILL');
        await ended;
      }
    }
  }

  /** Who answers now: asked a few times. */
  async answering(address: string): Promise<string[]> {
    await this.#outside.run('nft', [`flush set netdev claims ${this.#set(address)}`]);
    for (let i = 0; i < 3; i++) await this.#outside.run('sh', ['-c', `${askOnce(address)} >/dev/null 2>&1 || true`]);
    return this.macs(address);
  }
}

/** Ends with the first answer; whoever else answers is seen all the same. */
function askOnce(address: string): string {
  if (!address.includes(':')) return `arping -f -w 1 -I eth0 ${address}`;
  return `{ ip -6 neigh flush dev eth0; ping -c1 -W1 ${address}; }`;
}

/** What of a frame says that its sender has the address. */
function claimOf(address: string): string {
  if (!address.includes(':')) return `arp saddr ip ${address}`;
  // The target of a neighbour advertisement (RFC 4861, 4.4).
  return `icmpv6 type nd-neighbor-advert @th,64,128 0x${expanded(address)}`;
}

function expanded(address: string): string {
  const [head = '', tail = ''] = address.split('::');
  const words = (text: string) => (text === '' ? [] : text.split(':'));
  const zeros = new Array<string>(8 - words(head).length - words(tail).length).fill('0');
  return [...words(head), ...zeros, ...words(tail)].map((word) => word.padStart(4, '0')).join('');
}
