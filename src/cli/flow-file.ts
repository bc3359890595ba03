// Room cli: files of flows that were seen.
import { readFileSync } from 'node:fs';
import { readFlows } from '../cluster/seen-flows.ts';
import { Fault } from '../observe/fault.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import type { SeenFlow } from '../plan/policy/recommend.ts';

/** Lines that name no flow are counted on stderr. Throws a Fault for a file that cannot be read. */
export function flowsOfFile(file: string, engine: PolicyEngine): SeenFlow[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new Fault(`${file} cannot be read: ${(cause as Error).message}`, { cause, exitCode: 2 });
  }
  const { flows, unread } = readFlows(text, engine);
  if (unread > 0)
    console.error(`podwire: ${unread} lines of ${file} name no flow of TCP, UDP or SCTP that was answered`);
  return flows;
}
