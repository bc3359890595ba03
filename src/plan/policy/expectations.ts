// Room plan: what somebody expects of policies, as it is read from a file, and what came of it, for those who count.
import type { Protocol } from './rules.ts';

export interface ExpectedPort {
  readonly protocol: Protocol;
  /** A name is what the pod or the Service that is spoken to calls so. */
  readonly port: number | string;
}

/** An answer over HTTP that is due. */
export interface ExpectedHttp {
  /** Absent: any. */
  readonly status?: number;
  readonly path: string;
  /** The Host header; absent: as the destination is written. */
  readonly host?: string;
}

/** A name that the pod asks for. */
export interface ExpectedDns {
  readonly name: string;
  /** Exactly these; absent: whichever, but some. */
  readonly answers?: readonly string[];
}

export interface Expectation {
  /** `shop/web -> shop/db 5432 deny`, or as the file calls it. */
  readonly name: string;
  readonly from: string;
  /** Absent: only a name is asked for. */
  readonly to?: string;
  readonly ports: readonly ExpectedPort[];
  readonly expect: 'allow' | 'deny';
  readonly http?: ExpectedHttp;
  readonly dns?: ExpectedDns;
  /** No packet is sent: the engine's word. */
  readonly isStatic?: boolean;
  /** How often it is tried before it counts as not held; absent: twice. */
  readonly attempts?: number;
}

export interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  /** Why, one line each: what holds is explained too. */
  readonly why: readonly string[];
  /** Why it could not be asked at all. */
  readonly skipped?: string;
  /** The engine and the packets do not say the same. */
  readonly disagrees?: boolean;
  readonly milliseconds?: number;
}

/** Test Anything Protocol, version 13. */
export function tapText(outcomes: readonly Outcome[]): string {
  const lines = outcomes.flatMap(({ name, ok, why, skipped }, i) => {
    const said = skipped === undefined ? '' : ` # SKIP ${skipped}`;
    const line = `${ok ? 'ok' : 'not ok'} ${i + 1} - ${name.replaceAll('#', '\\#')}${said}`;
    return ok ? [line] : [line, '  ---', ...why.map((each) => `  - ${JSON.stringify(each)}`), '  ...'];
  });
  return ['TAP version 13', `1..${outcomes.length}`, ...lines].join('\n');
}

export function junitText(outcomes: readonly Outcome[]): string {
  const failures = outcomes.filter(({ ok }) => !ok).length;
  const skipped = outcomes.filter((outcome) => outcome.skipped !== undefined).length;
  const cases = outcomes.map(({ name, ok, why, skipped, milliseconds }) => {
    const time = milliseconds === undefined ? '' : ` time="${(milliseconds / 1000).toFixed(3)}"`;
    const head = `  <testcase classname="policies" name="${xml(name)}"${time}`;
    if (skipped !== undefined) return `${head}>\n    <skipped message="${xml(skipped)}"/>\n  </testcase>`;
    if (ok) return `${head}/>`;
    return `${head}>\n    <failure message="${xml(why.at(-1) ?? '')}">${xml(why.join('\n'))}</failure>\n  </testcase>`;
  });
  const counts = `tests="${outcomes.length}" failures="${failures}" skipped="${skipped}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="policies" ${counts}>`,
    ...cases,
    '</testsuite>',
  ].join('\n');
}

function xml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]/g, (sign) => names[sign]!);
}
