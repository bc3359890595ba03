// Room plan: what a pod may receive and send a second: a token bucket at each end of its veth.
import type { KernelItem, NetnsPath, TokenBucket } from '../kernel/items.ts';

/** Bits a second, and bits that may pass at once. */
export interface Shape {
  readonly rate: number;
  readonly burst: number;
}

/** `ingress` is what the pod receives. */
export interface Bandwidth {
  readonly ingress?: Shape;
  readonly egress?: Shape;
}

const QUEUE_SECONDS = 0.025;
const LARGEST_FRAME = 1600;

/** As the bandwidth plugin: bits become bytes, and what waits longer than 25 ms is dropped. */
export function bucketOf({ rate, burst }: Shape): Pick<TokenBucket, 'rate' | 'burst' | 'limit'> {
  const bytes = Math.max(1, Math.round(rate / 8));
  const room = Math.min(0x7fff_ffff, Math.max(LARGEST_FRAME, Math.round(burst / 8)));
  return { rate: bytes, burst: room, limit: Math.min(0xffff_ffff, Math.round(bytes * QUEUE_SECONDS) + room) };
}

/** What the pod receives waits at the node's end of its veth, what it sends at its own, so that its senders wait. */
export function planBuckets(
  { ingress, egress }: Bandwidth,
  ends: { readonly outer: string; readonly inner: string; readonly netns: NetnsPath },
): KernelItem[] {
  const { outer, inner, netns } = ends;
  return [
    ...(ingress ? [{ kind: 'bucket', link: outer, ...bucketOf(ingress) } as const] : []),
    ...(egress ? [{ kind: 'bucket', netns, link: inner, ...bucketOf(egress) } as const] : []),
  ];
}
