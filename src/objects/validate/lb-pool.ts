// Room objects: validation of LBPools, our own kind.
import { AddressError, bigIntToIP, type Family } from '../../addr/ip.ts';
import { type AddressRange, parseRange, rangesOverlap } from '../../addr/range.ts';
import type { LBPool } from '../types.ts';
import { checkEndpointIP } from './addresses.ts';
import { type Causes, checkSyntax, duplicate, invalidValue, required } from './causes.ts';
import { dns1123LabelProblems } from './names.ts';
import { validateSelector } from './selectors.ts';

export function validateLBPool(causes: Causes, { spec }: LBPool): void {
  if (!spec?.addresses?.length) causes.push(required('spec.addresses', 'a pool without addresses gives none'));
  validateRanges(causes, spec?.addresses ?? []);
  const names = new Set<string>();
  for (const [i, name] of (spec?.namespaces ?? []).entries()) {
    checkSyntax(causes, `spec.namespaces[${i}]`, name, dns1123LabelProblems(name));
    if (names.has(name)) causes.push(duplicate(`spec.namespaces[${i}]`, name));
    names.add(name);
  }
  validateSelector(causes, 'spec.namespaceSelector', spec?.namespaceSelector);
  validateSelector(causes, 'spec.serviceSelector', spec?.serviceSelector);
}

function validateRanges(causes: Causes, texts: readonly string[]): void {
  const ranges: { readonly text: string; readonly range: AddressRange }[] = [];
  for (const [i, text] of texts.entries()) {
    const at = `spec.addresses[${i}]`;
    const range = readRange(causes, at, text);
    if (!range) continue;
    const twin = ranges.find((other) => rangesOverlap(other.range, range));
    if (twin) causes.push(invalidValue(at, text, `overlaps ${twin.text}`));
    ranges.push({ text, range });
  }
}

function readRange(causes: Causes, at: string, text: string): AddressRange | undefined {
  try {
    const range = parseRange(text);
    // All that lies between two usable ends of one kind is usable, or so wide that nobody means it.
    checkEndpointIP(causes, at, ip(range.first, range.family));
    if (range.last !== range.first) checkEndpointIP(causes, at, ip(range.last, range.family));
    return range;
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    causes.push(invalidValue(at, text, error.message));
    return undefined;
  }
}

function ip(value: bigint, family: Family): string {
  return bigIntToIP(value, family);
}
