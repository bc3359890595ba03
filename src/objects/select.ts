// Room objects: label selectors and field selectors.
import type { KindRow } from './kinds.ts';
import type { DraftObject } from './types.ts';

export type Labels = Readonly<Record<string, string>> | undefined;
export type LabelMatcher = (labels: Labels) => boolean;
export type FieldMatcher = (object: DraftObject) => boolean;

/** metav1.LabelSelector */
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

/** The text of `?labelSelector=`: `app=web,tier in (a, b),!canary`. Throws a StatusError (400). */
export function parseLabelSelector(text: string): LabelMatcher {
  throw new Error(`not yet: ${text}`);
}

/** No selector matches nothing; an empty one matches everything. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  throw new Error(`not yet: ${selector} ${labels}`);
}

/** The text of `?fieldSelector=`: `spec.nodeName=n1,status.phase!=Failed`. Throws a StatusError (400) for a field that the kind has not. */
export function parseFieldSelector(kind: KindRow, text: string): FieldMatcher {
  throw new Error(`not yet: ${kind.kind} ${text}`);
}
