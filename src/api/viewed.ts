// Room api: entries as a view shows them, made once for however many watch.
import type { View } from '../objects/views.ts';
import { Entry } from './bucket.ts';

const made = new WeakMap<Entry, Map<View, Entry>>();

/** As long as the entry itself is kept. */
export function viewed(entry: Entry, view: View): Entry {
  const views = made.get(entry) ?? new Map<View, Entry>();
  made.set(entry, views);
  const known = views.get(view);
  if (known) return known;
  const fresh = Entry.fromObject(entry.rev, view.prune(entry.object));
  views.set(view, fresh);
  return fresh;
}
