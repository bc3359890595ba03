// Bundles the programs into generated/bundle: one file loads several times faster than two hundred. The source stays what
// runs whenever it is newer (bin/podwire.js decides).
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { INSTALL_DIR, installed, PROGRAMS } from '../src/observe/install.ts';

/**
 * An `import` of a module of Node's reads all its exports, and some of those load much more: node:http alone costs 40 ms.
 * Taken this way, a module gives only what is asked of it.
 */
const nodeModules: Plugin = {
  name: 'node-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin' }));
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: 'js',
    }));
  },
};

const outdir = installed('generated', 'bundle');
clear(outdir);
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
  plugins: [nodeModules],
  // CommonJS packages ask for Node's own modules by require.
  banner: {
    js: "import { createRequire as pwRequire } from 'node:module'; const require = pwRequire(import.meta.url);",
  },
  logLevel: 'error',
});

/** Chunks carry a hash of what is in them, and a cluster that is up may yet load some of an earlier bundle: those stay for a week. */
function clear(folder: string): void {
  const weekAgo = Date.now() - 7 * 24 * 3600 * 1000;
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const path = join(folder, name);
    if (name.replace(/\.js$/, '') in PROGRAMS || statSync(path).mtimeMs < weekAgo) rmSync(path);
  }
}
