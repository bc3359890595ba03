// Room objects: the paths of an OpenAPI document: which verbs each resource has, with which parameters and bodies.
import { type KindRow, resourcePath } from '../kinds.ts';
import { type Dialect, fullName, type Json, type Models } from './dialect.ts';

const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];
const READ = ['pretty'];
const LIST = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
];
const WRITE = ['dryRun', 'fieldManager', 'fieldValidation'];
const DELETE = ['dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'];
const TYPES: Readonly<Record<string, string>> = {
  limit: 'integer',
  timeoutSeconds: 'integer',
  gracePeriodSeconds: 'integer',
  allowWatchBookmarks: 'boolean',
  sendInitialEvents: 'boolean',
  watch: 'boolean',
  orphanDependents: 'boolean',
};
/** The bodies of subresources that do not carry the kind itself. */
const BODIES: Readonly<Record<string, string>> = {
  scale: 'V1Scale',
  eviction: 'V1Eviction',
  binding: 'V1Binding',
  token: 'AuthenticationV1TokenRequest',
};
const CONNECTED = new Set(['exec', 'attach', 'portforward']);

interface Operation {
  readonly verb: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly action: string;
  readonly query: readonly string[];
  readonly body?: string;
  readonly answer: string;
}

/** `paths` for the resources of these kinds. */
export function operations(models: Models, kinds: readonly KindRow[], dialect: Dialect): Json {
  const paths: Json = {};
  const writer = new PathWriter(models, dialect, paths);
  for (const kind of kinds) {
    const namespace = kind.namespaced ? '{namespace}' : undefined;
    const collection = resourcePath(kind, namespace).replace('%7Bnamespace%7D', '{namespace}');
    const list: Operation = { verb: 'get', action: 'list', query: LIST, answer: `${kind.model}List` };
    writer.add(collection, kind, [
      list,
      { verb: 'post', action: 'post', query: WRITE, body: kind.model, answer: kind.model },
      {
        verb: 'delete',
        action: 'deletecollection',
        query: [...LIST, ...DELETE],
        body: 'V1DeleteOptions',
        answer: 'V1Status',
      },
    ]);
    if (kind.namespaced) writer.add(resourcePath(kind), kind, [list]);
    const item = `${collection}/{name}`;
    writer.add(item, kind, [
      ...readAndWrite(kind.model),
      { verb: 'delete', action: 'delete', query: DELETE, body: 'V1DeleteOptions', answer: 'V1Status' },
    ]);
    for (const subresource of kind.subresources)
      writer.add(`${item}/${subresource}`, kind, ofSubresource(kind, subresource));
  }
  return paths;
}

function readAndWrite(model: string): Operation[] {
  return [
    { verb: 'get', action: 'get', query: READ, answer: model },
    { verb: 'put', action: 'put', query: WRITE, body: model, answer: model },
    { verb: 'patch', action: 'patch', query: [...WRITE, 'force'], answer: model },
  ];
}

function ofSubresource(kind: KindRow, subresource: string): Operation[] {
  if (subresource === 'log') return [{ verb: 'get', action: 'get', query: [], answer: '' }];
  if (CONNECTED.has(subresource)) return [{ verb: 'get', action: 'connect', query: [], answer: '' }];
  if (subresource === 'scale') return readAndWrite('V1Scale');
  if (subresource === 'finalize') {
    return [{ verb: 'put', action: 'put', query: WRITE, body: kind.model, answer: kind.model }];
  }
  const body = BODIES[subresource];
  return body ? [{ verb: 'post', action: 'post', query: WRITE, body, answer: body }] : readAndWrite(kind.model);
}

class PathWriter {
  readonly #models: Models;
  readonly #dialect: Dialect;
  readonly #paths: Json;

  constructor(models: Models, dialect: Dialect, paths: Json) {
    this.#models = models;
    this.#dialect = dialect;
    this.#paths = paths;
  }

  add(path: string, kind: KindRow, list: readonly Operation[]): void {
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map((match) => this.#parameter('path', match[1]!));
    const item: Json = parameters.length > 0 ? { parameters } : {};
    for (const operation of list) item[operation.verb] = this.#operation(path, kind, operation);
    this.#paths[path] = item;
  }

  #parameter(place: 'path' | 'query', name: string): Json {
    const type = { type: TYPES[name] ?? 'string', uniqueItems: true };
    const parameter: Json = { name, in: place, ...(place === 'path' && { required: true }) };
    return this.#dialect.version === 3 ? { ...parameter, schema: type } : { ...parameter, ...type };
  }

  #ref(model: string): Json {
    const name = this.#models.get(model)!.name;
    return { $ref: this.#dialect.ref(fullName(name)) };
  }

  #operation(path: string, kind: KindRow, { verb, action, query, body, answer }: Operation): Json {
    const { version } = this.#dialect;
    const schema = answer ? this.#ref(answer) : { type: 'string' };
    const types = answer ? ['application/json'] : ['text/plain'];
    const operation: Json = {
      operationId: `${action}${path.replace(/[^a-z0-9]+(.)?/gi, (_, next: string | undefined) => next?.toUpperCase() ?? '')}`,
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': { group: kind.group, kind: kind.apiKind, version: kind.version },
      parameters: query.map((name) => this.#parameter('query', name)),
      responses: {
        200:
          version === 3
            ? { description: 'OK', content: Object.fromEntries(types.map((type) => [type, { schema }])) }
            : { description: 'OK', schema },
      },
    };
    if (version === 2) operation['produces'] = types;
    const patch = verb === 'patch';
    if (!body && !patch) return operation;
    const sent = patch ? { $ref: this.#dialect.ref('io.k8s.apimachinery.pkg.apis.meta.v1.Patch') } : this.#ref(body!);
    if (version === 2) {
      operation['consumes'] = patch ? PATCH_TYPES : ['application/json'];
      const bodySchema = patch ? { type: 'object' } : sent;
      (operation['parameters'] as Json[]).push({ name: 'body', in: 'body', required: patch, schema: bodySchema });
    } else {
      const media = patch ? PATCH_TYPES : ['application/json'];
      const content = Object.fromEntries(media.map((type) => [type, { schema: sent }]));
      operation['requestBody'] = { content, ...(verb !== 'delete' && { required: true }) };
    }
    return operation;
  }
}
