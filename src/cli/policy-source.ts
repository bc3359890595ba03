// Room cli: the cluster of which `podwire policy` speaks: manifests of a file or a folder, or what a cluster's API has.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { noCluster } from '../cluster/known.ts';
import { dnsServiceIPs } from '../cluster/layout.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { storedConfig } from '../cluster/slot.ts';
import { readUserFile, yamlProblem } from '../cluster/user-file.ts';
import { applyDefaults } from '../objects/defaults/defaults.ts';
import { apiVersionOf, kindRow } from '../objects/kinds.ts';
import {
  type CalicoTier,
  type DraftObject,
  type KubeObject,
  type Node,
  objectKey,
  type Pod,
} from '../objects/types.ts';
import { validate } from '../objects/validate/validate.ts';
import { Fault } from '../observe/fault.ts';
import { type Directory, directoryOf } from '../plan/policy/ends.ts';
import { PolicyEngine } from '../plan/policy/engine.ts';
import { dnsPod } from '../plan/policy/pod.ts';
import { type AnyPolicy, POLICY_KINDS, policyId, policyKind } from '../plan/policy/read-policy.ts';
import { askCluster } from './cluster-client.ts';

export interface PolicySource {
  readonly engine: PolicyEngine;
  readonly directory: Directory;
  /** Of manifests, one for each workload too. */
  readonly pods: readonly Pod[];
  /** Where pods ask for names. */
  readonly dns: string;
}

/** Pods of manifests have addresses that no block means but the whole. */
const DNS_OF_MANIFESTS = '240.255.0.10';
const WORKLOADS = ['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet', 'Job', 'ReplicationController'];

export async function policySource(flags: SourceFlags): Promise<PolicySource> {
  const { objects, dns } = await policyObjects(flags);
  return ofObjects(objects, dns);
}

export interface SourceFlags {
  readonly name: string;
  readonly filename?: string;
}

/** What is there, and where pods ask for names. */
export async function policyObjects({ name, filename }: SourceFlags) {
  return filename === undefined ? ofCluster(name) : { objects: readManifests(filename), dns: [DNS_OF_MANIFESTS] };
}

async function ofCluster(name: string): Promise<{ objects: DraftObject[]; dns: readonly string[] }> {
  const { kubeconfig } = clusterPaths(name);
  const config = storedConfig(name);
  if (!config || !existsSync(kubeconfig)) throw noCluster(name, '-f DIR reads manifests');
  const kinds = ['Pod', 'Namespace', 'Node', 'Service', 'ServiceAccount', 'CalicoTier', ...POLICY_KINDS] as const;
  const lists = await askCluster(name, (client) =>
    Promise.all(
      kinds.map(async (kind) => {
        const { items } = await client.list(kind);
        const { apiKind } = kindRow(kind);
        const apiVersion = apiVersionOf(kindRow(kind));
        return items.map((item): DraftObject => ({ ...(item as unknown as DraftObject), apiVersion, kind: apiKind }));
      }),
    ),
  );
  return { objects: lists.flat(), dns: dnsServiceIPs(config) };
}

/** Throws a Fault that names the file at fault. */
export function readManifests(path: string): DraftObject[] {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const files = isFolder
    ? readdirSync(path, { recursive: true, encoding: 'utf8' })
        .filter((file) => ['.yaml', '.yml', '.json'].includes(extname(file)))
        .sort()
        .map((file) => join(path, file))
    : [path];
  return files.flatMap((file) => {
    return parseAllDocuments(readUserFile(file)).flatMap((document) => {
      const [problem] = document.errors;
      if (problem) throw new Fault(`${file}: ${yamlProblem(problem)}`);
      const object = document.toJS() as (DraftObject & { items?: DraftObject[] }) | null;
      const objects = object?.items ?? (object?.kind ? [object] : []);
      for (const each of objects) checkShape(file, each);
      // Folders hold other files too.
      if (object && !object.items && !object.kind && !isFolder)
        throw new Fault(`${file} is no manifest: it has no kind`);
      return objects;
    });
  });
}

/** What everything that reads manifests relies on. */
function checkShape(file: string, object: DraftObject): void {
  const kind = object?.kind;
  if (typeof kind !== 'string') throw new Fault(`${file}: an item has no kind`);
  const name = object.metadata?.name ?? object.metadata?.generateName;
  if (typeof name !== 'string') throw new Fault(`${file}: a ${kind} has no metadata.name`);
  const place = WORKLOADS.includes(kind) ? 'spec.template.spec' : 'spec';
  const isPod = kind === 'Pod' || WORKLOADS.includes(kind);
  const pod = kind === 'Pod' ? object : (object.spec as { template?: DraftObject } | undefined)?.template;
  if (isPod && !pod?.spec) throw new Fault(`${file}: ${kind} ${name} has no ${place}`);
}

export function ofObjects(objects: readonly DraftObject[], dns: readonly string[] = [DNS_OF_MANIFESTS]): PolicySource {
  const engine = new PolicyEngine();
  const pods: Pod[] = [];
  const setPod = (pod: Pod) => {
    pods.push(pod);
    engine.setPod(pod);
  };
  let count = 0;
  const address = () => `240.${(++count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}`;
  for (const object of objects) {
    const { kind, metadata } = object;
    if (kind === 'Namespace') engine.setNamespace(metadata.name!, metadata.labels ?? {});
    else if (kind === 'Node') engine.setNode(object as unknown as Node);
    else if (isPolicy(object)) engine.setPolicy(checked(object));
    else if (kind === 'Tier' && isCalico(object)) engine.setTier(object as unknown as CalicoTier);
    else if (kind === 'ServiceAccount') {
      engine.setServiceAccount(metadata.namespace ?? 'default', metadata.name!, metadata.labels ?? {});
    } else if (kind === 'Pod') setPod(podOf(object, object, address()));
    else if (WORKLOADS.includes(kind)) setPod(podOf(object, templateOf(object), address()));
  }
  engine.setPod(dnsPod(dns));
  return { engine, directory: directoryOf(objects), pods, dns: dns[0]! };
}

function isCalico({ apiVersion }: DraftObject): boolean {
  return apiVersion?.includes('projectcalico.org/') ?? false;
}

function isPolicy({ kind }: DraftObject): boolean {
  return ['NetworkPolicy', 'ClusterNetworkPolicy', 'GlobalNetworkPolicy'].includes(kind);
}

/** As the API would store it. Throws a Fault where the API would refuse it. */
function checked(object: DraftObject): AnyPolicy {
  const kind = policyKind(object);
  const row = kindRow(kind);
  const { namespace: given, ...metadata } = object.metadata;
  const namespace = row.namespaced ? (given ?? 'default') : undefined;
  const policy = structuredClone({ ...object, metadata: { ...metadata, ...(namespace && { namespace }) } });
  applyDefaults(row, policy);
  const [cause] = validate(row, policy);
  if (!cause) return policy as unknown as AnyPolicy;
  throw new Fault(`${policyId(kind, objectKey(policy))}: ${cause.field}: ${cause.message}`);
}

function templateOf({ spec }: DraftObject): DraftObject {
  return (spec as { template: DraftObject }).template;
}

/** A workload stands for one pod of its template. */
function podOf(owner: DraftObject, { metadata, spec }: DraftObject, ip: string): Pod {
  const { name, namespace = 'default' } = owner.metadata;
  const given = (owner as unknown as KubeObject)['status'] as Pod['status'];
  const status = given?.podIPs ? given : { podIPs: [{ ip }] };
  return { metadata: { ...metadata, name, namespace }, spec, status } as unknown as Pod;
}
