// `npm run long` lists the long runs; `npm run long -- churn fuzz` runs some. They are tests that do much more than in CI.
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const RUNS = {
  churn: {
    what: '1,000 pods come and go while agents are killed at random (root)',
    files: ['test/cluster/churn.test.ts'],
  },
  fuzz: {
    what: '1,000,000 inputs each for the netlink decoders and the CNI plugin',
    files: ['test/fuzz/netlink.test.ts', 'test/fuzz/cni.test.ts'],
  },
  shout: {
    what: '1,000 pods that a policy isolates shout from their first moment on, and none is heard (root)',
    files: ['--test-name-pattern=shout', 'test/cluster/policies.test.ts'],
  },
};

const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  for (const [name, { what }] of Object.entries(RUNS)) console.log(`${name.padEnd(8)}${what}`);
  console.log('\nnpm run long -- NAME…        PODWIRE_SEED=N repeats what an earlier run did at random');
}
for (const name of wanted) {
  const run = RUNS[name];
  if (!run) {
    console.error(`no such long run: ${name}; there are ${Object.keys(RUNS).join(', ')}`);
    process.exit(2);
  }
  console.log(`== ${name}: ${run.what}`);
  const env = { ...process.env, PODWIRE_LONG: '1' };
  const { status } = spawnSync(process.execPath, ['--test', ...run.files], { stdio: 'inherit', env });
  if (status !== 0) process.exitCode = 1;
}
