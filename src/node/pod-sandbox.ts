// Room node: a pod's sandbox: made, put on the network, given its files under /etc, and taken away.
import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IP } from '../addr/ip.ts';
import type { Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import type { Bandwidth } from '../plan/bandwidth.ts';
import type { Sandbox } from '../runtime/runtime.ts';
import { makeFolder } from '../sys/folder.ts';
import { hostsFile, podHostname, resolvConf, sandboxHostname } from './etc-files.ts';
import { podBandwidth } from './pod-bandwidth.ts';
import type { PodContext } from './pod-context.ts';
import { etcPath, podDataDir, sandboxId } from './pod-paths.ts';
import { possiblePorts, publishedPorts } from './published-ports.ts';

export interface ConnectedSandbox {
  readonly id: string;
  readonly podIPs: readonly IP[];
}

export async function runSandbox({ runtime, options, policies }: PodContext, pod: Pod): Promise<Sandbox> {
  const { metadata, spec } = pod;
  const sandbox = runtime.runSandbox({
    id: sandboxId(metadata.uid),
    podUid: metadata.uid,
    podNamespace: metadata.namespace!,
    podName: metadata.name,
    hostname: sandboxHostname(pod, options.nodeName, options.clusterDomain),
    hostNetwork: spec.hostNetwork ?? false,
  });
  // Beside each other; but nobody may try again while the first sandbox is still being made.
  const [made, fresh] = await Promise.allSettled([sandbox, policies?.upToDate(metadata.namespace!)]);
  if (made.status === 'rejected') throw made.reason;
  if (fresh.status === 'rejected') throw fresh.reason;
  return made.value;
}

/**
 * Leases its addresses and writes the files under /etc; both come out the same when done again. `adopted`: it runs already, and
 * an annotation that was made wrong since must not cut it off.
 */
export function connectSandbox(
  { options, network, policies }: PodContext,
  pod: Pod,
  { id, netns }: Sandbox,
  adopted = false,
): ConnectedSandbox {
  const { metadata, spec } = pod;
  const names = { podUid: metadata.uid, podNamespace: metadata.namespace!, podName: metadata.name };
  const earlierIPs = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const attach = () => {
    const wishes = adopted
      ? { hostPorts: possiblePorts(pod), bandwidth: knownBandwidth(pod) }
      : { hostPorts: publishedPorts(pod), bandwidth: podBandwidth(pod) };
    return network.attach({ sandboxId: id, netns, ...names, earlierIPs, ...wishes });
  };
  const podIPs = spec.hostNetwork ? options.nodeIPs : attach();
  // No container of it runs before this returns: none sends a packet that is not judged.
  policies?.admit(pod, podIPs);
  const hostname = podHostname(pod, options.nodeName);
  const files = [
    ['hosts', hostsFile(pod, hostname, podIPs, options.clusterDomain)],
    ['hostname', `${sandboxHostname(pod, options.nodeName, options.clusterDomain)}\n`],
    ['resolv.conf', resolvConf(pod, options)],
  ] as const;
  for (const [file, text] of files) {
    const path = etcPath(podDataDir(options.stateDir, metadata.uid), file);
    makeFolder(dirname(path));
    writeFileSync(path, text);
  }
  return { id, podIPs };
}

function knownBandwidth(pod: Pod): Bandwidth {
  try {
    return podBandwidth(pod);
  } catch (error) {
    if (error instanceof Fault) return {};
    throw error;
  }
}

/** Succeeds when it is gone already. The address is given back last, when nobody can use it any more. */
export async function removeSandbox({ runtime, network, policies }: PodContext, pod: Pod): Promise<void> {
  const { metadata, spec } = pod;
  const id = sandboxId(metadata.uid);
  await runtime.removeSandbox(id);
  if (!spec.hostNetwork) network.detach(id);
  policies?.release(pod);
}
