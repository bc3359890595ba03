// Tests of room runtime: a node's thread: in the node's network namespace, with two pods, one of them on the node's network.
import { readFileSync, readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { openRuntime, type RuntimeOptions } from '../../src/runtime/start.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { container, run, stdout } from './node.ts';

const { dir, options } = workerData as { dir: string; options: RuntimeOptions & { nodeNetns: string } };
enterNetns(options.nodeNetns);
const runtime = await openRuntime(options);
const network: Record<string, string> = { node: readlinkSync('/proc/thread-self/ns/net') };
for (const [id, hostNetwork] of [
  ['own', false],
  ['host', true],
] as const) {
  await runtime.runSandbox({ id, podUid: id, podNamespace: 'd', podName: id, hostname: `host-${id}`, hostNetwork });
  const spec = container(runtime, { dir, options }, id, 'c', ['sh', '-c', 'readlink /proc/self/ns/net; hostname']);
  const { lines, status } = await run(runtime, spec);
  if (status.exitCode !== 0) throw new Error(JSON.stringify(status));
  network[id] = stdout(lines)[0]!;
  network[`${id} name`] = stdout(lines)[1]!;
  await runtime.removeSandbox(id);
}
network['hostname'] = readFileSync('/proc/sys/kernel/hostname', 'utf8').trim();
runtime.close();
parentPort!.postMessage(network);
