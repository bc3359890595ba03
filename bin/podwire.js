// Guards the version of Node before any TypeScript is loaded, and prefers the bundle while it is no older than the source.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { newestChange } from '../scripts/generate.js';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  console.error(
    `podwire: this is Node ${process.versions.node}; podwire needs 24 or later. Run 'npm install' in its folder: that brings one.`,
  );
  process.exit(1);
}
const root = join(import.meta.dirname, '..');
const source = join(root, 'src');
const bundle = join(root, 'generated', 'bundle', 'cli.js');
const current = existsSync(bundle) && statSync(bundle).mtimeMs >= newestChange(source);
const { main } = await import(current ? bundle : join(source, 'cli', 'main.ts'));
await main(process.argv.slice(2));
