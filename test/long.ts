// How much a test does: little in CI, much in a long run (`npm run long`).

export const isLongRun = process.env['PODWIRE_LONG'] === '1';

export function times(inCI: number, inLongRun: number): number {
  return isLongRun ? inLongRun : inCI;
}

/** Of what is done at random: in CI the same each time, in a long run that of an earlier one, or a new one. Print it. */
export function seed(): number {
  const said = process.env['PODWIRE_SEED'];
  if (said !== undefined) return Number(said);
  return isLongRun ? Math.floor(Math.random() * 2 ** 31) : 1;
}

/** Numbers in 0 … below-1 that follow from the seed (mulberry32). */
export function randomFrom(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
