// Room api: the failures that the API server answers with, in Kubernetes' words.
import type { KindRow } from '../objects/kinds.ts';
import { failure, type StatusError } from '../objects/status.ts';

/** `pods`, `deployments.apps`: the key of a bucket and the name in messages. */
export function resourceOf(row: KindRow): string {
  return row.group ? `${row.plural}.${row.group}` : row.plural;
}

/** `details` name the plural as `kind`, as Kubernetes does. */
export function detailsOf(row: KindRow, name: string): { name: string; group?: string; kind: string } {
  return { name, ...(row.group && { group: row.group }), kind: row.plural };
}

export function notFound(row: KindRow, name: string): StatusError {
  return failure(404, 'NotFound', `${resourceOf(row)} "${name}" not found`, detailsOf(row, name));
}

/** Nothing is served under this path. */
export function noSuchPath(): StatusError {
  return failure(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function alreadyExists(row: KindRow, name: string): StatusError {
  return failure(409, 'AlreadyExists', `${resourceOf(row)} "${name}" already exists`, detailsOf(row, name));
}

export function conflict(row: KindRow, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${resourceOf(row)} "${name}": ${why}`;
  return failure(409, 'Conflict', message, detailsOf(row, name));
}

export function staleObject(row: KindRow, name: string): StatusError {
  return conflict(
    row,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

export function forbidden(row: KindRow, name: string, why: string): StatusError {
  const message = `${resourceOf(row)} "${name}" is forbidden: ${why}`;
  return failure(403, 'Forbidden', message, detailsOf(row, name));
}

export function badRequest(message: string): StatusError {
  return failure(400, 'BadRequest', message);
}

export function methodNotAllowed(): StatusError {
  return failure(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
}

export function expired(rev: number, oldest: number): StatusError {
  return failure(410, 'Expired', `too old resource version: ${rev} (${oldest})`);
}
