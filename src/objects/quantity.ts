// Room objects: resource quantities (100m, 1Gi, 2e3) and the percentages of IntOrString fields.

/** A quantity in billionths of its unit (CPU: nanocores; memory: nanobytes), the finest that Kubernetes keeps. */
export type Nano = bigint;

/** What a quantity looks like at all; its suffix may still be none that is known. */
export const QUANTITY_SYNTAX = /^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/;

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?$/;
const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const TENS: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };

/** Billionths, rounded away from zero as Kubernetes does; undefined when the text is not a quantity. */
export function parseQuantity(text: string | number): Nano | undefined {
  const match = QUANTITY_SYNTAX.exec(String(text));
  const number = match && DECIMAL.exec(match[1]!);
  if (!number) return undefined;
  const [, sign, whole = '', fraction = ''] = number;
  if (whole === '' && fraction === '') return undefined;
  const scale = scaleOf(match[2]!);
  if (!scale) return undefined;
  const tens = scale.tens + 9 - fraction.length;
  const digits = BigInt(whole + fraction) << BigInt(scale.bits);
  const magnitude = tens >= 0 ? digits * 10n ** BigInt(tens) : divideUp(digits, 10n ** BigInt(-tens));
  return sign === '-' ? -magnitude : magnitude;
}

function scaleOf(suffix: string): { bits: number; tens: number } | undefined {
  const bits = BINARY[suffix];
  if (bits !== undefined) return { bits, tens: 0 };
  const tens = TENS[suffix];
  if (tens !== undefined) return { bits: 0, tens };
  const exponent = /^[eE]([+-]?\d{1,3})$/.exec(suffix);
  return exponent ? { bits: 0, tens: Number(exponent[1]) } : undefined;
}

/** Away from zero, both numbers not negative. */
function divideUp(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}

function nano(text: string | number): Nano {
  const value = parseQuantity(text);
  if (value === undefined) throw new RangeError(`"${text}" is not a quantity`);
  return value;
}

function roundUp(value: Nano, unit: bigint): number {
  return Number(value < 0n ? -divideUp(-value, unit) : divideUp(value, unit));
}

/** In thousandths, rounded up: what a scheduler counts CPU in. Throws a RangeError for what is not a quantity. */
export function milli(text: string | number): number {
  return roundUp(nano(text), 1_000_000n);
}

/** In whole units, rounded up: bytes of memory, number of pods. Throws a RangeError for what is not a quantity. */
export function units(text: string | number): number {
  return roundUp(nano(text), 1_000_000_000n);
}

/** -1, 0 or 1. Throws a RangeError for what is not a quantity. */
export function compareQuantities(a: string | number, b: string | number): number {
  const difference = nano(a) - nano(b);
  if (difference === 0n) return 0;
  return difference < 0n ? -1 : 1;
}

/** Bytes as `1536Mi`: the largest binary suffix that divides them. */
export function formatBytes(bytes: number): string {
  for (const [suffix, bits] of Object.entries(BINARY).reverse()) {
    if (bytes !== 0 && bytes % 2 ** bits === 0) return `${bytes / 2 ** bits}${suffix}`;
  }
  return String(bytes);
}

/** Thousandths as `250m` or `2`: how CPU is written. */
export function formatMilli(value: number): string {
  return value % 1000 === 0 ? String(value / 1000) : `${value}m`;
}

/** An IntOrString as a number: `25%` of the total (rounded up or down), or the number itself. Throws a RangeError for other text. */
export function scaledValue(value: number | string, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const match = /^(\d+)%$/.exec(value);
  if (!match) throw new RangeError(`"${value}" is neither a number nor a percentage`);
  const share = (Number(match[1]) * total) / 100;
  return round === 'up' ? Math.ceil(share) : Math.floor(share);
}
