// Room controllers: what an LBPool says of itself: whether Services can have its addresses, and which are another's first.
import { isDeepStrictEqual } from 'node:util';
import { rangesOverlap } from '../../addr/range.ts';
import { timestamp } from '../../objects/time.ts';
import type { LBPool } from '../../objects/types.ts';
import type { Pool } from './choose.ts';

export const ACCEPTED_CONDITION = 'Accepted';

type Condition = NonNullable<NonNullable<LBPool['status']>['conditions']>[number];
export type Acceptance = Pick<Condition, 'status' | 'reason' | 'message'>;

/** `usable`: addresses that Services have or can have. `pools` in the order in which they are tried. */
export function acceptanceOf(pool: Pool, usable: number, pools: readonly Pool[]): Acceptance {
  if (usable === 0) {
    const message = 'all of its addresses are those of nodes, routers and the like: no Service can have one';
    return { status: 'False', reason: 'Reserved', message };
  }
  const overlaps = pools.slice(0, Math.max(0, pools.indexOf(pool))).flatMap((earlier) => overlapsOf(pool, earlier));
  if (overlaps.length === 0) return { status: 'True', reason: 'Accepted', message: 'Services can have its addresses' };
  return { status: 'True', reason: 'Overlaps', message: overlaps.join('; ') };
}

function overlapsOf(pool: Pool, earlier: Pool): string[] {
  return pool.ranges.flatMap((range, i) => {
    const twin = earlier.ranges.findIndex((each) => rangesOverlap(range, each));
    if (twin < 0) return [];
    const theirs = `${earlier.object.spec.addresses[twin]} of LBPool ${earlier.name}, which is tried first`;
    return [`${pool.object.spec.addresses[i]} overlaps ${theirs}`];
  });
}

/** The pool's conditions with this one; undefined when they say it already. */
export function withAcceptance({ status, metadata }: LBPool, said: Acceptance): Condition[] | undefined {
  const conditions = status?.conditions ?? [];
  const old = conditions.find(({ type }) => type === ACCEPTED_CONDITION);
  const { generation: observedGeneration } = metadata;
  const lastTransitionTime = old?.status === said.status ? old.lastTransitionTime : timestamp(Date.now());
  const condition = { type: ACCEPTED_CONDITION, ...said, observedGeneration, lastTransitionTime } as Condition;
  if (old && isDeepStrictEqual({ ...old }, { ...condition })) return undefined;
  return [...conditions.filter(({ type }) => type !== ACCEPTED_CONDITION), condition];
}
