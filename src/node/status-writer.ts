// Room node: writes one pod's status to the API: only what has changed, never two writes at a time.
import type { Client } from '../client/client.ts';
import type { Pod } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { statusChange } from './pod-status.ts';
import type { PodStatus } from './pod-view.ts';

const log = logger('pods');
const RETRY_MS = 500;

export class StatusWriter {
  readonly #client: Client;
  readonly #onWritten: () => void;
  #newest: Pod;
  #writing = false;
  #pausedUntil = 0;
  /** The last change that the server took, as long as it has said nothing newer: what it made of it is its own affair. */
  #taken: string | undefined;

  /** `onWritten` is called after each write, and when one that failed may be tried again. */
  constructor(client: Client, pod: Pod, onWritten: () => void) {
    this.#client = client;
    this.#newest = pod;
    this.#onWritten = onWritten;
  }

  /** The newest status known to be in the API. */
  get base(): PodStatus {
    return this.#newest.status ?? {};
  }

  /** The API server's word, from the watch or as the answer to a write, whichever comes first. */
  heard(pod: Pod): void {
    const { uid, resourceVersion } = this.#newest.metadata;
    const newer = Number(pod.metadata.resourceVersion) > Number(resourceVersion);
    if (pod.metadata.uid !== uid || !newer) return;
    this.#newest = pod;
    this.#taken = undefined;
  }

  /** True when the API says the same already; else the difference is on its way, or will be when asked again. */
  write(status: PodStatus): boolean {
    const change = statusChange(this.base, status);
    if (!change || JSON.stringify(change) === this.#taken) return true;
    if (!this.#writing && Date.now() >= this.#pausedUntil) void this.#patch(change);
    return false;
  }

  async #patch(change: Record<string, unknown>): Promise<void> {
    const { name, namespace, uid } = this.#newest.metadata;
    this.#writing = true;
    try {
      const target = { name, namespace, subresource: 'status' };
      this.heard(await this.#client.patch('Pod', target, { metadata: { uid }, status: change }, 'strategic'));
      this.#taken = JSON.stringify(change);
    } catch (error) {
      // Gone, or replaced by another of the same name: the watch will tell. Or the API server is away.
      log.debug({ pod: `${namespace}/${name}`, err: error }, 'status not written');
      this.#pausedUntil = Date.now() + RETRY_MS;
      setTimeout(this.#onWritten, RETRY_MS).unref();
    }
    this.#writing = false;
    this.#onWritten();
  }
}
