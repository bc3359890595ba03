// Room node: tokens of a pod's ServiceAccount (TokenRequest), kept until four fifths of their life are over.
import type { Client } from '../client/client.ts';
import { type Status, StatusError } from '../objects/status.ts';
import type { Pod } from '../objects/types.ts';

interface Token {
  readonly token: string;
  /** ms since the epoch. */
  readonly renewAt: number;
}

export class PodTokens {
  readonly #client: Client;
  readonly #pod: Pod;
  readonly #tokens = new Map<string, Token>();

  constructor(client: Client, pod: Pod) {
    this.#client = client;
    this.#pod = pod;
  }

  /** When the first of them is to be renewed (ms since the epoch). */
  get renewAt(): number | undefined {
    const times = [...this.#tokens.values()].map(({ renewAt }) => renewAt);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  async get(audience: string | undefined, expirationSeconds: number): Promise<string> {
    const key = `${audience ?? ''}/${expirationSeconds}`;
    const kept = this.#tokens.get(key);
    if (kept && kept.renewAt > Date.now()) return kept.token;
    const fresh = await this.#request(audience, expirationSeconds);
    this.#tokens.set(key, fresh);
    return fresh.token;
  }

  async #request(audience: string | undefined, expirationSeconds: number): Promise<Token> {
    const { name, namespace, uid } = this.#pod.metadata;
    const account = this.#pod.spec.serviceAccountName || 'default';
    const now = Date.now();
    const { status, body } = await this.#client.transport.request({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: audience ? [audience] : [],
          expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      },
    });
    if (status >= 400) throw new StatusError(body as Status);
    const answer = body as { status: { token: string; expirationTimestamp: string } };
    const life = Date.parse(answer.status.expirationTimestamp) - now;
    return { token: answer.status.token, renewAt: now + 0.8 * life };
  }
}
