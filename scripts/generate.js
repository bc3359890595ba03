// Runs the generators whose output is missing or older than what it is made from.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const STEPS = [
  {
    what: 'schemas of Kubernetes objects from @kubernetes/client-node',
    script: 'scripts/generate-schemas.ts',
    output: 'generated/schemas.json',
    inputs: ['node_modules/@kubernetes/client-node/package.json', 'src/objects'],
  },
  {
    what: 'the network test program agnhost',
    script: 'scripts/bundle-agnhost.ts',
    output: 'generated/agnhost.js',
    inputs: ['src/agnhost', 'src/runtime/images/builtin.ts'],
  },
  {
    what: 'the bundle of the programs',
    script: 'scripts/bundle.ts',
    output: 'generated/bundle/cli.js',
    inputs: ['src', 'package-lock.json'],
  },
];

export function generate(root, say, stop) {
  const installed = join(root, 'node_modules', '.bin', 'node');
  const node = existsSync(installed) ? installed : process.execPath;
  for (const step of STEPS) {
    const output = join(root, step.output);
    const newest = Math.max(...[step.script, ...step.inputs].map((path) => newestChange(join(root, path))));
    if (existsSync(output) && statSync(output).mtimeMs >= newest) continue;
    say(`generating ${step.what}`);
    const result = spawnSync(node, [join(root, step.script)], { cwd: root, encoding: 'utf8' });
    if (result.status !== 0) stop(`${step.script} failed:\n${result.stderr}`);
  }
}

/** The latest change of a file, or of any file below a folder. */
export function newestChange(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newestChange(join(path, name))));
}
