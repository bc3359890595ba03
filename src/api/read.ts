// Room api: get, list and the start of a watch: which objects, as of which revision.
import type { KindRow } from '../objects/kinds.ts';
import { parseFieldSelector, parseLabelSelector } from '../objects/select.ts';
import { failure } from '../objects/status.ts';
import type { KubeObject } from '../objects/types.ts';
import { VIEW_HEADER, type View, viewNamed } from '../objects/views.ts';
import { type Answer, type Call, type ListMeta, objectAnswer } from './answer.ts';
import type { Entry } from './bucket.ts';
import { badRequest, expired, notFound, resourceOf } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import type { Store } from './store.ts';
import { viewed } from './viewed.ts';
import type { WatchFilter, WatchStart } from './watch.ts';

export function getEntry(store: Store, route: ResourceRoute): Entry {
  const { row, namespace = '', name = '' } = route;
  const entry = store.get(resourceOf(row), namespace, name);
  if (!entry) throw notFound(row, name);
  return entry;
}

export async function get(store: Store, route: ResourceRoute): Promise<Answer> {
  const entry = getEntry(store, route);
  await store.durable(entry.rev);
  return objectAnswer(route.row, entry);
}

type Query = NonNullable<Call['query']>;
type Headers = NonNullable<Call['headers']>;
type Matches = ((object: KubeObject) => boolean) | undefined;

/** Whole objects for a name that this server does not know. */
function viewOf(headers: Headers = {}): View | undefined {
  const name = headers[VIEW_HEADER];
  return name === undefined ? undefined : viewNamed(name);
}

/** Both selectors of a request and, for a watch of one object, its name. */
export function selectionOf(row: KindRow, query: Query, name?: string): Matches {
  const labels = query['labelSelector'] ? parseLabelSelector(query['labelSelector']) : undefined;
  const fields = query['fieldSelector'] ? parseFieldSelector(row, query['fieldSelector']) : undefined;
  if (!labels && !fields && name === undefined) return undefined;
  return (object) =>
    (name === undefined || object.metadata.name === name) &&
    (!labels || labels(object.metadata.labels)) &&
    (!fields || fields(object));
}

export async function list(store: Store, route: ResourceRoute, query: Query, headers?: Headers): Promise<Answer> {
  const { row, namespace } = route;
  const limit = countOf(query, 'limit');
  const matches = selectionOf(row, query);
  const view = viewOf(headers);
  const { rev, start } = listPoint(store, query, limit > 0);
  const all = store.listAt(resourceOf(row), namespace, rev);
  const from = start === undefined ? 0 : firstAfter(all, start);
  const entries: Entry[] = [];
  let at = from;
  for (; at < all.length && (limit === 0 || entries.length < limit); at++) {
    if (!matches || matches(all[at]!.object)) entries.push(all[at]!);
  }
  const metadata = listMeta(rev, all.length - at, entries.at(-1), matches === undefined);
  await store.durable(rev);
  const shown = view ? entries.map((entry) => viewed(entry, view)) : entries;
  return { status: 200, content: { type: 'list', row, entries: shown, metadata } };
}

function listMeta(rev: number, left: number, last: Entry | undefined, exact: boolean): ListMeta {
  if (left <= 0 || !last) return { resourceVersion: String(rev) };
  const token = continueToken({ rev, start: startOf(last) });
  return { resourceVersion: String(rev), continue: token, ...(exact && { remainingItemCount: left }) };
}

const startOf = (entry: Entry) => `${entry.namespace}/${entry.name}`;

/** Where in the sorted entries the page after `start` begins. */
function firstAfter(entries: readonly Entry[], start: string): number {
  const [namespace = '', name = ''] = start.split('/');
  const index = entries.findIndex((e) => e.namespace > namespace || (e.namespace === namespace && e.name > name));
  return index < 0 ? entries.length : index;
}

interface Continue {
  /** -1: whatever is newest. */
  readonly rev: number;
  /** `namespace/name` of the last object that was sent. */
  readonly start: string;
}

function continueToken(token: Continue): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: token.rev, start: token.start })).toString('base64url');
}

function parseContinue(text: string): Continue {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    if (token['v'] === 'meta.k8s.io/v1' && Number.isInteger(token['rv']) && typeof token['start'] === 'string') {
      return { rev: token['rv'] as number, start: token['start'] };
    }
  } catch {
    // falls through to the answer below
  }
  throw badRequest('continue key is not valid: it does not come from this server');
}

