// Program agnhost: `pause` does nothing until it is told to end.

export function pause(): void {
  for (const [signal, code] of [
    ['SIGINT', 1],
    ['SIGTERM', 2],
  ] as const) {
    process.once(signal, () => {
      console.log(`exiting ${code}`);
      process.exit(code);
    });
  }
  // Only now: as process 1 of a container, a signal that comes before its handler is lost.
  console.log('Paused');
  // A handler alone does not keep the process.
  setInterval(() => {}, 0x7fffffff);
}
