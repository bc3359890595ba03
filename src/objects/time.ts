// Room objects: times as they stand in objects.

/** metav1.Time: RFC 3339 in UTC and whole seconds, of a time in milliseconds since the epoch. */
export function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
