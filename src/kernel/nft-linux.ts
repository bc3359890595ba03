// Room kernel: the tables of ours in a network namespace, over a NETLINK_NETFILTER socket.

import { errnoName, SysError } from '../sys/ffi.ts';
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import { decodeStatus, type NetlinkMessage, NLMSG_ERROR } from '../wire/netlink/message.ts';
import { encodeBatch, type NftBatch, type NftChanges, type NftOperation } from '../wire/nft/batch.ts';
import {
  decodeChain,
  decodeCounts,
  decodeElements,
  decodeGeneration,
  decodeRule,
  decodeSet,
  decodeTable,
  dumpBody,
  isOfTable,
} from '../wire/nft/dump.ts';
import { hasIntervals } from '../wire/nft/interval.ts';
import {
  type NftChain,
  type NftCount,
  type NftElement,
  type NftItem,
  type NftSet,
  type NftTable,
  nftIdentity,
} from '../wire/nft/items.ts';
import { lookUpBody } from '../wire/nft/look-up.ts';
import { CHAIN, ELEMENT_LIST, GENERATION, message, RULE, SET, TABLE } from '../wire/nft/message.ts';
import type { NftRule } from '../wire/nft/rule.ts';
import { KernelError } from './kernel.ts';
import type { NftBackend, NftChange, NftFrame, OpenNft } from './nft.ts';

/** Tables with this prefix and all in them are ours; every other is never touched. */
const OURS = 'podwire';

export const openNft: OpenNft = (netns) => new LinuxNft(netns, true);

/** As on a kernel before 6.3, which has no NFT_MSG_DESTROY…: for tests on a newer one. */
export const openNftWithoutDestroy: OpenNft = (netns) => new LinuxNft(netns, false);

interface Refusal {
  readonly operation: NftOperation | undefined;
  readonly code: string;
  readonly text: string | undefined;
}

class LinuxNft implements NftBackend {
  readonly #netns: string | undefined;
  readonly #socket: NetlinkSocket;
  /** Types of keys and data, by set: elements are encoded with them. */
  readonly #sets = new Map<string, NftSet>();
  /** Until a kernel before 6.3 says that it does not know NFT_MSG_DESTROY…. */
  #destroy: boolean;
  /** The generation that our own commits should have led to. */
  #generation: number | undefined;

  constructor(netns: string | undefined, destroy: boolean) {
    this.#netns = netns;
    this.#socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
    this.#destroy = destroy;
  }

