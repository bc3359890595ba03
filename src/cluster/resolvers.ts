// Room cluster: the machine's own DNS resolvers, past the local stub of systemd-resolved.
import { readFileSync } from 'node:fs';
import { isIP } from '../addr/ip.ts';

/** In this order, because a stub on loopback may itself ask a cluster's DNS and so loop (coredns#2087). */
const FILES = ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf'];

export function machineResolvers(files: readonly string[] = FILES): string[] {
  for (const file of files) {
    const found = nameservers(file);
    if (found.length > 0) return found;
  }
  return [];
}

function nameservers(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return [...text.matchAll(/^nameserver\s+(\S+)/gm)].map((match) => match[1]!).filter(isIP);
}
