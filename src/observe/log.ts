// Room observe: one structured log for every part, written synchronously so that a crash loses no line.
import { pino } from 'pino';

export type Logger = pino.Logger;

const root = pino(
  {
    level: process.env['PODWIRE_LOG'] ?? 'info',
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  },
  pino.destination({ fd: 2, sync: true }),
);

/** A logger whose lines carry `part` (the room or role that speaks) and whatever else names the speaker. */
export function logger(part: string, bindings: Record<string, unknown> = {}): Logger {
  return root.child({ part, ...bindings });
}

/** What the kernel, the API or the machine refuses says itself what it was; where our own code is wrong, it matters where. */
const REFUSALS = new Set(['KernelError', 'SysError', 'NetlinkError', 'StatusError', 'Fault']);

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const isRefusal = REFUSALS.has(error.name) || ('code' in error && 'syscall' in error);
  if (!isRefusal) return pino.stdSerializers.err(error);
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  return { type: error.name, message: error.message, ...('code' in error && { code: error.code }), ...cause };
}
