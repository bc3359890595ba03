// Room node: which tracked UDP flows lead to endpoints that a Service has no more.
import type { ConntrackFilter } from '../kernel/kernel.ts';
import type { Fragment } from '../plan/plan.ts';
import { udpTargets } from '../plan/services.ts';

/**
 * UDP has no end, so a client that keeps its port would go to an endpoint that is gone for as long as it sends. For every frontend whose
 * endpoints are not what they were: all flows but those to endpoints that it has now. After a restart nothing is known of before,
 * and what changed meanwhile is found by the same rule.
 */
export function staleFlows(before: Fragment | undefined, after: Fragment | undefined): ConntrackFilter[] {
  const old = udpTargets(before);
  const now = udpTargets(after);
  const filters: ConntrackFilter[] = [];
  for (const frontend of new Set([...old.keys(), ...now.keys()])) {
    const except = now.get(frontend);
    if (except && JSON.stringify(except) === JSON.stringify(old.get(frontend))) continue;
    const [originalDst, originalDstPort] = frontend.split(' ') as [string, string];
    filters.push({
      protocol: 'UDP',
      originalDst,
      originalDstPort: Number(originalDstPort),
      ...(except && { except }),
    });
  }
  return filters;
}
