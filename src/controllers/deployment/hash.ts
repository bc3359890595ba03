// Room controllers: one text for equal pod templates, and the short hash that names a revision.
import type { Deployment } from '../../objects/types.ts';

export type PodTemplate = Deployment['spec']['template'];

export const HASH_LABEL = 'pod-template-hash';

/** Letters and digits that form neither words nor look-alikes (apimachinery's SafeEncodeString). */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** Equal for templates that would give equal pods: key order, nulls and the hash label itself do not count. */
export function templateText(template: PodTemplate): string {
  const { [HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {};
  return canonical({ ...template, metadata: { ...template.metadata, labels } });
}

/** 8 to 10 characters. The collision count of the Deployment makes another hash out of the same template. */
export function templateHash(template: PodTemplate, collisionCount = 0): string {
  const text = `${templateText(template)}${collisionCount || ''}`;
  return [...String(fnv1a(text))].map((digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join('');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined && field !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`;
}

/** 32-bit FNV-1a (draft-eastlake-fnv). */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
