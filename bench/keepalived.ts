// The peer of bench/lb: Debian's keepalived (VRRP) with two nodes and one address, on a segment of its own.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../src/cluster/programs.ts';

const AGNHOST = join(import.meta.dirname, '..', 'generated', 'agnhost.js');
const NODES = ['a', 'b'] as const;
const SPACES = ['wire', 'a', 'b', 'client'] as const;

export interface KeepalivedPair extends Disposable {
  readonly address: string;
  /** Path of the client's namespace. */
  readonly netns: string;
  /** The node that has the address, if one has. */
  holder(): 'a' | 'b' | undefined;
  /** Both have it: as long as neither has heard the other. */
  both(): boolean;
  plug(node: 'a' | 'b', up: boolean): void;
}

/** Undefined where it is not installed. `advertSeconds`: keepalived's advert_int; its default is 1. */
export function keepalivedPair(advertSeconds: number): KeepalivedPair | undefined {
  const program = findProgram('keepalived');
  if (!program) return undefined;
  const name = (space: string) => `pwt-ka${process.pid}-${space}`;
  const ip = (space: string, ...words: string[]) =>
    execFileSync('ip', ['-n', name(space), ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const address = '192.0.2.200';
  const dir = mkdtempSync(join(tmpdir(), 'pwt-ka-'));
  const children: ChildProcess[] = [];
  const run = (space: string, ...words: string[]) => {
    const child = spawn('nsenter', [`--net=/run/netns/${name(space)}`, '--', ...words], {
      stdio: 'ignore',
      detached: true,
    });
    children.push(child);
  };
  for (const space of SPACES) execFileSync('ip', ['netns', 'add', name(space)]);
  ip('wire', 'link', 'add', 'br0', 'type', 'bridge');
  ip('wire', 'link', 'set', 'br0', 'up');
  for (const [i, space] of SPACES.slice(1).entries()) {
    ip('wire', 'link', 'add', `leg-${space}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name(space));
    ip('wire', 'link', 'set', `leg-${space}`, 'master', 'br0', 'up');
    ip(space, 'link', 'set', 'lo', 'up');
    ip(space, 'link', 'set', 'eth0', 'up');
    ip(space, 'addr', 'add', `192.0.2.${11 + i}/24`, 'dev', 'eth0');
    if (space === 'client') continue;
    const file = join(dir, `${space}.conf`);
    writeFileSync(
      file,
      `global_defs {\n  vrrp_version 3\n}\nvrrp_instance lb {\n  state BACKUP\n  nopreempt\n  interface eth0\n  virtual_router_id 7\n` +
        `  priority ${100 - i}\n  advert_int ${advertSeconds}\n  virtual_ipaddress {\n    ${address}/32\n  }\n}\n`,
    );
    run(space, program, '-n', '-P', '-f', file, '-p', `${file}.pid`, '-r', `${file}.vrrp`);
    run(space, process.execPath, AGNHOST, 'netexec', '--http-port=80', '--udp-port=-1');
  }
  const cut = new Set<string>();
  const has = (space: string) => ip(space, '-4', 'addr', 'show', 'dev', 'eth0').includes(address);
  return {
    address,
    netns: `/run/netns/${name('client')}`,
    holder: () => NODES.find((space) => has(space) && !cut.has(space)),
    both: () => NODES.every(has),
    plug(node, up) {
      if (up) cut.delete(node);
      else cut.add(node);
      ip('wire', 'link', 'set', `leg-${node}`, up ? 'up' : 'down');
    },
    [Symbol.dispose]() {
      for (const { pid } of children) if (pid !== undefined) killGroup(pid);
      for (const space of SPACES) execFileSync('ip', ['netns', 'del', name(space)]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
