// Room api: tests of what a path asks for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiRequest } from '../client/transport.ts';
import { parseRoute } from './path.ts';

function route(text: string): string | undefined {
  const [method, url = ''] = text.split(' ');
  const [path = '', query = ''] = url.split('?');
  const request = {
    method: method as ApiRequest['method'],
    path,
    query: Object.fromEntries(new URLSearchParams(query)),
  };
  const found = parseRoute(request);
  if (!found) return undefined;
  const { verb, row, namespace = '-', name = '-', subresource = '-' } = found;
  return [verb, row.kind, namespace, name, subresource].join(' ');
}

const CASES: readonly (readonly [request: string, route: string | undefined])[] = [
  ['GET /api/v1/pods', 'list Pod - - -'],
  ['GET /api/v1/pods?watch=true', 'watch Pod - - -'],
  ['GET /api/v1/pods?watch=false', 'list Pod - - -'],
  ['GET /api/v1/watch/namespaces/a/pods', 'watch Pod a - -'],
  ['GET /api/v1/namespaces/a/pods/p', 'get Pod a p -'],
  ['GET /api/v1/namespaces/a/pods/p?watch=1', 'watch Pod a p -'],
  ['GET /api/v1/namespaces', 'list Namespace - - -'],
  ['GET /api/v1/namespaces/a', 'get Namespace - a -'],
  ['PUT /api/v1/namespaces/a/finalize', 'update Namespace - a finalize'],
  ['PATCH /api/v1/namespaces/a/status', 'patch Namespace - a status'],
  ['GET /api/v1/namespaces/a/status', 'get Namespace - a status'],
  ['POST /api/v1/namespaces/a/pods/p/binding', 'create Pod a p binding'],
  ['DELETE /api/v1/namespaces/a/pods', 'deletecollection Pod a - -'],
  ['DELETE /api/v1/nodes/n', 'delete Node - n -'],
  ['GET /apis/apps/v1/namespaces/a/deployments/d/scale', 'get Deployment a d scale'],
  ['POST /apis/networking.k8s.io/v1/namespaces/a/ingresses', 'create Ingress a - -'],
  ['GET /api/v1/namespaces/a%20b/pods', 'list Pod a b - -'],
  ['GET /api', undefined],
  ['GET /api/v1', undefined],
  ['GET /apis/apps/v1', undefined],
  ['GET /version', undefined],
];

for (const [request, expected] of CASES) {
  test(`${request} is ${expected ?? 'no resource'}`, () => assert.equal(route(request), expected));
}

const REFUSED: readonly (readonly [request: string, code: number])[] = [
  ['GET /api/v1/things', 404],
  ['GET /apis/apps/v1/pods', 404],
  ['GET /api/v1/pods/p', 404], // a name outside its namespace
  ['GET /api/v1/namespaces/a/nodes', 404],
  ['GET /api/v1/namespaces/a/pods/p/scale', 404],
  ['GET /api/v1/namespaces/a/pods/', 404],
  ['GET /api/v1/namespaces/%/pods', 404],
  ['POST /api/v1/namespaces/a/pods/p', 405],
  ['PUT /api/v1/namespaces/a/pods', 405],
  ['PATCH /api/v1/nodes', 405],
];

for (const [request, code] of REFUSED) {
  test(`${request} is refused with ${code}`, () => assert.throws(() => route(request), { code }));
}
