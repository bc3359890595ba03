// Room node: a container's last words (terminationMessagePath, or the end of its log).
import { readFileSync } from 'node:fs';
import type { ContainerStatus } from '../runtime/runtime.ts';
import { LogFormatter } from './logs/cri-log.ts';
import { terminationPath } from './pod-paths.ts';
import type { Container } from './pod-view.ts';

const MESSAGE_BYTES = 4096;
const LOG_BYTES = 2048;
const LOG_LINES = 80;

/** The record of a container that has ended, with its message. */
export function withLastWords(
  record: ContainerStatus,
  container: Container | undefined,
  dataDir: string,
): ContainerStatus {
  if (record.state !== 'exited' || record.message) return record;
  const words = read(terminationPath(dataDir, record.name, record.attempt))
    .subarray(0, MESSAGE_BYTES)
    .toString();
  const fromLog = container?.terminationMessagePolicy === 'FallbackToLogsOnError' && record.exitCode !== 0;
  const message = words || (fromLog ? endOfLog(record.logPath) : '');
  return message ? { ...record, message } : record;
}

function endOfLog(path: string): string {
  const text = new LogFormatter({ timestamps: false }).push(read(path)).subarray(-LOG_BYTES).toString();
  return text
    .split('\n')
    .slice(-LOG_LINES - 1)
    .join('\n');
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
