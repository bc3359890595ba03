// Room api: the paths beside the kinds: health, version, discovery, OpenAPI, and the reviews that kubectl asks for.
import { createHash } from 'node:crypto';
import { openapiV2, openapiV2Protobuf, openapiV3, openapiV3Index } from '../objects/openapi.ts';
import { timestamp } from '../objects/time.ts';
import { type Answer, type Call, valueAnswer } from './answer.ts';
import { isPublic } from './auth.ts';
import { objectIn } from './body.ts';
import { discover } from './discovery.ts';
import { methodNotAllowed, noSuchPath } from './errors.ts';
import { parseAccept } from './negotiate.ts';
import { parseRoute, type ResourceRoute } from './path.ts';

export const VERSION = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.0+podwire',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: `node${process.versions.node}`,
  compiler: 'none',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

const REVIEWS: Readonly<Record<string, (call: Call) => object>> = {
  '/apis/authentication.k8s.io/v1/selfsubjectreviews': selfSubjectReview,
  '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': selfSubjectAccessReview,
  '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews': selfSubjectRulesReview,
};

/** kubectl looks here before it says that a kind is not served; without an answer it speaks of this path and not of the kind. */
const CUSTOM_RESOURCES = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const NO_CUSTOM_RESOURCES = {
  kind: 'CustomResourceDefinitionList',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: { resourceVersion: '' },
  items: [],
};

/** The kind that the path is of, unless it is one that is only answered and never stored. */
export function routeOf(request: Pick<Call, 'method' | 'path' | 'query'>): ResourceRoute | undefined {
  return request.path in REVIEWS || request.path === CUSTOM_RESOURCES ? undefined : parseRoute(request);
}

function answerReview(call: Call): Answer | undefined {
  const review = REVIEWS[call.path];
  if (!review) return undefined;
  if (call.method !== 'POST') throw methodNotAllowed();
  return valueAnswer(review(call), 201);
}

/** Undefined when the path is none of them. */
export function answerSpecial(call: Call): Answer | undefined {
  const { path } = call;
  if (path === '/version') return valueAnswer(VERSION);
  if (isPublic(path)) return text('ok', 'text/plain');
  if (path.startsWith('/openapi/')) return openapi(call);
  if (path === CUSTOM_RESOURCES && call.method === 'GET') return valueAnswer(NO_CUSTOM_RESOURCES);
  return answerReview(call) ?? discover(call);
}

function text(content: string, mediaType: string): Answer {
  return { status: 200, content: { type: 'text', text: content, mediaType } };
}

/** As which media type a client asks for OpenAPI v2 in protobuf (the older one is what kubectl says), and as which it gets it. */
const V2_PROTOBUF = [
  'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
  'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
];

function openapi(call: Call): Answer {
  const { path } = call;
  if (path === '/openapi/v3') return valueAnswer(openapiV3Index());
  const isV2 = path === '/openapi/v2';
  if (isV2 && V2_PROTOBUF.includes(parseAccept(call.headers?.['accept'])[0]!.type)) {
    return { status: 200, content: { type: 'bytes', bytes: openapiV2Protobuf(), mediaType: V2_PROTOBUF[0]! } };
  }
  const document = isV2 ? openapiV2() : openapiV3(path.slice('/openapi/v3/'.length));
  if (document === undefined) throw noSuchPath();
  const etag = `"${createHash('sha256').update(document).digest('hex').slice(0, 32)}"`;
  const mediaType = 'application/json';
  // The index names a document by its hash, so one that was asked for by hash never changes.
  const headers = { etag, ...(call.query?.['hash'] && { 'cache-control': 'public, immutable, max-age=31536000' }) };
  if (call.headers?.['if-none-match'] === etag)
    return { status: 304, content: { type: 'text', text: '', mediaType }, headers };
  return { ...text(document, mediaType), headers };
}

/** kubectl auth whoami */
function selfSubjectReview({ user }: Call): object {
  const userInfo = { username: user.name, groups: user.groups, ...(user.uid && { uid: user.uid }) };
  return {
    kind: 'SelfSubjectReview',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { creationTimestamp: timestamp(Date.now()) },
    status: { userInfo },
  };
}

/** kubectl auth can-i: whoever is known may do all, since there is no RBAC yet. */
function selfSubjectAccessReview({ body }: Call): object {
  const spec = objectIn(objectIn(body)['spec']);
  return {
    kind: 'SelfSubjectAccessReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: { creationTimestamp: null },
    spec,
    status: { allowed: true, reason: 'every authenticated user may do everything' },
  };
}

/** kubectl auth can-i --list */
function selfSubjectRulesReview({ body }: Call): object {
  return {
    kind: 'SelfSubjectRulesReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: { creationTimestamp: null },
    spec: objectIn(objectIn(body)['spec']),
    status: {
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
      incomplete: false,
    },
  };
}
