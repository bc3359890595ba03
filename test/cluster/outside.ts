// A host outside the cluster, with a leg on its fabric: a namespace of its own in which commands run.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { orUndoAsync } from '../set-up.ts';
import { type Machine, until } from './machine.ts';

const AGNHOST = join(import.meta.dirname, '..', '..', 'generated', 'agnhost.js');

export interface OutsideHost {
  readonly ip: string;
  run(command: string, args: readonly string[]): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Joins `ip`/24, and `ip6`/64 where it is given, to the fabric of the machine's cluster and serves netexec there on port 8080. */
export async function outsideHost(machine: Machine, ip: string, ip6?: string): Promise<OutsideHost> {
  const netns = `${machine.netns}-out`;
  const fabric = `pw-${machine.cluster}-fabric`;
  const leg = `o${process.pid}`.slice(0, 15);
  const inFabric = (...args: string[]) => machine.must('ip', ['-n', fabric, ...args]);
  const inOutside = (...args: string[]) => machine.must('ip', ['-n', netns, ...args]);
  const enter = [`--net=/run/netns/${netns}`, '--'];
  const run = (command: string, args: readonly string[]) => machine.must('nsenter', [...enter, command, ...args]);
  let server: ChildProcess | undefined;
  const leave = async () => {
    if (server) {
      const exited = new Promise((resolve) => server!.once('exit', resolve));
      server.kill('SIGKILL');
      await exited;
    }
    await machine.run('ip', ['netns', 'del', netns]);
  };
  return orUndoAsync(leave, async () => {
    await machine.must('ip', ['netns', 'add', netns]);
    await inFabric('link', 'add', leg, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    const links = JSON.parse(await inFabric('-j', 'link', 'show', 'type', 'bridge')) as { ifname: string }[];
    await inFabric('link', 'set', leg, 'master', links[0]!.ifname, 'up');
    await inOutside('link', 'set', 'lo', 'up');
    await inOutside('link', 'set', 'eth0', 'up');
    await inOutside('addr', 'add', `${ip}/24`, 'dev', 'eth0');
    if (ip6 !== undefined) await inOutside('addr', 'add', `${ip6}/64`, 'dev', 'eth0', 'nodad');
    server = spawn('nsenter', [...enter, process.execPath, AGNHOST, 'netexec', '--http-port=8080'], {
      stdio: 'ignore',
    });
    await until('the outside host serves', () => run('curl', ['-sf', 'http://127.0.0.1:8080/hostname']));
    return { ip, run, [Symbol.asyncDispose]: leave };
  });
}
