// Room objects: validation of metav1.LabelSelector.
import { type LabelSelector, matchesSelector } from '../select.ts';
import { type Causes, checkSyntax, forbidden, invalidValue, required } from './causes.ts';
import { validateLabels } from './metadata.ts';
import { labelKeyProblems, labelValueProblems } from './names.ts';

export function validateSelector(causes: Causes, field: string, selector: LabelSelector | undefined): void {
  if (!selector) return;
  validateLabels(causes, `${field}.matchLabels`, selector.matchLabels);
  for (const [i, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const at = `${field}.matchExpressions[${i}]`;
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0) {
        causes.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      }
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0) {
        causes.push(forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      }
    } else causes.push(invalidValue(`${at}.operator`, operator ?? '', 'not a valid selector operator'));
    checkSyntax(causes, `${at}.key`, key ?? '', labelKeyProblems(key ?? ''));
    for (const [j, value] of values.entries()) {
      checkSyntax(causes, `${at}.values[${j}]`, value, labelValueProblems(value));
    }
  }
}

export function isEmptySelector(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0;
}

/** A workload's selector must be there, say something, and match its own template. */
export function validateWorkloadSelector(
  causes: Causes,
  selector: LabelSelector | undefined,
  templateLabels: Record<string, string> | undefined,
): void {
  if (!selector) {
    causes.push(required('spec.selector'));
    return;
  }
  validateSelector(causes, 'spec.selector', selector);
  if (isEmptySelector(selector)) {
    causes.push(invalidValue('spec.selector', selector, 'empty selector is invalid for deployment'));
  } else if (!matchesSelector(selector, templateLabels)) {
    const why = '`selector` does not match template `labels`';
    causes.push(invalidValue('spec.template.metadata.labels', templateLabels, why));
  }
}
