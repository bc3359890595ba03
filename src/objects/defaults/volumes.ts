// Room objects: defaults of a pod's volumes.
import type { V1DownwardAPIVolumeFile, V1Volume } from '@kubernetes/client-node';
import type { Json } from '../types.ts';

type Volume = Json<V1Volume>;

/** rw-r--r-- */
const FILE_MODE = 0o644;
const TOKEN_SECONDS = 3600;

export function defaultVolume(volume: Volume): void {
  // A volume of no kind is an emptyDir.
  if (Object.keys(volume).every((field) => field === 'name')) volume.emptyDir = {};
  if (volume.secret) volume.secret.defaultMode ??= FILE_MODE;
  if (volume.configMap) volume.configMap.defaultMode ??= FILE_MODE;
  if (volume.hostPath) volume.hostPath.type ??= '';
  if (volume.downwardAPI) {
    volume.downwardAPI.defaultMode ??= FILE_MODE;
    defaultDownward(volume.downwardAPI.items);
  }
  if (volume.projected) {
    volume.projected.defaultMode ??= FILE_MODE;
    for (const { serviceAccountToken, downwardAPI } of volume.projected.sources ?? []) {
      if (serviceAccountToken) serviceAccountToken.expirationSeconds ??= TOKEN_SECONDS;
      defaultDownward(downwardAPI?.items);
    }
  }
}

function defaultDownward(items: Json<V1DownwardAPIVolumeFile>[] | undefined): void {
  for (const { fieldRef } of items ?? []) if (fieldRef) fieldRef.apiVersion ||= 'v1';
}
