// Room sys: descriptors that outlive a call and of which Node knows nothing: written down in memory that a thread shares with who
// started it, and closed for it when it dies. Descriptors are the process's: a thread's end closes none.
import { closeSync } from 'node:fs';

const SLOTS = 4096;

/** A thread's own list of descriptors, each plus one; 0: a free place. To be handed to the thread. */
export type DescriptorTable = Int32Array<SharedArrayBuffer>;

export function createDescriptorTable(): DescriptorTable {
  return new Int32Array(new SharedArrayBuffer(SLOTS * Int32Array.BYTES_PER_ELEMENT));
}

let table: DescriptorTable | undefined;
const places = new Map<number, number>();
const free: number[] = [];

/** From now on this thread writes down there what it owns. Once, before it owns anything. */
export function writeDescriptorsTo(given: DescriptorTable): void {
  table = given;
  for (let place = given.length; place-- > 0; ) free.push(place);
}

/** Writes the descriptor down as this thread's, to be closed by closeOwned() alone; returns it. */
export function own(fd: number): number {
  const place = table && (places.get(fd) ?? free.pop());
  if (place === undefined) return fd;
  places.set(fd, place);
  table![place] = fd + 1;
  return fd;
}

export function closeOwned(fd: number): void {
  const place = places.get(fd);
  if (place !== undefined) {
    // First: a death between the two must not have somebody else's descriptor closed that got the number.
    table![place] = 0;
    places.delete(fd);
    free.push(place);
  }
  closeSync(fd);
}

/** Of a thread that has ended: closes what it left open. Returns how many there were. */
export function closeLeftOpen(given: DescriptorTable): number {
  const left = given.filter((entry) => entry !== 0);
  given.fill(0);
  for (const entry of left) closeSync(entry - 1);
  return left.length;
}
