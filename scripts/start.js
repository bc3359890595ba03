// `npm start`: a cluster with the demo application, and what to try next.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const podwire = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bin', 'podwire');

function run(args, stdio = 'inherit') {
  return spawnSync(podwire, args, { stdio, encoding: 'utf8' });
}

// Whatever its health is: a cluster that is up tells it.
const running = run(['status', '-o', 'json'], 'pipe');
if (running.stdout.startsWith('{')) console.log(`The cluster ${JSON.parse(running.stdout).name} is up.`);
else if (run(['up', '--demo']).status !== 0) process.exit(1);
process.exit(run(['status', '--next-steps']).status ?? 1);
