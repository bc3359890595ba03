// Program agnhost: `pause` does nothing until it is told to end.

export function pause(): void {
  console.log('Paused');
  for (const [signal, code] of [
    ['SIGINT', 1],
    ['SIGTERM', 2],
  ] as const) {
    process.once(signal, () => {
      console.log(`exiting ${code}`);
      process.exit(code);
    });
  }
  // A handler alone does not keep the process.
  setInterval(() => {}, 0x7fffffff);
}
