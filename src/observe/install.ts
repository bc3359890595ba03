// Room observe: where this installation's files are, whether we run from source or from the bundle that set-up makes of it.
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Programs that are started as processes or threads of their own: name in the bundle, file below src/. */
export const PROGRAMS = {
  cli: 'cli/main.ts',
  cni: 'cni/main.ts',
  'cni-wiring': 'cni/wiring-worker.ts',
  daemon: 'cluster/daemon.ts',
  'node-worker': 'node/worker.ts',
} as const;

/** The folder that holds package.json. */
export const INSTALL_DIR: string = folderWith('package.json', import.meta.dirname);

const fromBundle = basename(import.meta.dirname) === 'bundle';

function folderWith(file: string, folder: string): string {
  if (existsSync(join(folder, file)) || dirname(folder) === folder) return folder;
  return folderWith(file, dirname(folder));
}

export function installed(...path: readonly string[]): string {
  return join(INSTALL_DIR, ...path);
}

/** What to start: the bundle starts the bundle, the source the source. */
export function programFile(program: keyof typeof PROGRAMS): string {
  return fromBundle ? installed('generated', 'bundle', `${program}.js`) : installed('src', PROGRAMS[program]);
}

/** As package.json has it. */
export function podwireVersion(): string {
  return (JSON.parse(readFileSync(installed('package.json'), 'utf8')) as { version: string }).version;
}
