// Room api: what a request asks for, read from its method and path.
import type { ApiRequest } from '../client/transport.ts';
import { KINDS, type KindRow } from '../objects/kinds.ts';
import { methodNotAllowed, noSuchPath } from './errors.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export interface ResourceRoute {
  readonly verb: Verb;
  readonly row: KindRow;
  /** Undefined for cluster-scoped kinds and for a list across namespaces. */
  readonly namespace: string | undefined;
  /** Undefined for list, create and deletecollection. */
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

const byPath = new Map(KINDS.map((row) => [`${row.group}/${row.version}/${row.plural}`, row]));

/** Undefined when the path is none of the resource paths `/api/<v>/…` and `/apis/<g>/<v>/…`; throws 404 and 405. */
export function parseRoute(request: Pick<ApiRequest, 'method' | 'path' | 'query'>): ResourceRoute | undefined {
  const parts = request.path.split('/').slice(1).map(decodePart);
  const [root, ...rest] = parts;
  if (root !== 'api' && root !== 'apis') return undefined;
  const [group, version, ...tail] = root === 'api' ? ['', ...rest] : rest;
  if (tail.length === 0 || tail[0] === '') return undefined;
  const watch = tail[0] === 'watch'; // the path from before ?watch=true, which old clients still use
  const scoped = scopeOf(`${group}/${version}`, watch ? tail.slice(1) : tail);
  if (!scoped) throw noSuchPath();
  return { ...scoped, verb: verbOf(request, scoped.name, scoped.subresource, watch) };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw noSuchPath();
  }
}

function scopeOf(groupVersion: string, tail: readonly string[]): Omit<ResourceRoute, 'verb'> | undefined {
  const inNamespace =
    tail[0] === 'namespaces' && tail.length > 2 ? byPath.get(`${groupVersion}/${tail[2]}`) : undefined;
  const namespaced = inNamespace?.namespaced === true;
  const row = namespaced ? inNamespace : byPath.get(`${groupVersion}/${tail[0]}`);
  const [name, subresource, ...more] = namespaced ? tail.slice(3) : tail.slice(1);
  if (!row || more.length > 0 || name === '') return undefined;
  if (name !== undefined && row.namespaced && !namespaced) return undefined;
  if (subresource !== undefined && !row.subresources.includes(subresource)) return undefined;
  return { row, namespace: namespaced ? tail[1] : undefined, name, subresource };
}

function verbOf(
  { method, query = {} }: Pick<ApiRequest, 'method' | 'query'>,
  name: string | undefined,
  subresource: string | undefined,
  watchPath: boolean,
): Verb {
  const watching = watchPath || (query['watch'] !== undefined && query['watch'] !== 'false' && query['watch'] !== '0');
  if (method === 'GET') {
    if (watching && subresource === undefined) return 'watch';
    return name === undefined ? 'list' : 'get';
  }
  const onCollection = name === undefined;
  if (method === 'POST' && (onCollection || subresource !== undefined)) return 'create';
  if (method === 'DELETE') return onCollection ? 'deletecollection' : 'delete';
  if (method === 'PUT' && !onCollection) return 'update';
  if (method === 'PATCH' && !onCollection) return 'patch';
  throw methodNotAllowed();
}
