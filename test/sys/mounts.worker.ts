// The worker of netns.test.ts: a thread that leaves the machine's mount namespace, as a node agent does.
import { closeSync, readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { mount, mountPoints, unshareMounts } from '../../src/sys/mount.ts';
import {
  createNetns,
  enterNetns,
  exposeNamespace,
  inNetns,
  openNamespace,
  removeNamespace,
} from '../../src/sys/netns.ts';

const { old, fresh } = workerData as { old: string; fresh: string };
enterNetns(old);
unshareMounts();
const inherited = mountPoints('nsfs').includes(old);
createNetns(fresh);
const freshVisible = mountPoints('nsfs').includes(fresh);
closeSync(openNamespace(old));
const home = readlinkSync('/proc/thread-self/ns/net');
exposeNamespace(old);
const exposed =
  mountPoints('nsfs').includes(old) && inNetns(old, () => readlinkSync('/proc/thread-self/ns/net')) === home;
mount('tmpfs', '/mnt', 'tmpfs', 0);
const tmpfsHere = mountPoints('tmpfs').includes('/mnt');
parentPort!.once('message', () => removeNamespace(fresh));
parentPort!.postMessage({ inherited, freshVisible, oldOpened: true, exposed, tmpfsHere });