/** As of which revision a list is answered, and after which object it begins. */
function listPoint(store: Store, query: Query, limited: boolean): { rev: number; start?: string } {
  const { resourceVersion: wanted = '', resourceVersionMatch: match } = query;
  if (query['continue']) {
    if (wanted !== '' && wanted !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const token = parseContinue(query['continue']);
    if (token.rev === -1) return { rev: store.rev, start: token.start };
    if (token.rev < store.compactedRev) throw expiredContinue(token.start);
    return token;
  }
  if (match !== undefined && wanted === '') {
    throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
  }
  if (match !== undefined && match !== 'Exact' && match !== 'NotOlderThan') {
    throw badRequest(`resourceVersionMatch: Unsupported value: "${match}": supported values: "Exact", "NotOlderThan"`);
  }
  const rev = revisionOf(wanted);
  if (rev > store.rev) throw tooLarge(rev, store.rev);
  if (match === 'Exact' && rev === 0)
    throw badRequest('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  if (rev === 0 || (match !== 'Exact' && !(limited && match === undefined))) return { rev: store.rev };
  if (rev < store.compactedRev) throw expired(rev, store.compactedRev);
  return { rev };
}

function expiredContinue(start: string): Error {
  const message =
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
    'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
    'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
    'deleted between the time the first chunk was returned and now may show up in the list.';
  const error = failure(410, 'Expired', message);
  error.status.metadata.continue = continueToken({ rev: -1, start });
  return error;
}

/** 0 when it is not given; throws 400 when it is no number. */
function revisionOf(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`resourceVersion: Invalid value: "${text}": must be a whole number`);
  return Number(text);
}

function tooLarge(wanted: number, current: number): Error {
  return failure(504, 'Timeout', `Too large resource version: ${wanted}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

export function countOf(query: Query, parameter: string): number {
  const text = query[parameter] ?? '';
  if (!/^\d{0,9}$/.test(text)) throw badRequest(`${parameter}: Invalid value: "${text}": must be a whole number`);
  return Number(text);
}

export interface WatchPlan {
  readonly filter: WatchFilter;
  readonly start: WatchStart;
  /** 0: no end of its own. */
  readonly timeoutSeconds: number;
}

/** Throws 410 Expired (which a client gets as an ERROR event) when the revision is compacted or not ours. */
export function planWatch(store: Store, route: ResourceRoute, query: Query, headers?: Headers): WatchPlan {
  const { row, namespace, name } = route;
  const matches = selectionOf(row, query, name);
  const bookmarks = query['allowWatchBookmarks'] === 'true' || query['allowWatchBookmarks'] === '1';
  const wanted = query['resourceVersion'] ?? '';
  const rev = revisionOf(wanted);
  const markInitialEnd = wantsInitialEvents(query);
  const plan = {
    filter: { namespace, matches, view: viewOf(headers) },
    timeoutSeconds: countOf(query, 'timeoutSeconds'),
  };
  if (markInitialEnd || (rev === 0 && query['sendInitialEvents'] === undefined)) {
    if (rev > store.rev) throw tooLarge(rev, store.rev);
    const all = store.listAt(resourceOf(row), namespace, store.durableRev);
    const initial = matches ? all.filter((entry) => matches(entry.object)) : all;
    return {
      ...plan,
      start: { initial, after: store.durableRev, bookmarks, markInitialEnd: markInitialEnd && bookmarks },
    };
  }
  const after = rev === 0 ? store.durableRev : rev;
  if (after < store.compactedRev || after > store.rev) throw expired(after, store.compactedRev);
  return { ...plan, start: { after, bookmarks } };
}

function wantsInitialEvents(query: Query): boolean {
  const wanted = query['sendInitialEvents'];
  if (wanted === undefined) return false;
  if (query['resourceVersionMatch'] !== 'NotOlderThan') {
    const message = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    throw failure(
      422,
      'Invalid',
      `ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: ${message}`,
      {
        group: 'meta.k8s.io',
        kind: 'ListOptions',
        causes: [{ reason: 'FieldValueForbidden', message: `Forbidden: ${message}`, field: 'resourceVersionMatch' }],
      },
    );
  }
  return wanted === 'true' || wanted === '1';
}
