// Room node: how large packets may be that still arrive, found in few rounds: many sizes are tried at once.

/** Together they fit into the buffer of whoever receives them. */
const SIZES_AT_ONCE = 40;
const LEAST = 100;

/** The largest size below `size`, which does not arrive, that does; 0 when none does. `ask` tells which of the sizes arrive. */
export async function largestBelow(
  size: number,
  ask: (sizes: readonly number[]) => Promise<readonly number[]>,
): Promise<number> {
  if ((await ask([LEAST])).length === 0) return 0;
  let [low, high] = [LEAST, size];
  while (high - low > 1) {
    const tried = between(low, high);
    low = Math.max(low, ...(await ask(tried)));
    high = Math.min(high, ...tried.filter((each) => each > low));
  }
  return low;
}

/** Sizes strictly between the two, evenly spread. */
function between(low: number, high: number): number[] {
  const count = Math.min(SIZES_AT_ONCE, high - low - 1);
  return Array.from({ length: count }, (_, i) => low + Math.floor(((i + 1) * (high - low)) / (count + 1)));
}
