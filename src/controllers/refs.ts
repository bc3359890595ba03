// Room controllers: who controls whom: controller references, and which objects a controller adopts or releases.
import { type LabelSelector, matchesSelector } from '../objects/select.ts';
import type { ObjectMeta, OwnerReference } from '../objects/types.ts';

export interface Owned {
  readonly metadata: ObjectMeta;
}

export interface Owner extends Owned {
  readonly apiVersion: string;
  readonly kind: string;
}

/** The one owner reference with `controller: true`. */
export function controllerOf(object: Owned): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((ref) => ref.controller === true);
}

export function controllerRef(owner: Owner): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name!,
    uid: owner.metadata.uid!,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export interface Claims<T> {
  /** Controlled by the owner and selected: what it works with, adopted ones included. */
  readonly owned: T[];
  /** Selected, controlled by nobody, not being deleted: get our reference. */
  readonly adopt: T[];
  /** Controlled by the owner but no longer selected: lose our reference. */
  readonly release: T[];
}

/** Sorts candidates of the owner's namespace. An owner that is being deleted neither adopts nor releases. */
export function claim<T extends Owned>(
  owner: Owner,
  selector: LabelSelector | undefined,
  candidates: Iterable<T>,
): Claims<T> {
  const claims: Claims<T> = { owned: [], adopt: [], release: [] };
  const leaving = owner.metadata.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const selected = matchesSelector(selector, object.metadata.labels);
    if (controller) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (selected || leaving) claims.owned.push(object);
      else claims.release.push(object);
    } else if (selected && !leaving && object.metadata.deletionTimestamp === undefined) {
      claims.owned.push(object);
      claims.adopt.push(object);
    }
  }
  return claims;
}

/** Merge patch that makes `owner` the object's controller; fails with 409 when the object has changed meanwhile. */
export function adoptPatch(owner: Owner, object: Owned) {
  const ownerReferences = [...(object.metadata.ownerReferences ?? []), controllerRef(owner)];
  return { metadata: { uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion, ownerReferences } };
}

/** Merge patch that removes the references to these owners; fails with 409 when the object has changed meanwhile. */
export function releasePatch(object: Owned, ownerUids: ReadonlySet<string>) {
  const ownerReferences = (object.metadata.ownerReferences ?? []).filter((ref) => !ownerUids.has(ref.uid));
  return { metadata: { uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion, ownerReferences } };
}
