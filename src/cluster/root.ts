// Room cluster: the one privilege that we need.
import { Fault } from '../observe/fault.ts';

export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new Fault('podwire needs root to make network namespaces', { mend: 'run it with sudo' });
}
