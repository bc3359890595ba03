// Program agnhost: `dns-suffix`, `dns-server-list` and `etc-hosts` print what the container was told of names.
import { readFileSync } from 'node:fs';

function resolvConf(keyword: string): string[] {
  const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
  return lines.map((line) => line.trim().split(/\s+/)).flatMap(([first, ...words]) => (first === keyword ? words : []));
}

export function printSuffixes(): void {
  console.log(resolvConf('search').join(','));
}

export function printServers(): void {
  console.log(resolvConf('nameserver').join(','));
}

export function printHosts(): void {
  console.log(readFileSync('/etc/hosts', 'utf8'));
}
