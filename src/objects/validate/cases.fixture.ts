// Room objects (tests): objects as the API server would have them before it stores them, and tables of what it says of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from '../decode.ts';
import { applyDefaults } from '../defaults/defaults.ts';
import { kindRow } from '../kinds.ts';
import type { DraftObject, Kind, KubeObject } from '../types.ts';
import { validate } from './validate.ts';

export function prepared(kind: Kind, object: object): DraftObject {
  const { metadata, ...rest } = structuredClone(object) as { metadata?: object };
  const namespace = kindRow(kind).namespaced ? { namespace: 'default' } : {};
  const decoded = decode(kindRow(kind), { metadata: { name: 'web', ...namespace, ...metadata }, ...rest }, 'Strict');
  applyDefaults(kindRow(kind), decoded.object);
  return decoded.object;
}

export function problems(kind: Kind, object: object, old?: object): string[] {
  const before = old && (prepared(kind, old) as KubeObject);
  const causes = validate(kindRow(kind), prepared(kind, object), before);
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

export interface ValidationCases {
  readonly good?: readonly [name: string, kind: Kind, object: object][];
  readonly refused?: readonly [name: string, kind: Kind, object: object, problems: string[]][];
  readonly updates?: readonly [name: string, kind: Kind, old: object, now: object, problems: string[]][];
}

export function validationCases({ good = [], refused = [], updates = [] }: ValidationCases): void {
  for (const [name, kind, object] of good)
    test(`accepted: ${name}`, () => assert.deepEqual(problems(kind, object), []));
  for (const [name, kind, object, expected] of refused) {
    test(`refused: a ${kind} with ${name}`, () => assert.deepEqual(problems(kind, object), expected));
  }
  for (const [name, kind, old, now, expected] of updates) {
    test(`update: ${name}`, () => assert.deepEqual(problems(kind, now, old), expected));
  }
}
