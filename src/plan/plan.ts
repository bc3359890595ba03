// Room plan: desired kernel state as keyed fragments of plain data.
import type { KernelItem } from '../kernel/items.ts';
import type { ObjectRef } from '../objects/types.ts';

/** The part of the desired state that one object caused. */
export interface Fragment {
  readonly cause: ObjectRef;
  readonly items: readonly KernelItem[];
}

/** Key (unique within the node: `service/shop/web`, `pod/<uid>`, `node/worker-2`) to fragment. */
export type Plan = ReadonlyMap<string, Fragment>;
