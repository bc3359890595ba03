// Room cli: `podwire overlay`.
import { tellControl } from '../cluster/control.ts';
import { knownCluster, noCluster, noDaemon } from '../cluster/known.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { storedConfig } from '../cluster/slot.ts';
import { Fault } from '../observe/fault.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import { OVERLAY_NAMES } from '../plan/overlay/overlay.ts';

interface OverlayFlags {
  readonly name: string;
  readonly output?: string;
  readonly directRouting?: boolean;
}

/** Of a flag or argument; throws a Fault that names the backends. */
export function overlayName(text: string): OverlaySettings['backend'] {
  const known = OVERLAY_NAMES.find((name) => name === text);
  if (known) return known;
  throw new Fault(`there is no overlay "${text}"; there are ${OVERLAY_NAMES.join(', ')}`, { exitCode: 2 });
}

export function runOverlayShow(flags: OverlayFlags): void {
  const config = storedConfig(flags.name);
  if (!config) throw noCluster(flags.name);
  const { overlay } = config.network;
  console.log(flags.output === 'json' ? JSON.stringify(overlay, undefined, 2) : overlayText(overlay));
}

export async function runOverlaySet(backend: string, flags: OverlayFlags): Promise<void> {
  requireRoot();
  const settings: OverlaySettings = { backend: overlayName(backend), directRouting: flags.directRouting ?? false };
  const { control } = clusterPaths(knownCluster(flags.name));
  const now = await tellControl<OverlaySettings>(control, 'overlay', settings);
  if (!now) throw noDaemon(flags.name);
  console.log(`Cluster ${flags.name} now uses ${overlayText(now)}.`);
}

function overlayText({ backend, directRouting, datapath }: OverlaySettings): string {
  return `${backend}${datapath ? ' by eBPF' : ''}${directRouting ? ', with direct routes within a rack' : ''}`;
}
