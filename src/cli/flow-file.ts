// Room cli: files of flows that were seen.
import { readFlows } from '../cluster/seen-flows.ts';
import { readUserFile } from '../cluster/user-file.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import type { SeenFlow } from '../plan/policy/recommend.ts';

/** Lines that name no flow are counted on stderr. Throws a Fault for a file that cannot be read. */
export function flowsOfFile(file: string, engine: PolicyEngine): SeenFlow[] {
  const { flows, unread } = readFlows(readUserFile(file, 2), engine);
  if (unread > 0)
    console.error(`podwire: ${unread} lines of ${file} name no flow of TCP, UDP or SCTP that was answered`);
  return flows;
}
