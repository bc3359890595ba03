// Set-up: the network test program in one file of plain JavaScript, which Node starts faster than a folder of TypeScript.
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { AGNHOST_NODE, AGNHOST_PROGRAM } from '../src/runtime/images/builtin.ts';

mkdirSync(dirname(AGNHOST_PROGRAM), { recursive: true });
await build({
  entryPoints: [join(import.meta.dirname, '..', 'src', 'agnhost', 'main.ts')],
  outfile: AGNHOST_PROGRAM,
  bundle: true,
  platform: 'node',
  target: 'node24',
  // Neither CommonJS nor a module by its syntax: in the container it has no extension and no package.json, here it has both.
  format: 'iife',
  minifyWhitespace: true,
  minifySyntax: true,
  banner: { js: `#!${AGNHOST_NODE}\nvar require = process.getBuiltinModule;` },
});
chmodSync(AGNHOST_PROGRAM, 0o755);
