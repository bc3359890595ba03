// Room controllers: each Node gets a prefix of its own for its pods, of every family.
import { parsePrefix, prefixesOverlap, prefixSize, subPrefix } from '../../addr/prefix.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue } from '../queue.ts';

/** The first prefix of this length in `cidr` that overlaps none in use; undefined when all are taken. */
export function freePrefix(cidr: string, length: number, used: readonly string[]): string | undefined {
  const count = 2 ** (length - parsePrefix(cidr).length);
  const family = parsePrefix(cidr).family;
  const taken = new Set(used);
  const odd = used.filter((other) => parsePrefix(other).family === family && parsePrefix(other).length !== length);
  for (let n = 0; n < count; n++) {
    const prefix = subPrefix(cidr, length, n);
    if (!taken.has(prefix) && !odd.some((other) => prefixesOverlap(prefix, other))) return prefix;
  }
  return undefined;
}

export function startNodeCIDRs({ client, informers, options, recorder }: ControllerContext): Controller {
  const { podCIDRs = [], nodePrefixLengths = [] } = options;
  if (podCIDRs.length === 0) return { close() {} };
  const events = recorder('cidrAllocator');
  const nodes = informers.of('Node');
  // One at a time: two nodes must not get the same prefix.
  const queue = createQueue('NodeCIDR', sync, { workers: 1 });
  nodes.onChange(({ type, object }) => {
    if (type !== 'delete') queue.add(object.metadata.name);
    else for (const node of nodes.list()) queue.add(node.metadata.name);
  });

  async function sync(name: string): Promise<void> {
    const node = nodes.get(name);
    if (!node || node.spec?.podCIDR || node.metadata.deletionTimestamp) return;
    const used = [...nodes.list()].flatMap(({ spec }) => spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []));
    const given = podCIDRs.map((cidr, i) => freePrefix(cidr, nodePrefixLengths[i] ?? defaultLength(cidr), used));
    if (given.includes(undefined)) {
      events.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`);
      return;
    }
    const { resourceVersion } = node.metadata;
    const patch = { metadata: { resourceVersion }, spec: { podCIDR: given[0], podCIDRs: given } };
    await informers.echo('Node').written(await client.patch('Node', { name }, patch));
  }

  return { close: queue.close };
}

/** 256 addresses, or a /64. */
function defaultLength(cidr: string): number {
  return prefixSize(cidr) > 2n ** 32n ? 64 : 24;
}
