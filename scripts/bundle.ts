// Bundles the programs into generated/bundle: one file loads several times faster than two hundred. The source stays what
// runs whenever it is newer (bin/podwire.js decides).
import { rmSync } from 'node:fs';
import { build } from 'esbuild';
import { INSTALL_DIR, installed, PROGRAMS } from '../src/observe/install.ts';

const outdir = installed('generated', 'bundle');
rmSync(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: INSTALL_DIR,
  entryPoints: Object.entries(PROGRAMS).map(([name, file]) => ({ in: installed('src', file), out: name })),
  outdir,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  external: ['koffi'],
  // CommonJS packages ask for Node's own modules by require.
  banner: {
    js: "import { createRequire as pwRequire } from 'node:module'; const require = pwRequire(import.meta.url);",
  },
  logLevel: 'error',
});
