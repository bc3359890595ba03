// Room cli: `podwire lb`: which node answers for which load balancer address, and a rehearsal of its failover.
import { tellControl } from '../cluster/control.ts';
import { knownCluster, noDaemon } from '../cluster/known.ts';
import type { BalancedAddress } from '../cluster/load-balancer.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { type Blackout, blackoutOf, ConnectingClient } from '../lb/blackout.ts';
import { Fault } from '../observe/fault.ts';
import { formatTable } from './table.ts';

interface LbFlags {
  readonly name: string;
  readonly output: string;
}

export interface RehearseFlags extends LbFlags {
  readonly namespace: string;
  readonly to?: string;
  readonly address?: string;
  readonly stay?: boolean;
}

/** Asks the daemon. Throws a Fault when there is none. */
async function ask<T>(cluster: string, verb: string, body: unknown): Promise<T> {
  requireRoot();
  const answer = await tellControl<T>(clusterPaths(knownCluster(cluster)).control, verb, body);
  if (answer !== undefined) return answer;
  throw noDaemon(cluster, 'the nodes go on answering');
}

export async function runLbList({ name, output }: LbFlags): Promise<void> {
  const rows = await ask<BalancedAddress[]>(name, 'lb', {});
  if (output === 'json') console.log(JSON.stringify(rows, undefined, 2));
  else if (rows.length === 0) console.log('No Service is of type LoadBalancer.');
  else {
    const cells = rows.map((row) => [
      `${row.namespace}/${row.service}`,
      row.address ?? '-',
      row.node ?? '-',
      row.since?.slice(0, 19).concat('Z') ?? '-',
      row.pool ?? '-',
      row.waiting ?? row.why ?? (row.address ? 'no node answers for it' : ''),
    ]);
    console.log(formatTable([['SERVICE', 'ADDRESS', 'NODE', 'SINCE', 'POOL', 'WHY'], ...cells]));
  }
}

interface Leg extends Blackout {
  readonly from: string;
  readonly to: string;
  /** Until the new node said that it answers. */
  readonly movedInMs: number;
}

/** Successes on either side of a move: what is longest must lie between them. */
const ENOUGH = 25;
const LIMIT_MS = 15_000;

/** `target`: `svc/NAME` or `NAME`, each with `NAMESPACE/` before NAME or not. */
export async function runLbRehearse(target: string, flags: RehearseFlags): Promise<void> {
  const row = await findAddress(target, flags);
  const port = row.ports.find((each) => each.endsWith('/TCP'))?.split('/')[0];
  if (port === undefined) throw new Fault(`Service ${target} has no TCP port to connect to`);
  const client = new ConnectingClient(row.address!, Number(port));
  try {
    if (!(await successes(client, ConnectingClient.now()))) {
      throw new Fault(`nothing connects to ${row.address} port ${port}: there is nothing to rehearse`, {
        mend: `kubectl -n ${row.namespace} get endpointslices -l kubernetes.io/service-name=${row.service}`,
      });
    }
    const legs = [await moveOnce(client, row.address!, flags.to, flags.name)];
    if (!flags.stay) legs.push(await moveOnce(client, row.address!, legs[0]!.from, flags.name));
    print(row, legs, flags.output);
  } finally {
    await client.close();
  }
}

async function findAddress(
  target: string,
  { name, namespace: given, address }: RehearseFlags,
): Promise<BalancedAddress> {
  const [service = '', namespace = given] = target
    .replace(/^(svc|services?)\//, '')
    .split('/')
    .reverse();
  const rows = await ask<BalancedAddress[]>(name, 'lb', {});
  const all = rows.filter((row) => row.namespace === namespace && row.service === service);
  if (all.length === 0) {
    const known = rows.map((row) => `${row.namespace}/${row.service}`);
    throw new Fault(`there is no Service ${namespace}/${service} of type LoadBalancer`, {
      mend:
        known.length > 0
          ? `podwire lb rehearse svc/NAMESPACE/NAME, of ${[...new Set(known)].join(', ')}`
          : 'kubectl expose … --type LoadBalancer',
    });
  }
  const found = all.find((row) => row.address !== undefined && (address === undefined || row.address === address));
  if (found) return found;
  const addresses = all.flatMap((row) => row.address ?? []);
  if (addresses.length === 0) throw new Fault(`${service} has no address: ${all[0]!.waiting}`);
  throw new Fault(`${service} has not the address ${address}`, { mend: `it has ${addresses.join(', ')}` });
}

async function successes(client: ConnectingClient, since: number): Promise<boolean> {
  const end = ConnectingClient.now() + LIMIT_MS;
  while (client.successesSince(since) < ENOUGH && ConnectingClient.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return client.successesSince(since) >= ENOUGH;
}

async function moveOnce(
  client: ConnectingClient,
  address: string,
  to: string | undefined,
  cluster: string,
): Promise<Leg> {
  client.take();
  await successes(client, ConnectingClient.now());
  const begun = ConnectingClient.now();
  const moved = await ask<{ from: string; to: string }>(cluster, 'lb-move', { address, to });
  const end = begun + LIMIT_MS;
  for (;;) {
    const rows = await ask<BalancedAddress[]>(cluster, 'lb', {});
    const node = rows.find((row) => row.address === address)?.node;
    if (node === moved.to) break;
    if (ConnectingClient.now() > end) {
      const now = node === undefined ? 'no node answers for it' : `${node} answers for it`;
      throw new Fault(`${moved.to} has not taken ${address} within ${LIMIT_MS / 1000} s: ${now}`, {
        mend: 'podwire lb',
      });
    }
    // On a busy machine: it did not take it in its time, and so somebody else has. Once more.
    if (node !== undefined) await ask(cluster, 'lb-move', { address, to: moved.to });
  }
  const arrived = ConnectingClient.now();
  if (!(await successes(client, arrived))) {
    throw new Fault(`nothing connects to ${address} since it is at ${moved.to}`, {
      mend: `podwire node exec ${moved.to} -- nft list ruleset`,
    });
  }
  return { ...moved, movedInMs: Math.round(arrived - begun), ...blackoutOf(client.take()) };
}

function print(row: BalancedAddress, legs: readonly Leg[], output: string): void {
  const { namespace, service, address } = row;
  if (output === 'json') {
    console.log(JSON.stringify({ namespace, service, address, moves: legs }, undefined, 2));
    return;
  }
  console.log(`${address} of Service ${namespace}/${service}, by a client on this machine that connects every 10 ms:`);
  const cells = legs.map((leg) => [
    leg.from,
    leg.to,
    `${leg.movedInMs} ms`,
    `${leg.longestGapMs} ms`,
    `${leg.failed} of ${leg.attempts}`,
  ]);
  console.log(formatTable([['FROM', 'TO', 'MOVED IN', 'BLACKOUT', 'FAILED'], ...cells]));
  console.log('BLACKOUT is the longest time without a new connection; 10 ms are the client’s own rhythm.');
}
