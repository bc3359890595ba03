// Room objects: resource quantities: 100m, 1Gi, 2e3.

/** A quantity in billionths of its unit (CPU: nanocores; memory: nanobytes), the finest that Kubernetes keeps. */
export type Nano = bigint;

/** Billionths, rounded up as Kubernetes does; undefined when the text is not a quantity. */
export function parseQuantity(text: string | number): Nano | undefined {
  throw new Error(`not yet: ${text}`);
}

/** Like parseQuantity, in thousandths rounded up: what a scheduler counts CPU in. Throws a RangeError for what is not a quantity. */
export function milli(text: string | number): number {
  throw new Error(`not yet: ${text}`);
}

/** In whole units rounded up: bytes of memory, number of pods. Throws a RangeError for what is not a quantity. */
export function units(text: string | number): number {
  throw new Error(`not yet: ${text}`);
}

/** -1, 0 or 1. Throws a RangeError for what is not a quantity. */
export function compareQuantities(a: string | number, b: string | number): number {
  throw new Error(`not yet: ${a} ${b}`);
}
