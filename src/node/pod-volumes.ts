// Room node: the volumes of one pod, and what they are made from: ConfigMaps, Secrets, tokens. Their files follow as these change.
import type { Pod } from '../objects/types.ts';
import type { ConfigLease } from './config-watch.ts';
import type { PodFacts } from './downward.ts';
import type { PodContext } from './pod-context.ts';
import { PodTokens } from './tokens.ts';
import { makeVolumes } from './volumes.ts';

const LONGEST_TIMER = 2 ** 31 - 1;
const SHORTEST_RENEWAL_MS = 1000;

/** The pod as it stands. */
export interface VolumeHost {
  readonly pod: Pod;
  readonly dataDir: string;
  readonly facts: PodFacts;
}

export interface VolumeEvents {
  /** A ConfigMap or Secret that the pod names has changed. */
  readonly onChange: () => void;
  /** Files of volumes could not be brought up to date. */
  readonly onFailure: (error: unknown) => void;
}

export class PodVolumes {
  readonly config: ConfigLease;
  readonly #host: VolumeHost;
  readonly #events: VolumeEvents;
  readonly #tokens: PodTokens;
  #made = false;
  #closed = false;
  #renewal: NodeJS.Timeout | undefined;
  #refreshing = Promise.resolve();
  #writing: Promise<unknown> = Promise.resolve();

  constructor({ client, configs }: PodContext, host: VolumeHost, events: VolumeEvents) {
    this.#host = host;
    this.#events = events;
    this.#tokens = new PodTokens(client, host.pod);
    this.config = configs.lease(host.pod.metadata.namespace!, host.pod.spec, events.onChange);
  }

  /** Rejects with a ConfigError that names the volume which cannot be made. */
  async make(): Promise<void> {
    await this.config.synced;
    if (this.#closed) return;
    const { pod, dataDir, facts } = this.#host;
    const { configMap, secret } = this.config;
    const token = (audience: string | undefined, seconds: number) => this.#tokens.get(audience, seconds);
    this.#writing = makeVolumes(pod, dataDir, { facts, configMap, secret, token });
    await this.#writing;
    this.#made = true;
    this.#renewTokens();
  }

  /** Brings the files of volumes that are in use up to date; one refresh after the other. */
  refresh(): void {
    if (!this.#made) return;
    this.#refreshing = this.#refreshing.then(() => this.make()).catch(this.#events.onFailure);
  }

  #renewTokens(): void {
    clearTimeout(this.#renewal);
    const at = this.#tokens.renewAt;
    if (at === undefined || this.#closed) return;
    const inMs = Math.min(Math.max(at - Date.now(), SHORTEST_RENEWAL_MS), LONGEST_TIMER);
    this.#renewal = setTimeout(() => this.refresh(), inMs);
  }

  /** After close(): nothing is written any more. A token may have been waited for when the pod was deleted. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => {});
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#renewal);
    this.config.release();
  }
}
