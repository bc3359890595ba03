// Room api: who asks: a client certificate of the cluster's authority, or a bearer token. Whoever is known may do all: there is no RBAC yet.
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { failure, type StatusError } from '../objects/status.ts';
import type { User } from './answer.ts';
import { badRequest } from './errors.ts';
import type { ServiceAccountTokens } from './token.ts';

/** What anybody may ask. */
const PUBLIC_PATHS = new Set(['/livez', '/readyz', '/healthz', '/version']);

export const ANONYMOUS: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

export function isPublic(path: string): boolean {
  return PUBLIC_PATHS.has(path);
}

export function unauthorized(): StatusError {
  return failure(401, 'Unauthorized', 'Unauthorized');
}

export class Authenticator {
  readonly #tokens: ServiceAccountTokens;
  readonly #bySocket = new WeakMap<TLSSocket, User>();

  constructor(tokens: ServiceAccountTokens) {
    this.#tokens = tokens;
  }

  /** Undefined: unknown. A bearer token that is no good is not made up for by a certificate. */
  authenticate(request: IncomingMessage): User | undefined {
    const bearer = bearerToken(request);
    if (bearer !== undefined) return this.#tokens.authenticate(bearer);
    const socket = request.socket as TLSSocket;
    if (!socket.authorized) return undefined;
    const known = this.#bySocket.get(socket) ?? certificateUser(socket);
    if (known) this.#bySocket.set(socket, known);
    return known;
  }
}

/**
 * Whom the user wants to be taken for: `kubectl --as --as-group --as-uid`, headers `Impersonate-…`. Everybody who is known may do
 * so, as they may do all. Throws 400 for groups of nobody.
 */
export function impersonated(user: User, { headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>): User {
  const name = headersDistinct['impersonate-user']?.[0];
  const groups = headersDistinct['impersonate-group'] ?? [];
  if (!name) {
    if (groups.length > 0) throw badRequest('impersonating a group needs Impersonate-User too');
    return user;
  }
  const uid = headersDistinct['impersonate-uid']?.[0];
  const all = name === ANONYMOUS.name ? ANONYMOUS.groups : [...new Set([...groups, 'system:authenticated'])];
  return { name, groups: all, ...(uid && { uid }) };
}

function bearerToken({ headers }: IncomingMessage): string | undefined {
  return /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** CN is the user and O its groups, as in Kubernetes. */
function certificateUser(socket: TLSSocket): User | undefined {
  const { subject } = socket.getPeerCertificate();
  if (!subject?.CN) return undefined;
  const groups = [subject.O ?? []].flat();
  return { name: [subject.CN].flat()[0]!, groups: [...groups, 'system:authenticated'] };
}