  read(): NftItem[] {
    const frame = this.readFrame();
    const sets = frame.filter((item) => item.kind === 'set' && isPlanned(item)) as NftSet[];
    return [...frame, ...sets.flatMap((set) => this.#readElements(set))];
  }

  readFrame(): NftFrame[] {
    const tables = this.#dump(TABLE.GET, undefined, decodeTable).filter(({ table }) => table.startsWith(OURS));
    return tables.flatMap((table) => [table, ...this.#readTable(table)]);
  }

  #readTable(table: NftTable): (NftSet | NftChain)[] {
    const rules = Map.groupBy(this.#dump(RULE.GET, table, decodeRule), ({ chain }) => chain);
    const rulesOf = (chain: string): NftRule[] => (rules.get(chain) ?? []).map(({ rule }) => rule);
    // GETCHAIN's dump gives the chains of all tables, with hooks among them that none of ours has.
    const chains = this.#dump(CHAIN.GET, table, (body) => (isOfTable(body, table) ? decodeChain(body) : undefined));
    const sets = this.#dump(SET.GET, table, decodeSet);
    for (const set of sets) this.#sets.set(nftIdentity(set), set);
    return [...sets, ...chains.map((chain) => ({ ...chain, rules: rulesOf(chain.chain) }))];
  }

  async *elementsOf(set: NftSet): AsyncGenerator<readonly NftElement[]> {
    if (!isPlanned(set)) return;
    // Nothing else may be asked of a socket while a pool thread waits in it.
    using walker = new NetlinkSocket(NETLINK.NETFILTER, this.#netns);
    const request = { type: message(ELEMENT_LIST.GET), flags: 0, body: dumpBody(set) };
    const whole: Uint8Array[] = [];
    for await (const messages of walker.dumpInPool(request)) {
      const bodies = messages.map(({ body }) => body);
      // An interval ends where the next bound stands.
      if (hasIntervals(set)) whole.push(...bodies);
      else yield decodeElements(bodies, set);
    }
    if (whole.length > 0) yield decodeElements(whole, set);
  }

  lookUp(elements: readonly NftElement[]): (NftElement | undefined)[] {
    const [ofIntervals, plain] = [[] as NftElement[], [] as NftElement[]];
    for (const element of elements) (hasAnyIntervals(this.#setOf(element)) ? ofIntervals : plain).push(element);
    const found = new Map<string, NftElement>();
    for (const set of new Set(ofIntervals.map((element) => this.#setOf(element))))
      for (const element of this.#readElements(set)) found.set(nftIdentity(element), element);
    for (const element of this.#ask(plain)) found.set(nftIdentity(element), element);
    return elements.map((element) => found.get(nftIdentity(element)));
  }

  #ask(elements: readonly NftElement[]): NftElement[] {
    const sets = elements.map((element) => this.#setOf(element));
    const type = message(ELEMENT_LIST.GET);
    const requests = elements.map((element, i) => ({ type, flags: 0, body: lookUpBody(element, sets[i]!) }));
    return this.#socket.ask(requests).flatMap((answer, i) => {
      if (answer instanceof NetlinkError && answer.code !== 'ENOENT') throw answer;
      return answer && !(answer instanceof NetlinkError) ? decodeElements([answer.body], sets[i]!) : [];
    });
  }

  /**
   * A dump goes on by position. While the kernel makes the set's hash table larger or smaller, in its own time after a large
   * batch, positions shift: as many elements are told twice as are missed, and the dump is taken again.
   */
  #readElements(set: NftSet): NftElement[] {
    for (let attempt = 0; ; attempt++) {
      const elements = decodeElements(
        this.#dump(ELEMENT_LIST.GET, set, (body) => body),
        set,
      );
      const unique = new Map(elements.map((element) => [nftIdentity(element), element]));
      if (unique.size === elements.length || attempt === 9) return [...unique.values()];
    }
  }

  #dump<T>(type: number, of: NftTable | NftSet | undefined, decode: (body: Uint8Array) => T | undefined): T[] {
    const messages = this.#socket.dump({ type: message(type), flags: 0, body: dumpBody(of) });
    return messages.map(({ body }) => decode(body)).filter((item) => item !== undefined);
  }

  apply(add: readonly NftItem[], change: readonly NftChange[], remove: readonly NftItem[]): void {
    for (const item of add) if (item.kind === 'set') this.#sets.set(nftIdentity(item), item);
    for (const { to } of change) if (to.kind === 'set') this.#sets.set(nftIdentity(to), to);
    let changes: NftChanges = { add, change, remove };
    // Nothing of a refused batch is applied: what made it fail is mended and the rest sent again.
    for (let rounds = 0; ; rounds++) {
      const refusals = this.#send(changes);
      const first = refusals[0];
      if (!first) {
        if (this.#generation !== undefined) this.#generation++;
        return;
      }
      const next = rounds < 8 ? this.#mended(changes, refusals) : undefined;
      if (!next) throw kernelError(refusals);
      changes = next;
    }
  }

  /** Changes less what cannot or need not be done as it was sent; undefined when the refusals are of another kind. */
  #mended(changes: NftChanges, refusals: readonly Refusal[]): NftChanges | undefined {
    if (this.#destroy && refusals.some(({ operation, code }) => operation?.remove && code === 'EINVAL')) {
      this.#destroy = false;
      return changes;
    }
    if (!refusals.every(isMended)) return undefined;
    const refused = (code: string) =>
      new Set(refusals.filter((refusal) => refusal.code === code).flatMap(({ operation }) => operation!.items));
    const gone = refused('ENOENT');
    // A map's element whose data differ: ours from before a restart. Out and in again in one batch is a swap.
    const taken = refused('EEXIST');
    return {
      add: [
        ...changes.add.filter((item) => !taken.has(item)),
        ...changes.change.filter(({ from }) => gone.has(from)).map(({ to }) => to),
      ],
      change: [
        ...changes.change.filter(({ from }) => !gone.has(from)),
        ...changes.add.filter((item) => taken.has(item)).map((item) => ({ from: item, to: item })),
      ],
      remove: changes.remove.filter((item) => !gone.has(item)),
    };
  }

  #send(changes: NftChanges): Refusal[] {
    if (changes.add.length + changes.change.length + changes.remove.length === 0) return [];
    const firstSeq = this.#socket.takeSequence(0);
    const batch = encodeBatch(changes, { firstSeq, destroy: this.#destroy, setOf: (element) => this.#setOf(element) });
    this.#socket.takeSequence(batch.count);
    try {
      return refusalsOf(this.#socket.exchange(batch.bytes), batch, firstSeq);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      throw new KernelError('nft batch', error.code, error.message);
    }
  }

  counts(set: NftSet): NftCount[] {
    try {
      const messages = this.#socket.dump({ type: message(ELEMENT_LIST.GET), flags: 0, body: dumpBody(set) });
      return decodeCounts(
        messages.map(({ body }) => body),
        set,
      );
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (error.code === 'ENOENT') return [];
      throw new KernelError('nft counters', error.code, error.message);
    }
  }

  /**
   * Every commit that changes anything, of whoever, counts the namespace's generation up by one. Ours are counted without
   * asking, which at most counts too far: a batch of what was there already commits nothing.
   */
  disturbed(): boolean {
    const [answer] = this.#socket.request({ type: message(GENERATION.GET), flags: 0, body: dumpBody(undefined) });
    const generation = answer ? decodeGeneration(answer.body) : undefined;
    const expected = this.#generation ?? generation;
    this.#generation = generation;
    return generation !== undefined && expected !== undefined && generation > expected;
  }

  #setOf(element: NftElement): NftSet {
    const identity = `${element.family} ${element.table} set ${element.set}`;
    let set = this.#sets.get(identity);
    if (!set) {
      // After a restart, before the first read(): the set was made by our predecessor.
      const table: NftTable = { kind: 'table', family: element.family, table: element.table };
      for (const found of this.#dump(SET.GET, table, decodeSet)) this.#sets.set(nftIdentity(found), found);
      set = this.#sets.get(identity);
    }
    if (!set) throw new KernelError('nft batch', 'ENOENT', `no set ${element.set}`, element);
    return set;
  }

  close(): void {
    this.#socket.close();
  }
}

/** What packets put into a set of ours is theirs. */
function isPlanned({ flags }: NftSet): boolean {
  return !flags?.includes('dynamic');
}

/** The kernel answers for an address, and not for the interval. */
function hasAnyIntervals({ flags }: NftSet): boolean {
  return flags?.includes('interval') === true;
}

/** What sending otherwise can mend: removing what is gone, adding an element that is there with other data. */
function isMended({ operation, code }: Refusal): boolean {
  if (operation?.remove) return code === 'ENOENT';
  return code === 'EEXIST' && operation?.items[0]?.kind === 'element';
}

function refusalsOf(answers: readonly NetlinkMessage[], batch: NftBatch, firstSeq: number): Refusal[] {
  const refusals: Refusal[] = [];
  for (const answer of answers) {
    if (answer.type !== NLMSG_ERROR) continue;
    const { errno, text } = decodeStatus(answer);
    if (errno !== 0)
      refusals.push({ operation: batch.operations[answer.seq - firstSeq - 1], code: errnoName(errno), text });
  }
  return refusals;
}

/** ENOENT of a rule's set is often the consequence of an earlier refusal, so the first one is told. */
function kernelError(refusals: readonly Refusal[]): KernelError {
  const { operation, code, text } = refusals[0]!;
  return new KernelError(operation?.remove ? 'nft delete' : 'nft add', code, text, operation?.items[0]);
}
