// Room cluster: a canary for tests of policies: pods of its own, a policy that denies them, and packets that must not pass. Where they do,
// no other test proves anything.
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { IP } from '../../addr/ip.ts';
import type { Client } from '../../client/client.ts';
import { isNotFound } from '../../objects/status.ts';
import type { Pod } from '../../objects/types.ts';
import { Fault } from '../../observe/fault.ts';
import type { Outcome } from '../../plan/policy/expectations.ts';
import type { Place, PlacedPod } from '../pod-place.ts';
import type { Listeners } from './listeners.ts';
import { shoot } from './shots.ts';

const PORT = 8765;
const LABEL = { 'podwire.io/canary': 'policy-test' };
/** What another run left that was killed; younger ones may be at work. */
const STALE_MS = 15 * 60_000;
const PODS_MS = 60_000;
/** How long the kernel of every node may take to hold what the API has. */
const RULES_MS = 15_000;
const GONE_MS = 30_000;
const DUE_MS = 3000;
const SILENCE_MS = 700;
const LOOK_MS = 50;

interface Bird {
  readonly node: string;
  readonly place: Place;
  readonly ips: readonly IP[];
}

export class Canary implements AsyncDisposable {
  readonly namespace = `podwire-canary-${randomBytes(4).toString('hex')}`;
  readonly #client: Pick<Client, 'create' | 'delete' | 'get' | 'list'>;
  readonly #placeOf: (pod: PlacedPod) => Place;
  readonly #listeners: Listeners;
  #isMade = false;

  constructor(
    client: Pick<Client, 'create' | 'delete' | 'get' | 'list'>,
    placeOf: (pod: PlacedPod) => Place,
    listeners: Listeners,
  ) {
    this.#client = client;
    this.#placeOf = placeOf;
    this.#listeners = listeners;
  }

  /** One outcome for each thing that must be so; a cluster that holds them all enforces policies on these nodes. */
  async fly(nodes: readonly string[], rulesWithin = RULES_MS): Promise<Outcome[]> {
    await this.#removeStale();
    const birds = await this.#hatch(nodes.length > 1 ? nodes : [...nodes, ...nodes]);
    const where = [...new Set(birds.map(({ node }) => node))].join(', ');
    const outcomes: Outcome[] = [];
    const hold = async (what: string, want: boolean) => {
      const began = performance.now();
      const wrong = await this.#until(birds, want, rulesWithin);
      const milliseconds = Math.round(performance.now() - began);
      outcomes.push({ name: `canary: ${what} on ${where}`, ok: wrong.length === 0, why: wrong, milliseconds });
      return wrong.length === 0;
    };
    if (!(await hold('packets pass where no policy is', true))) return outcomes;
    for (const type of ['Ingress', 'Egress'] as const) {
      const name = `deny-${type.toLowerCase()}`;
      await this.#client.create('NetworkPolicy', {
        metadata: { name, namespace: this.namespace },
        spec: { podSelector: {}, policyTypes: [type] },
      });
      if (!(await hold(`a policy that denies ${type.toLowerCase()} is enforced`, false))) return outcomes;
      await this.#client.delete('NetworkPolicy', name, this.namespace);
      if (!(await hold(`without it packets pass again`, true))) return outcomes;
    }
    return outcomes;
  }

  async #removeStale(): Promise<void> {
    const { items } = await this.#client.list('Namespace', { labelSelector: 'podwire.io/canary=policy-test' });
    const stale = items.filter(({ metadata }) => Date.now() - Date.parse(metadata.creationTimestamp) > STALE_MS);
    await Promise.all(stale.map(({ metadata }) => this.#client.delete('Namespace', metadata.name)));
  }

  async #hatch(nodes: readonly string[]): Promise<Bird[]> {
    const { namespace } = this;
    this.#isMade = true;
    await this.#client.create('Namespace', { metadata: { name: namespace, labels: LABEL } });
    await Promise.all(
      nodes.map((nodeName, i) => this.#client.create('Pod', canaryPod(namespace, `canary-${i}`, nodeName))),
    );
    const pods = await this.#wait(`the canary's pods run`, PODS_MS, async () => {
      const { items } = await this.#client.list('Pod', { namespace });
      return items.every(({ status }) => status?.phase === 'Running' && status.podIPs?.length) ? items : undefined;
    });
    return pods.map((pod) => this.#bird(pod));
  }

  #bird({ metadata, spec, status }: Pod): Bird {
    const node = spec.nodeName!;
    const place = this.#placeOf({ uid: metadata.uid, node, hostNetwork: false });
    return { node, place, ips: status!.podIPs!.map(({ ip }) => ip) };
  }

  async #wait<T>(what: string, limit: number, look: () => Promise<T | undefined>): Promise<T> {
    for (const end = Date.now() + limit; Date.now() < end; await pause(LOOK_MS)) {
      const found = await look();
      if (found !== undefined) return found;
    }
    throw new Fault(`${what}: not within ${limit / 1000} s`, { mend: `kubectl -n ${this.namespace} get pods,events` });
  }

  /** Until all of them pass, or none; what is still wrong at the end. */
  async #until(birds: readonly Bird[], want: boolean, limit: number): Promise<string[]> {
    for (const end = Date.now() + limit; ; await pause(LOOK_MS)) {
      const wrong = (await this.#round(birds, want ? DUE_MS : SILENCE_MS)).flatMap(({ passes, words }) =>
        passes === want ? [] : [words],
      );
      if (wrong.length === 0 || Date.now() > end) return wrong;
    }
  }

  /** Each asks the next: each one sends and receives. */
  async #round(birds: readonly Bird[], patience: number) {
    const pairs = birds.flatMap((from, i) => {
      const to = birds[(i + 1) % birds.length]!;
      return to.ips.map((ip, family) => ({ from, to, ip, fromIP: from.ips[family]! }));
    });
    return Promise.all(
      pairs.map(async ({ from, to, ip, fromIP }) => {
        const { netns } = to.place;
        await this.#listeners.listen({ netns, ip, port: PORT, protocol: 'TCP' });
        const arrivesAt = [{ netns, ip }];
        const shot = { from: from.place, fromIP, to: ip, port: PORT, protocol: 'TCP' as const, arrivesAt, patience };
        const { passes, words } = await shoot(shot, this.#listeners);
        return { passes, words: `${fromIP} (${from.node}) -> ${ip} (${to.node}) port ${PORT}: ${words}` };
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isMade) return;
    this.#isMade = false;
    const { namespace } = this;
    try {
      await this.#client.delete('Namespace', namespace);
      await this.#wait('the canary is gone', GONE_MS, async () => {
        const found = await this.#client.get('Namespace', namespace).catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        });
        return found ? undefined : true;
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function canaryPod(namespace: string, name: string, nodeName: string) {
  const container = { name: 'canary', image: 'host', command: ['sleep', '900'] };
  return {
    metadata: { namespace, name, labels: LABEL },
    spec: { nodeName, terminationGracePeriodSeconds: 0, automountServiceAccountToken: false, containers: [container] },
  };
}
