// Room lb: which of several nodes is to have an address: rendezvous hashing, so that all nodes say the same and a node that goes moves only its own.
import { createHash } from 'node:crypto';
import type { IP } from '../addr/ip.ts';

export function rendezvousScore(node: string, ip: IP): number {
  return createHash('sha1').update(`${node} ${ip}`).digest().readUInt32BE(0);
}

/** Whether `a` goes before `b`. */
export function outranks(a: string, b: string, ip: IP): boolean {
  const [left, right] = [rendezvousScore(a, ip), rendezvousScore(b, ip)];
  return left === right ? a < b : left > right;
}

export function bestNode(nodes: Iterable<string>, ip: IP): string | undefined {
  let best: string | undefined;
  for (const node of nodes) if (best === undefined || outranks(node, best, ip)) best = node;
  return best;
}
