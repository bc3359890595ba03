// Room cluster: whether somebody else's rules are on the nodes of a running cluster, where they decide about packets of pods too.
import { foreignRules } from '../kernel/foreign-rules.ts';
import { netnsPath } from '../sys/netns.ts';
import type { CheckRow } from './check.ts';
import type { ClusterConfig } from './config.ts';
import { nodeLayouts } from './layout.ts';

export function checkForeignRules(config: ClusterConfig): CheckRow[] {
  const what = 'rules of others';
  const found = nodeLayouts(config).flatMap(({ name, netns }) => rulesOn(name, netnsPath(netns)));
  if (found.length === 0) return [{ what, state: 'ok', detail: 'none on the nodes' }];
  return found.map(({ node, rules }) => ({
    what: `${what} on ${node}`,
    state: 'low',
    detail: rules.join('; '),
    mend: `packets of pods pass them too: podwire node exec ${node} -- nft list ruleset`,
  }));
}

function rulesOn(node: string, netns: string): { node: string; rules: string[] }[] {
  try {
    const rules = foreignRules(netns);
    return rules.length > 0 ? [{ node, rules }] : [];
  } catch {
    // A node that is gone, or whose kernel has no nftables: other checks say so.
    return [];
  }
}
