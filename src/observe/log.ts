// Room observe: one structured log for every part, written synchronously so that a crash loses no line.
import { pino } from 'pino';

export type Logger = pino.Logger;

const root = pino(
  { level: process.env['PODWIRE_LOG'] ?? 'info', base: undefined, timestamp: pino.stdTimeFunctions.isoTime },
  pino.destination({ fd: 2, sync: true }),
);

/** A logger whose lines carry `part` (the room or role that speaks) and whatever else names the speaker. */
export function logger(part: string, bindings: Record<string, unknown> = {}): Logger {
  return root.child({ part, ...bindings });
}
