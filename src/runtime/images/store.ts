// Room runtime: the images of a machine, shared by its nodes: unpacked layers by digest, and the names under which they are found.
import type { ImageStore } from '../runtime.ts';
import { builtinImage } from './builtin.ts';

export interface UnpackedImages extends ImageStore {
  layers(ref: string): string[];
}

export function openImageStore(_imageDir: string): UnpackedImages {
  return {
    resolve: (name) => builtinImage(name),
    load: () => Promise.reject(new Error('to come')),
    list: () => [],
    remove: () => {},
    layers: () => [],
  };
}

/** What a pod that asks for it is told. */
export function missingImageMessage(name: string): string {
  return `image ${name} is not on this machine: load it with \`podwire image load FILE.tar\` (from \`docker save\` or an OCI layout), or use \`image: host\``;
}
