// Room api: discovery: which groups, versions and resources there are, in the old form and the aggregated one.
import { createHash } from 'node:crypto';
import { KINDS, type KindRow } from '../objects/kinds.ts';
import { type Answer, type Call, valueAnswer } from './answer.ts';
import { formOf } from './negotiate.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

interface SubresourceRow {
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
}

const SUBRESOURCES: Readonly<Record<string, SubresourceRow>> = {
  scale: { kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: ['get', 'patch', 'update'] },
  log: { kind: 'Pod', verbs: ['get'] },
  exec: { kind: 'PodExecOptions', verbs: ['create', 'get'] },
  attach: { kind: 'PodAttachOptions', verbs: ['create', 'get'] },
  portforward: { kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
  binding: { kind: 'Binding', verbs: ['create'] },
  eviction: { kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] },
  finalize: { kind: 'Namespace', verbs: ['update'] },
  token: { kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] },
};

/** Kinds that are answered and not stored. */
const REVIEWS = [
  { group: 'authentication.k8s.io', version: 'v1', plural: 'selfsubjectreviews', kind: 'SelfSubjectReview' },
  { group: 'authorization.k8s.io', version: 'v1', plural: 'selfsubjectaccessreviews', kind: 'SelfSubjectAccessReview' },
  { group: 'authorization.k8s.io', version: 'v1', plural: 'selfsubjectrulesreviews', kind: 'SelfSubjectRulesReview' },
];

interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

function groupVersions(): GroupVersion[] {
  const found = new Map<string, GroupVersion>();
  for (const { group, version } of [...KINDS, ...REVIEWS]) found.set(`${group}/${version}`, { group, version });
  return [...found.values()];
}

function subresourceOf(row: KindRow, name: string): SubresourceRow {
  return SUBRESOURCES[name] ?? { kind: row.apiKind, verbs: ['get', 'patch', 'update'] };
}

/** GET /api, /apis, /api/v1, /apis/<group> and /apis/<group>/<version>. Undefined for any other path. */
export function discover(call: Call): Answer | undefined {
  const [root, group, version, ...more] = call.path.replace(/\/$/, '').split('/').slice(1);
  if (call.method !== 'GET' || more.length > 0) return undefined;
  if (root === 'api') return version === undefined ? discoverCore(call, group) : undefined;
  if (root !== 'apis') return undefined;
  if (group === undefined)
    return tagged(call, wantsAggregated(call) ? aggregated(false) : groupList(), wantsAggregated(call));
  const versions = groupVersions().filter((gv) => gv.group === group);
  if (group === '' || versions.length === 0) return undefined;
  if (version === undefined) return valueAnswer({ kind: 'APIGroup', apiVersion: 'v1', ...groupOf(versions) });
  return versions.some((gv) => gv.version === version) ? tagged(call, resourceList({ group, version })) : undefined;
}

function discoverCore(call: Call, version: string | undefined): Answer | undefined {
  if (version === 'v1') return tagged(call, resourceList({ group: '', version }));
  if (version !== undefined) return undefined;
  if (wantsAggregated(call)) return tagged(call, aggregated(true), true);
  return tagged(call, { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] });
}

function wantsAggregated(call: Call): boolean {
  return formOf(call.headers?.['accept']) === 'discovery';
}

/** kubectl keeps discovery on disk and asks whether it is still the same. */
function tagged(call: Call, value: object, isAggregated = false): Answer {
  const text = JSON.stringify(value);
  const etag = `"${createHash('sha256').update(text).digest('hex').slice(0, 32)}"`;
  const as = isAggregated ? ';g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' : '';
  const headers = { etag, vary: 'Accept' };
  const mediaType = `application/json${as}`;
  if (call.headers?.['if-none-match'] === etag)
    return { status: 304, content: { type: 'text', text: '', mediaType }, headers };
  return { status: 200, content: { type: 'text', text, mediaType }, headers };
}

function groupOf(versions: readonly GroupVersion[]): object {
  const list = versions.map(({ group, version }) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: versions[0]!.group, versions: list, preferredVersion: list[0] };
}

function groupList(): object {
  const groups = Map.groupBy(
    groupVersions().filter(({ group }) => group !== ''),
    ({ group }) => group,
  );
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: [...groups.values()].map(groupOf) };
}

function resourceList({ group, version }: GroupVersion): object {
  const rows = KINDS.filter((row) => row.group === group && row.version === version);
  const resources = rows.flatMap((row) => [resourceOf(row), ...row.subresources.map((name) => subresource(row, name))]);
  for (const review of REVIEWS.filter((each) => each.group === group)) resources.push(reviewResource(review));
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group ? `${group}/${version}` : version,
    resources,
  };
}

function resourceOf(row: KindRow): object {
  const { plural, singular, namespaced, kind, shortNames, categories } = row;
  return {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs: VERBS,
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
    storageVersionHash: createHash('sha256')
      .update(`${row.group}/${row.version}/${kind}`)
      .digest('base64')
      .slice(0, 12),
  };
}

function subresource(row: KindRow, name: string): object {
  const { kind, group, version, verbs } = subresourceOf(row, name);
  const { plural, namespaced } = row;
  return { name: `${plural}/${name}`, singularName: '', namespaced, ...(group && { group, version }), kind, verbs };
}

function reviewResource({ plural, kind }: (typeof REVIEWS)[number]): object {
  return { name: plural, singularName: kind.toLowerCase(), namespaced: false, kind, verbs: ['create'] };
}

function aggregated(core: boolean): object {
  const groups = Map.groupBy(
    groupVersions().filter(({ group }) => (group === '') === core),
    ({ group }) => group,
  );
  const items = [...groups].map(([name, versions]) => ({
    metadata: { ...(name && { name }), creationTimestamp: null },
    versions: versions.map((gv) => ({ version: gv.version, resources: aggregatedResources(gv), freshness: 'Current' })),
  }));
  return { kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {}, items };
}

function aggregatedResources({ group, version }: GroupVersion): object[] {
  const stored = KINDS.filter((row) => row.group === group && row.version === version).map((row) => ({
    resource: row.plural,
    responseKind: { group, version, kind: row.apiKind },
    scope: row.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: row.singular,
    verbs: VERBS,
    ...(row.shortNames.length > 0 && { shortNames: row.shortNames }),
    ...(row.categories.length > 0 && { categories: row.categories }),
    subresources: row.subresources.map((name) => {
      const sub = subresourceOf(row, name);
      const responseKind = { group: sub.group ?? group, version: sub.version ?? version, kind: sub.kind };
      return { subresource: name, responseKind, verbs: sub.verbs };
    }),
  }));
  const reviews = REVIEWS.filter((each) => each.group === group).map(({ plural, kind }) => ({
    resource: plural,
    responseKind: { group, version, kind },
    scope: 'Cluster',
    singularResource: kind.toLowerCase(),
    verbs: ['create'],
  }));
  return [...stored, ...reviews];
}
