// Room runtime: what a container sees as `/`, by its image: unpacked layers, or the machine's own root under an overlay.
import { dirname, join } from 'node:path';
import { agnhostMounts } from './images/builtin.ts';
import { bindMount, type OciMount } from './oci-config.ts';
import type { ResolvedImage } from './runtime.ts';

export interface RootFilesystem {
  /** Directories for overlayfs, uppermost first. */
  readonly layers: readonly string[];
  readonly mounts: readonly OciMount[];
  readonly hidden: readonly string[];
}

const tmpfs = (destination: string, mode: string): OciMount => ({
  destination,
  type: 'tmpfs',
  source: 'tmpfs',
  options: ['nosuid', 'nodev', `mode=${mode}`],
});

export function rootFilesystem(image: ResolvedImage, layers: readonly string[], imageDir: string): RootFilesystem {
  if (image.ref.startsWith('sha256:')) return { layers, mounts: [], hidden: [] };
  const program = image.ref === 'builtin:agnhost' ? agnhostMounts() : [];
  return {
    layers: ['/'],
    // The machine's sockets and temporary files are nobody's business in a pod.
    mounts: [
      tmpfs('/run', '755'),
      tmpfs('/tmp', '1777'),
      ...program.map(([source, target]) => bindMount(source, target, true)),
    ],
    // Keys and state of all clusters of the machine.
    hidden: [imageDir, join(dirname(imageDir), 'clusters')],
  };
}
