// Room runtime: the images that need no archive: the machine's own root file system, and our network test program upon it.
import { installed } from '../../observe/install.ts';
import type { ResolvedImage } from '../runtime.ts';
import { normalizeName } from './name.ts';

const base = { env: [], workingDir: '/', user: '' };

/** As made at set-up from src/agnhost. */
export const AGNHOST_PROGRAM = installed('generated', 'agnhost.js');

/** The interpreter's place in the container; the program's first line names it. */
export const AGNHOST_NODE = '/usr/lib/podwire/node';

/** Files of ours that a container of the built-in image gets: source, target. */
export function agnhostMounts(): (readonly [string, string])[] {
  return [
    [process.execPath, AGNHOST_NODE],
    [AGNHOST_PROGRAM, '/agnhost'],
  ];
}

export function builtinImage(name: string): ResolvedImage | undefined {
  const normal = normalizeName(name);
  const repository = normal?.repository;
  if (repository === 'docker.io/library/host' || repository === 'podwire.io/host') {
    return { ...base, name, ref: 'host', entrypoint: [], cmd: [] };
  }
  if (repository === 'podwire.io/agnhost' || repository === 'registry.k8s.io/e2e-test-images/agnhost') {
    return { ...base, name, ref: 'builtin:agnhost', entrypoint: ['/agnhost'], cmd: ['pause'] };
  }
  return undefined;
}
