// Tests of room runtime: a process that starts containers and is then killed. `node starter.ts DIR [count]`; says `started`.
import { container, makeNode, open, runSandbox } from './node.ts';

const node = makeNode(process.argv[2]!);
const count = Number(process.argv[3] ?? 0);
const runtime = await open(node);
await runSandbox(runtime, 'pod');
process.stdout.write('opened\n');
const counter = 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.002; done';
const scripts =
  count > 0 ? Array.from({ length: count }, () => counter) : [counter, 'sleep 0.3; echo bye; exit 7', 'exit 3'];
await Promise.all(
  scripts.map((script, i) => runtime.startContainer(container(runtime, node, 'pod', `c${i}`, ['sh', '-c', script]))),
);
process.stdout.write('started\n');
setInterval(() => {}, 1000);
