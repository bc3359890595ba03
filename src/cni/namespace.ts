// Room cni: the network namespace that a runtime names.
import { closeSync, fstatSync, statSync } from 'node:fs';
import { openNamespace } from '../sys/netns.ts';
import { environment } from './request.ts';

/** Throws a CniError (4) that names the variable when it is none, or the node's own. */
export function checkNamespace(netns: string): void {
  let fd: number;
  try {
    fd = openNamespace(netns);
  } catch (error) {
    throw environment('CNI_NETNS', `${netns} cannot be opened (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    const there = fstatSync(fd);
    const own = statSync('/proc/thread-self/ns/net');
    if (there.dev !== own.dev) throw environment('CNI_NETNS', `${netns} is not a network namespace`);
    if (there.ino === own.ino) throw environment('CNI_NETNS', `${netns} is the node's own network namespace`);
  } finally {
    closeSync(fd);
  }
}
