// Room cli: `podwire node exec`.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { noCluster } from '../cluster/known.ts';
import { netnsName, nodeLayouts } from '../cluster/layout.ts';
import { requireRoot } from '../cluster/root.ts';
import { storedConfig } from '../cluster/slot.ts';
import { Fault } from '../observe/fault.ts';
import { enterNetns } from '../sys/netns.ts';

export async function runNodeExec(
  node: string,
  words: readonly string[],
  flags: { readonly name: string },
): Promise<void> {
  requireRoot();
  const path = `/run/netns/${netnsName(flags.name, node)}`;
  if (!existsSync(path)) throw unknownNode(node, flags.name);
  enterNetns(path);
  // Commander leaves the separator in place once the options of a command pass through.
  const [command, ...args] = words[0] === '--' ? words.slice(1) : words;
  const child = spawn(command!, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on('error', () =>
      reject(new Fault(`cannot run "${command}": no such program on this machine`, { exitCode: 127 })),
    );
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}

function unknownNode(node: string, cluster: string): Fault {
  const config = storedConfig(cluster);
  if (!config) return noCluster(cluster);
  const names = nodeLayouts(config).map((each) => each.name);
  return new Fault(`cluster ${cluster} has no node "${node}"`, { mend: `its nodes are ${names.join(', ')}` });
}
