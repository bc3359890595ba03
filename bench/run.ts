// `npm run bench` lists the benchmarks; `npm run bench -- start pods` runs some, `-- all` runs all. Each prints what it ran on.
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const benches = globSync('*.bench.ts', { cwd: import.meta.dirname })
  .sort()
  .map((file) => ({ name: basename(file, '.bench.ts'), path: join(import.meta.dirname, file) }));
const wanted = process.argv.slice(2);

if (wanted.length === 0) {
  for (const { name, path } of benches) {
    const purpose = readFileSync(path, 'utf8')
      .split('\n')[0]!
      .replace(/^\/\/\s*/, '');
    console.log(`${name.padEnd(10)} ${purpose}`);
  }
  console.log('\nnpm run bench -- NAME…, or all');
}

const unknown = wanted.filter((name) => name !== 'all' && !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(', ')}; there are ${benches.map((bench) => bench.name).join(', ')}`);
  process.exit(2);
}
for (const { name, path } of benches) {
  if (!wanted.includes(name) && !wanted.includes('all')) continue;
  console.log(`\n== ${name}`);
  const result = spawnSync(process.execPath, [path], { stdio: 'inherit' });
  if (result.status !== 0) process.exitCode = 1;
}
