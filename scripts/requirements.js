// What this machine needs besides npm's packages: a program, the Debian package that has it, and what it is for.
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

export const PROGRAMS = [
  { program: 'ip', package: 'iproute2', purpose: "the operator's view of links and routes" },
  { program: 'nft', package: 'nftables', purpose: "the operator's view of our rules" },
  { program: 'conntrack', package: 'conntrack', purpose: "the operator's view of flows" },
  { program: 'crun', package: 'crun', purpose: 'runs containers', or: 'runc' },
  { program: 'conmon', package: 'conmon', purpose: 'holds a container while we are away' },
  { program: 'curl', package: 'curl', purpose: 'asks pods and Services, from pods and from the machine' },
  { program: 'dig', package: 'bind9-dnsutils', purpose: 'asks DNS, from pods and from the machine' },
];

export const TEST_PROGRAMS = [
  { program: 'openssl', package: 'openssl', purpose: 'witness of certificates' },
  { program: 'ping', package: 'iputils-ping', purpose: 'witness of reachability' },
  { program: 'arping', package: 'iputils-arping', purpose: 'witness of who answers for an address' },
  { program: 'ncat', package: 'ncat', purpose: 'witness of datagrams' },
  { program: 'sysctl', package: 'procps', purpose: 'the hand that changes settings of the kernel' },
  { program: 'busybox', package: 'busybox-static', purpose: 'an image for the tests' },
  { program: 'podman', package: 'podman', purpose: 'a runtime that runs podwire-cni' },
  { program: 'containerd', package: 'containerd', purpose: 'a runtime that runs podwire-cni' },
  { program: 'runc', package: 'runc', purpose: 'runs the containers of those' },
  { program: '/usr/lib/cni/bridge', package: 'containernetworking-plugins', purpose: "the chains' other plugins" },
];

/** The path of a program, also in the sbin folders that a plain user's PATH leaves out. */
export function findProgram(program) {
  const anywhere = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  const folders = isAbsolute(program) ? ['/'] : anywhere;
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

export function missingPrograms(programs) {
  return programs.filter((each) => !findProgram(each.program) && !(each.or && findProgram(each.or)));
}
