// Room node: what the proxy counts of its own work, in plain numbers that cost nothing until somebody reads them.
import { Histogram } from '../observe/histogram.ts';

/** Upper bounds in seconds: kube-proxy's for a sync, from 1 ms on; below that are ours. */
const SYNC_BOUNDS = [0.0001, 0.00025, 0.0005, ...Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i)];
/** kube-proxy's for the time from an endpoint's change until packets know of it. */
const PROGRAMMING_BOUNDS = [
  0.01,
  0.05,
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, i) => i + 1),
  ...Array.from({ length: 12 }, (_, i) => 60 + 5 * i),
  ...Array.from({ length: 7 }, (_, i) => 120 + 30 * i),
];

export class ProxyStats {
  readonly sync = new Histogram(SYNC_BOUNDS);
  readonly programming = new Histogram(PROGRAMMING_BOUNDS);
  serviceChanges = 0;
  endpointChanges = 0;
  failures = 0;
  conntrackDeleted = 0;
  /** Milliseconds since 1970; 0 before the first. */
  lastSync = 0;
  lastQueued = 0;
}
