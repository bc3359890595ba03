// Program agnhost: flags as Go's pflag reads them: `--name=value`, `--name value`, `--switch`.

/** The default says of which type a flag is. */
type Defaults = Record<string, string | number | boolean>;

export interface Parsed<T extends Defaults> {
  readonly flags: { [K in keyof T]: T[K] extends boolean ? boolean : T[K] extends number ? number : string };
  readonly rest: string[];
}

export function parseFlags<T extends Defaults>(args: readonly string[], defaults: T): Parsed<T> {
  const flags: Defaults = { ...defaults };
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith('--')) {
      rest.push(arg);
      continue;
    }
    const equals = arg.indexOf('=');
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    const known = defaults[name];
    if (known === undefined) throw new Error(`unknown flag: --${name}`);
    const value = equals >= 0 ? arg.slice(equals + 1) : known === true || known === false ? 'true' : args[++i];
    if (value === undefined) throw new Error(`flag needs an argument: --${name}`);
    flags[name] = read(name, value, known);
  }
  return { flags: flags as Parsed<T>['flags'], rest };
}

function read(name: string, value: string, like: string | number | boolean): string | number | boolean {
  if (typeof like === 'string') return value;
  if (typeof like === 'boolean') return value === 'true' || value === '1' || value === 't';
  if (/^-?\d+$/.test(value)) return Number(value);
  throw new Error(`invalid argument "${value}" for "--${name}" flag`);
}

const UNITS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration (`1m30s`, `100ms`, `0`); undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^([\d.]+(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) sum += Number(number) * UNITS[unit!]!;
  return sum;
}
