// Room reconcile: nftables looked over and mended in short turns, however many elements there are, while changes go on.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { satisfies } from '../kernel/identity.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { NftReading } from '../kernel/nft.ts';
import type { NftElement, NftSet } from '../kernel/nft-items.ts';
import type { Slot, Slots } from './slots.ts';

export interface RulesRepairParts {
  readonly kernel: NftReading;
  readonly slots: Slots;
  /** Makes of these what they should be, given how they are at this moment. Returns what it did, as text. */
  readonly mend: (read: ReadonlyMap<Slot, KernelItem>, slots: Iterable<Slot>) => string[];
  readonly isClosed: () => boolean;
}

/** Elements that one turn asks for and puts right: some 10 ms. */
const DOUBTFUL = 500;
/** Elements that one turn only compares. */
const COMPARED = 10_000;
const FRAME: ReadonlySet<KernelItem['kind']> = new Set(['table', 'set', 'chain']);
/** Lines of a repair: who flushed a table has read enough. */
const MOST_LINES = 100;

/**
 * First what elements need, last what they hold: chains and sets that nobody wants any more. Chains that packets enter come last too where
 * sets were lost: nothing is refused for want of elements that are yet to come. A walk through a set is out of date when it ends: what
 * it made doubtful is asked for anew, and mended in the same turn.
 */
export async function repairRules(parts: RulesRepairParts): Promise<string[]> {
  const { slots, mend, isClosed } = parts;
  const report = new Report();
  const { read, wanted } = frameNow(parts);
  report.add(mend(read, neededFirst(wanted, read)));
  const seen = new Set<Slot>();
  for (const { want } of wanted) if (want?.kind === 'set') await lookOver(parts, want, seen, report);
  const missing: NftElement[] = [];
  let count = 0;
  for (const slot of slots.elements()) {
    if (slot.want && !seen.has(slot)) missing.push(slot.want as NftElement);
    if (++count % COMPARED === 0) await nextTurn();
  }
  await settle(parts, missing, report);
  if (isClosed()) return report.lines();
  const after = frameNow(parts);
  report.add(mend(after.read, new Set([...after.read.keys(), ...after.wanted])));
  return report.lines();
}

function frameNow({ kernel, slots }: RulesRepairParts) {
  const read = new Map(kernel.readFrame().map((item) => [slots.of(item), item as KernelItem]));
  return { read, wanted: [...slots.others()].filter(({ want }) => want && FRAME.has(want.kind)) };
}

/** Without chains that packets enter, where they are to wait. */
function neededFirst(wanted: readonly Slot[], read: ReadonlyMap<Slot, KernelItem>): Slot[] {
  const isLost = wanted.some((slot) => slot.want?.kind === 'set' && !read.has(slot));
  const isEntry = (slot: Slot) => slot.want?.kind === 'chain' && slot.want.base !== undefined && !read.has(slot);
  return isLost ? wanted.filter((slot) => !isEntry(slot)) : [...wanted];
}

/** Remembers what is as it should be, and settles the rest. */
async function lookOver(parts: RulesRepairParts, set: NftSet, seen: Set<Slot>, report: Report): Promise<void> {
  const { kernel, slots } = parts;
  const doubtful: NftElement[] = [];
  for await (const piece of kernel.elementsOf(set)) {
    for (const element of piece) {
      const slot = slots.find(element);
      if (slot?.want && satisfies(element, slot.want)) seen.add(slot);
      else doubtful.push(element);
    }
  }
  await settle(parts, doubtful, report);
}

async function settle(
  { kernel, slots, mend, isClosed }: RulesRepairParts,
  doubtful: readonly NftElement[],
  report: Report,
): Promise<void> {
  for (let i = 0; i < doubtful.length && !isClosed(); i += DOUBTFUL) {
    const asked = doubtful.slice(i, i + DOUBTFUL);
    const found = kernel.lookUp(asked);
    const of = asked.map((element) => slots.of(element));
    const read = new Map<Slot, KernelItem>();
    for (const [at, element] of found.entries()) if (element) read.set(of[at]!, element);
    report.add(mend(read, of));
    await nextTurn();
  }
}

class Report {
  readonly #lines: string[] = [];
  #count = 0;

  add(lines: readonly string[]): void {
    this.#count += lines.length;
    this.#lines.push(...lines.slice(0, MOST_LINES - this.#lines.length));
  }

  lines(): string[] {
    const more = this.#count - this.#lines.length;
    return more > 0 ? [...this.#lines, `and ${more} more`] : this.#lines;
  }
}
