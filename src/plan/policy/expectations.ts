// Room plan: what somebody expects of policies, one flow each, held against the engine.
import type { PolicyEngine } from './engine.ts';
import { verdictText } from './explain.ts';
import { type Flow, judge } from './judge.ts';

export interface Expectation {
  /** As it stands in the file: `shop/web -> shop/db 5432 deny`. */
  readonly name: string;
  readonly flow: Flow;
  readonly expect: 'allow' | 'deny';
}

export interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  /** Why the flow passes or not. */
  readonly why: readonly string[];
}

export function holdAgainst(engine: PolicyEngine, expectations: readonly Expectation[]): Outcome[] {
  return expectations.map(({ name, flow, expect }) => {
    const verdict = judge(engine, flow);
    return { name, ok: verdict.allowed === (expect === 'allow'), why: verdictText(verdict) };
  });
}

/** Test Anything Protocol, version 13. */
export function tapText(outcomes: readonly Outcome[]): string {
  const lines = outcomes.flatMap(({ name, ok, why }, i) => {
    const line = `${ok ? 'ok' : 'not ok'} ${i + 1} - ${name}`;
    return ok ? [line] : [line, '  ---', ...why.map((each) => `  - "${each.replaceAll('"', "'")}"`), '  ...'];
  });
  return ['TAP version 13', `1..${outcomes.length}`, ...lines].join('\n');
}

export function junitText(outcomes: readonly Outcome[]): string {
  const failures = outcomes.filter(({ ok }) => !ok).length;
  const cases = outcomes.map(({ name, ok, why }) => {
    const head = `  <testcase classname="policies" name="${xml(name)}"`;
    return ok
      ? `${head}/>`
      : `${head}>\n    <failure message="${xml(why.at(-1)!)}">${xml(why.join('\n'))}</failure>\n  </testcase>`;
  });
  const suite = `<testsuite name="policies" tests="${outcomes.length}" failures="${failures}">`;
  return ['<?xml version="1.0" encoding="UTF-8"?>', suite, ...cases, '</testsuite>'].join('\n');
}

function xml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]/g, (sign) => names[sign]!);
}
