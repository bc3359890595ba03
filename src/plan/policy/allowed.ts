// Room plan: what a pod allows to one class of peers, as elements of the node's sets, each with the rule that is counted by it.
import { FORMS, type Form } from './base.ts';
import type { FlowProtocol, PortMatch, Rule } from './rules.ts';
import { comparePolicies } from './tiers.ts';

/** A rule of a pod, for one kind of peers of it. Named ports are numbers by now. */
export interface Use {
  readonly rule: Rule;
  readonly ports: readonly Exclude<PortMatch, { kind: 'name' }>[] | undefined;
}

/** `ports` as the set's key goes on after link and class. */
export interface Allowance {
  readonly form: Form;
  readonly ports: readonly (string | number)[];
  readonly rule: Rule;
}

/** Of rules that allow the same, the first by policy and place has the count. */
export function allowances(uses: readonly Use[]): Allowance[] {
  const found = new Map<string, Allowance>();
  const ranges = new Map<FlowProtocol, { first: number; last: number; rule: Rule }[]>();
  const add = (form: Form, ports: (string | number)[], rule: Rule) => {
    const key = `${form} ${ports.join(' ')}`;
    if (!found.has(key)) found.set(key, { form, ports, rule });
  };
  for (const { rule, ports } of uses.toSorted((a, b) => compareRules(a.rule, b.rule))) {
    if (!ports) add('any', [], rule);
    for (const port of ports ?? []) {
      const protocol = port.protocol.toLowerCase();
      if (port.kind === 'all') add('protocols', [protocol], rule);
      else if (port.first === port.last) add('ports', [protocol, port.first], rule);
      else ranges.set(port.protocol, [...(ranges.get(port.protocol) ?? []), { ...port, rule }]);
    }
  }
  for (const [protocol, list] of ranges) {
    for (const { first, last, rule } of apart(list)) {
      add('ranges', [protocol.toLowerCase(), first === last ? first : `${first}-${last}`], rule);
    }
  }
  return [...found.values()].sort((a, b) => FORMS.indexOf(a.form) - FORMS.indexOf(b.form));
}

export function compareRules(a: Rule, b: Rule): number {
  return comparePolicies(a.policy, b.policy) || a.index - b.index;
}

interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly rule: Rule;
}

/** The same ports without overlap, which the kernel refuses: each part is the first's that has it. */
function apart(ranges: readonly PortRange[]): PortRange[] {
  const starts = new Set(ranges.flatMap(({ first, last }) => [first, last + 1]));
  const bounds = [...starts].sort((a, b) => a - b);
  const parts: PortRange[] = [];
  for (const [i, first] of bounds.entries()) {
    const rule = ranges.find((range) => range.first <= first && first <= range.last)?.rule;
    if (!rule) continue;
    const last = bounds[i + 1]! - 1;
    const before = parts.at(-1);
    if (before && before.rule === rule && before.last === first - 1) parts[parts.length - 1] = { ...before, last };
    else parts.push({ first, last, rule });
  }
  return parts;
}
