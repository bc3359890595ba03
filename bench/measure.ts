// What every benchmark shares: what it ran on, medians, and a steady way to print them.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { libc } from '../src/sys/ffi.ts';

const CLOCK_THREAD_CPUTIME_ID = 3;
const cClock = libc.func('int clock_gettime(int clock, void *time)');
const time = new BigInt64Array(2);

/** Milliseconds for which this thread has had a CPU: what work costs, whoever else is at work on the machine. */
export function threadMilliseconds(): number {
  cClock(CLOCK_THREAD_CPUTIME_ID, time);
  return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
}

export function printMachine(): void {
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const load = readFileSync('/proc/loadavg', 'utf8').split(' ')[0];
  const memory = Math.round(totalmem() / 2 ** 30);
  console.log(
    `on ${availableParallelism()} x ${cpus()[0]?.model.trim()}, ${memory} GiB, Linux ${kernel}, Node ${process.version}, load ${load}`,
  );
}

/** The p-quantile (0 to 1) of the samples. */
export function quantile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** `label: median 12.3 ms, p99 45.6 ms, 100 samples` */
export function printSamples(label: string, samples: readonly number[], unit = 'ms'): void {
  const figure = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(2));
  console.log(
    `${label}: median ${figure(median(samples))} ${unit}, p99 ${figure(quantile(samples, 0.99))} ${unit}, ${samples.length} samples`,
  );
}
