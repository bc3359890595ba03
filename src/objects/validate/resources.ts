// Room objects: validation of resource requests, limits and capacities.
import type { V1ResourceRequirements } from '@kubernetes/client-node';
import { compareQuantities, parseQuantity, QUANTITY_SYNTAX } from '../quantity.ts';
import type { Json } from '../types.ts';
import { type Causes, checkSyntax, invalidValue, NOT_NEGATIVE, required } from './causes.ts';
import { labelKeyProblems } from './names.ts';

const STANDARD = new Set(['cpu', 'memory', 'ephemeral-storage']);

export function validateResources(causes: Causes, field: string, resources: Json<V1ResourceRequirements>): void {
  const { limits = {}, requests = {} } = resources;
  for (const [name, amount] of Object.entries(limits)) validateAmount(causes, `${field}.limits`, name, amount);
  for (const [name, amount] of Object.entries(requests)) {
    if (!validateAmount(causes, `${field}.requests`, name, amount)) continue;
    const limit = limits[name];
    if (limit === undefined || parseQuantity(limit) === undefined) continue;
    const order = compareQuantities(amount, limit);
    if (STANDARD.has(name) ? order > 0 : order !== 0) {
      const relation = STANDARD.has(name) ? 'less than or equal' : 'equal';
      causes.push(invalidValue(`${field}.requests`, amount, `must be ${relation} to ${name} limit of ${limit}`));
    }
  }
}

function validateAmount(causes: Causes, field: string, name: string, amount: string): boolean {
  checkSyntax(causes, field, name, labelKeyProblems(name));
  if (!name.includes('/') && !STANDARD.has(name) && !name.startsWith('hugepages-')) {
    causes.push(invalidValue(field, name, 'must be a standard resource for containers'));
  }
  return checkQuantity(causes, `${field}[${name}]`, amount);
}

/** A quantity that is not negative. True when it can be compared. */
export function checkQuantity(causes: Causes, field: string, text: string): boolean {
  const value = parseQuantity(text);
  if (value === undefined) {
    const why = `quantities must match the regular expression '${QUANTITY_SYNTAX.source}'`;
    causes.push(text === '' ? required(field) : invalidValue(field, text, why));
    return false;
  }
  if (value < 0n) causes.push(invalidValue(field, text, NOT_NEGATIVE));
  return true;
}
