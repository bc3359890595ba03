// Room cluster: the short way between nodes of a rack, past the rack's bridge.
import type { FrameSwitch } from '../kernel/items.ts';
import { legMac } from '../plan/fast-path.ts';
import { bridgeName, type FabricOptions, fabricPath, legName, racksOf } from './fabric.ts';

/**
 * One for each rack: another one is reached by the router alone. The machine's leg and whatever else joins a bridge stay with the bridge,
 * and so does what is for a node whose plug is out: there it ends.
 */
export function switchesOf(options: FabricOptions): FrameSwitch[] {
  const { clusterName, nodes, cutOff } = options;
  return racksOf(options).map((rack) => {
    const here = nodes.filter((node) => (node.rack ?? 0) === rack);
    const ports = here.map(({ name, ips }) => ({ link: legName(name), mac: legMac(ips), open: !cutOff?.has(name) }));
    return { kind: 'switch', netns: fabricPath(clusterName), bridge: bridgeName(rack), ports };
  });
}
