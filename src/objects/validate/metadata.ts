// Room objects: validation of metadata: names, labels, annotations, owners, finalizers.
import type { KindRow } from '../kinds.ts';
import type { DraftObject, KubeObject, ObjectMeta, OwnerReference } from '../types.ts';
import { type Causes, checkImmutable, checkSyntax, forbidden, invalidValue, required, tooLong } from './causes.ts';
import {
  dns1123LabelProblems,
  dns1123SubdomainProblems,
  ipAddressNameProblems,
  labelKeyProblems,
  labelValueProblems,
} from './names.ts';

const ANNOTATIONS_LIMIT = 256 * 1024;
/** Finalizers without a domain that Kubernetes itself uses. */
const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

/** What names of the kind look like; most are subdomains. */
const NAME_SYNTAX: Readonly<Record<string, (name: string) => string[]>> = {
  Namespace: dns1123LabelProblems,
  // From 1.36 on a digit may be the first (KEP-5311).
  Service: dns1123LabelProblems,
  IPAddress: ipAddressNameProblems,
};

export function nameProblems(kind: KindRow, name: string): string[] {
  return (NAME_SYNTAX[kind.kind] ?? dns1123SubdomainProblems)(name);
}

export function validateMetadata(causes: Causes, kind: KindRow, object: DraftObject): void {
  const { metadata } = object;
  if (metadata.generateName && !metadata.name) {
    checkSyntax(
      causes,
      'metadata.generateName',
      metadata.generateName,
      nameProblems(kind, `${metadata.generateName}x`),
    );
  }
  if (metadata.name) checkSyntax(causes, 'metadata.name', metadata.name, nameProblems(kind, metadata.name));
  else if (!metadata.generateName) causes.push(required('metadata.name', 'name or generateName is required'));
  validateNamespace(causes, kind, metadata);
  validateLabels(causes, 'metadata.labels', metadata.labels);
  validateAnnotations(causes, 'metadata.annotations', metadata.annotations);
  validateOwners(causes, metadata.ownerReferences ?? []);
  for (const finalizer of metadata.finalizers ?? []) validateFinalizer(causes, finalizer);
}

function validateNamespace(causes: Causes, kind: KindRow, { namespace }: ObjectMeta): void {
  if (!kind.namespaced) {
    if (namespace) causes.push(forbidden('metadata.namespace', 'not allowed on this type'));
  } else if (!namespace) causes.push(required('metadata.namespace'));
  else checkSyntax(causes, 'metadata.namespace', namespace, dns1123LabelProblems(namespace));
}

/** Labels, and whatever else is a map of label keys and values: nodeSelector, matchLabels, a Service's selector. */
export function validateLabels(
  causes: Causes,
  field: string,
  labels: Readonly<Record<string, string>> | undefined,
): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    checkSyntax(causes, field, key, labelKeyProblems(key));
    checkSyntax(causes, field, value, labelValueProblems(value));
  }
}

export function validateAnnotations(
  causes: Causes,
  field: string,
  annotations: Record<string, string> | undefined,
): void {
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    checkSyntax(causes, field, key, labelKeyProblems(key.toLowerCase()));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > ANNOTATIONS_LIMIT) causes.push(tooLong(field, ANNOTATIONS_LIMIT));
}

function validateOwners(causes: Causes, owners: readonly OwnerReference[]): void {
  let controller: string | undefined;
  for (const [i, owner] of owners.entries()) {
    const field = `metadata.ownerReferences[${i}]`;
    if (!owner.apiVersion) causes.push(invalidValue(`${field}.apiVersion`, '', 'version must not be empty'));
    for (const name of ['kind', 'name', 'uid'] as const) {
      if (!owner[name]) causes.push(invalidValue(`${field}.${name}`, '', 'must not be empty'));
    }
    if (!owner.controller) continue;
    if (controller !== undefined) {
      const why = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${owner.kind}/${owner.name}`;
      causes.push(invalidValue('metadata.ownerReferences', owners, why));
    }
    controller = `${owner.kind}/${owner.name}`;
  }
}

function validateFinalizer(causes: Causes, finalizer: string): void {
  const field = 'metadata.finalizers';
  checkSyntax(causes, field, finalizer, labelKeyProblems(finalizer));
  if (finalizer.includes('/') || STANDARD_FINALIZERS.has(finalizer)) return;
  causes.push(invalidValue(field, finalizer, 'name is neither a standard finalizer name nor is it fully qualified'));
}

/** What no update may change. */
export function validateMetadataUpdate(causes: Causes, object: DraftObject, old: KubeObject): void {
  for (const name of ['name', 'namespace', 'uid', 'creationTimestamp'] as const) {
    checkImmutable(causes, `metadata.${name}`, object.metadata[name], old.metadata[name]);
  }
  if (!old.metadata.deletionTimestamp) return;
  const known = new Set(old.metadata.finalizers);
  const added = (object.metadata.finalizers ?? []).filter((finalizer) => !known.has(finalizer));
  if (added.length > 0) {
    const why = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
    causes.push(forbidden('metadata.finalizers', why));
  }
}
