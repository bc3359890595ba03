// Program agnhost: Kubernetes' network test program, as small as it can be: the subcommands that network tests use, same flags and words.
// Each subcommand is loaded alone, because the time to start counts.

const SUBCOMMANDS: Record<string, () => Promise<(args: string[]) => unknown>> = {
  connect: async () => (await import('./connect.ts')).connect,
  'dns-server-list': async () => (await import('./files.ts')).printServers,
  'dns-suffix': async () => (await import('./files.ts')).printSuffixes,
  'entrypoint-tester': async () => () => console.log(`[${[process.argv[1], ...process.argv.slice(2)].join(' ')}]`),
  'etc-hosts': async () => (await import('./files.ts')).printHosts,
  netexec: async () => (await import('./netexec.ts')).netexec,
  pause: async () => (await import('./pause.ts')).pause,
  porter: async () => (await import('./porter.ts')).porter,
  'serve-hostname': async () => (await import('./serve-hostname.ts')).serveHostname,
};

async function main([name, ...args]: string[]): Promise<void> {
  const load = SUBCOMMANDS[name ?? 'help'];
  if (load) {
    await (await load())(args);
    return;
  }
  const help = name === undefined || name === 'help' || name === '--help';
  const usage = `Usage:\n  agnhost COMMAND [flags]\n\nCommands:\n${Object.keys(SUBCOMMANDS)
    .map((each) => `  ${each}\n`)
    .join('')}`;
  if (help) process.stdout.write(usage);
  else process.stderr.write(`Error: unknown command "${name}" for "app"\n${usage}`);
  process.exitCode = help ? 0 : 1;
}

main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`Error: ${error.message}\n`);
  process.exit(1);
});
