// Room cluster: which load balancer address is whose, and where; and its move from one node to another.
import { isIP } from '../addr/ip.ts';
import { parseRange, rangeContains } from '../addr/range.ts';
import type { Client } from '../client/client.ts';
import { ASSIGNED_CONDITION } from '../controllers/lb/addresses.ts';
import type { ClaimReport } from '../lb/speaker.ts';
import type { LBPool, Service } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import type { NodeWorker } from './node-worker.ts';

/** A Service of type LoadBalancer and one of its addresses; without one it waits for it. */
export interface BalancedAddress {
  readonly namespace: string;
  readonly service: string;
  readonly address?: string;
  /** The node that answers for it; absent: none does at this moment. */
  readonly node?: string;
  /** RFC 3339: since when that node does. */
  readonly since?: string;
  readonly why?: string;
  readonly pool?: string;
  readonly ports: readonly string[];
  /** Why it has no address. */
  readonly waiting?: string;
}

export interface BalancerParts {
  readonly client: Client;
  readonly nodes: readonly NodeWorker[];
}

export async function balancedAddresses({ client, nodes }: BalancerParts): Promise<BalancedAddress[]> {
  const [services, pools, claims] = await Promise.all([client.list('Service'), client.list('LBPool'), claimsOf(nodes)]);
  const balanced = services.items.filter(({ spec }) => spec.type === 'LoadBalancer');
  return balanced.flatMap((service) => rowsOf(service, pools.items, claims));
}

async function claimsOf(nodes: readonly NodeWorker[]): Promise<Map<string, ClaimReport & { node: string }>> {
  const reports = await Promise.all(
    nodes.map(async ({ layout, report }) => ({ node: layout.name, addresses: (await report())?.addresses ?? [] })),
  );
  const claims = reports.flatMap(({ node, addresses }) => addresses.map((claim) => ({ ...claim, node })));
  // Should two say so, the one with the higher epoch keeps it.
  return new Map(claims.sort((a, b) => a.epoch - b.epoch).map((claim) => [claim.ip, claim]));
}

function rowsOf(
  { metadata, spec, status }: Service,
  pools: readonly LBPool[],
  claims: ReadonlyMap<string, ClaimReport & { node: string }>,
): BalancedAddress[] {
  const base = {
    namespace: metadata.namespace ?? 'default',
    service: metadata.name,
    ports: (spec.ports ?? []).map(({ port, protocol = 'TCP' }) => `${port}/${protocol}`),
  };
  const addresses = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []);
  if (addresses.length === 0) {
    const { message } = status?.conditions?.find(({ type }) => type === ASSIGNED_CONDITION) ?? {};
    const other = spec.loadBalancerClass ? `left to load balancers of class ${spec.loadBalancerClass}` : undefined;
    return [{ ...base, waiting: message ?? other ?? 'not yet assigned' }];
  }
  return addresses.map((address) => {
    const claim = claims.get(address);
    const pool = pools.find(
      (each) => isIP(address) && each.spec.addresses.some((text) => rangeContains(parseRange(text), address)),
    );
    return {
      ...base,
      address,
      ...(claim && { node: claim.node, since: claim.since, why: claim.why }),
      ...(pool && { pool: pool.metadata.name }),
    };
  });
}

export interface Move {
  readonly address: string;
  readonly to?: string;
}

/** From the node that answers for it to another. Throws a Fault when there is none to go to. */
export async function moveAddress(
  { nodes }: BalancerParts,
  { address, to }: Move,
): Promise<{ from: string; to: string }> {
  const claim = (await claimsOf(nodes)).get(address);
  const holder = nodes.find(({ layout }) => layout.name === claim?.node);
  if (!claim || !holder)
    throw new Fault(`no node answers for ${address}`, { mend: 'podwire lb, which lists who answers for what' });
  if (claim.node === to) throw new Fault(`${to} answers for ${address} already`, { mend: 'leave out --to' });
  const names = nodes.map(({ layout }) => layout.name);
  if (to !== undefined && !names.includes(to))
    throw new Fault(`there is no node "${to}"`, { mend: `the nodes are ${names.join(', ')}` });
  const next = await holder.moveAddress(address, to);
  if (next !== undefined) return { from: claim.node, to: next };
  throw new Fault(`${to === undefined ? 'no other node can' : `${to} cannot`} answer for ${address} now`, {
    mend:
      'nodes that can are Ready, on the same segment, not excluded from load balancers, ' +
      'and with externalTrafficPolicy Local have a ready endpoint',
  });
}
