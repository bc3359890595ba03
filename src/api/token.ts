// Room api: service account tokens: JSON Web Tokens (RFC 7519, ES256) signed by the cluster's key.
import { createPublicKey, type KeyObject, randomUUID, sign, verify } from 'node:crypto';
import { timestamp } from '../objects/time.ts';
import type { Answer, Call, User } from './answer.ts';
import { valueAnswer } from './answer.ts';
import { integerIn, objectIn, textIn, textsIn } from './body.ts';
import type { ResourceRoute } from './path.ts';
import { getEntry } from './read.ts';
import type { Store } from './store.ts';

interface Claims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly jti: string;
  readonly 'kubernetes.io': {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
  };
}

const DEFAULT_SECONDS = 3600;
const SHORTEST_SECONDS = 600;
const LONGEST_SECONDS = 2 ** 32;
const HEADER = base64url(JSON.stringify({ alg: 'ES256', typ: 'JWT' }));

export class ServiceAccountTokens {
  readonly #store: Store;
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #issuer: string;

  constructor(store: Store, key: KeyObject, clusterDomain: string) {
    this.#store = store;
    this.#privateKey = key;
    this.#publicKey = createPublicKey(key);
    this.#issuer = `https://kubernetes.default.svc.${clusterDomain}`;
  }

  /** POST serviceaccounts/x/token: the TokenRequest with its status. */
  create(route: ResourceRoute, call: Call): Answer {
    const account = getEntry(this.#store, route).object;
    const spec = objectIn(objectIn(call.body)['spec']);
    const audiences = textsIn(spec['audiences']);
    const expirationSeconds = integerIn(spec['expirationSeconds']) ?? DEFAULT_SECONDS;
    const bound = spec['boundObjectRef'] === undefined ? undefined : objectIn(spec['boundObjectRef']);
    const seconds = Math.min(Math.max(expirationSeconds, SHORTEST_SECONDS), LONGEST_SECONDS);
    const now = Math.floor(Date.now() / 1000);
    const { name, namespace = '', uid } = account.metadata;
    const pod =
      bound?.['kind'] === 'Pod' ? { name: textIn(bound['name']) ?? '', uid: textIn(bound['uid']) ?? '' } : undefined;
    const claims: Claims = {
      iss: this.#issuer,
      sub: `system:serviceaccount:${namespace}:${name}`,
      aud: audiences.length > 0 ? audiences : [this.#issuer],
      iat: now,
      nbf: now,
      exp: now + seconds,
      jti: randomUUID(),
      'kubernetes.io': { namespace, serviceaccount: { name, uid }, ...(pod && { pod }) },
    };
    const token = this.#sign(claims);
    const answer = {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name, namespace, creationTimestamp: timestamp(now * 1000) },
      spec: { audiences: claims.aud, expirationSeconds: seconds, boundObjectRef: bound ?? null },
      status: { token, expirationTimestamp: timestamp(claims.exp * 1000) },
    };
    return valueAnswer(answer, 201);
  }

  #sign(claims: Claims): string {
    const text = `${HEADER}.${base64url(JSON.stringify(claims))}`;
    const signature = sign('sha256', Buffer.from(text), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }

  /** Undefined when the token is not ours, is out of time, is for somebody else, or its account (or pod) is gone. */
  authenticate(token: string): User | undefined {
    const claims = this.#verified(token);
    if (!claims) return undefined;
    const now = Date.now() / 1000;
    if (
      claims.iss !== this.#issuer ||
      !claims.aud.includes(this.#issuer) ||
      now >= claims.exp ||
      now < claims.nbf - 60
    ) {
      return undefined;
    }
    const { namespace, serviceaccount, pod } = claims['kubernetes.io'];
    if (
      this.#store.get('serviceaccounts', namespace, serviceaccount.name)?.object.metadata.uid !== serviceaccount.uid
    ) {
      return undefined;
    }
    if (pod && this.#store.get('pods', namespace, pod.name)?.object.metadata.uid !== pod.uid) return undefined;
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
    return { name: claims.sub, groups, uid: serviceaccount.uid };
  }

  #verified(token: string): Claims | undefined {
    const [header, payload, signature, ...more] = token.split('.');
    if (header !== HEADER || !payload || !signature || more.length > 0) return undefined;
    const key = { key: this.#publicKey, dsaEncoding: 'ieee-p1363' as const };
    const text = Buffer.from(`${header}.${payload}`);
    if (!verify('sha256', text, key, Buffer.from(signature, 'base64url'))) return undefined;
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims;
  }
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}
