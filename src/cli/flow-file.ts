// Room cli: files of flows that were seen.
import { readFlows } from '../cluster/seen-flows.ts';
import { readUserFile } from '../cluster/user-file.ts';
import { Fault } from '../observe/fault.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import type { SeenFlow } from '../plan/policy/recommend.ts';

/** Lines that name no flow are counted on stderr. Throws a Fault for a file that cannot be read, or that names none at all. */
export function flowsOfFile(file: string, engine: PolicyEngine): SeenFlow[] {
  const { flows, unread } = readFlows(readUserFile(file, 2), engine);
  const none = 'no flow of TCP, UDP or SCTP that was answered';
  if (flows.length === 0)
    throw new Fault(unread === 0 ? `${file} is empty: it names no flow` : `${unread} lines of ${file} name ${none}`, {
      mend: 'a line is what conntrack -L prints, or JSON as podwire policy recommend --record writes it',
      exitCode: 2,
    });
  if (unread > 0) console.error(`podwire: ${unread} lines of ${file} name ${none}`);
  return flows;
}
