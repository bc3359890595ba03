// Room node: a container of a manifest as the runtime takes it.
import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Pod } from '../objects/types.ts';
import type { ContainerSpec, Mount, ResolvedImage } from '../runtime/runtime.ts';
import { makeFolder } from '../sys/folder.ts';
import { ConfigError } from './downward.ts';
import { expand } from './expand.ts';
import { containerId, etcPath, logPath, terminationPath } from './pod-paths.ts';
import type { Container } from './pod-view.ts';
import { volumeMounts } from './volumes.ts';

export interface ContainerInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly sandboxId: string;
  readonly image: ResolvedImage;
  readonly env: ReadonlyMap<string, string>;
  readonly stateDir: string;
  readonly dataDir: string;
}

/** Makes the files that are mounted too. Throws a ConfigError. */
export function containerSpec(input: ContainerInput): ContainerSpec {
  const { pod, container, attempt, sandboxId, image, env, stateDir } = input;
  const security = { ...pod.spec.securityContext, ...container.securityContext };
  const user = userOf(pod, container, image);
  const { add, drop } = container.securityContext?.capabilities ?? {};
  return {
    id: containerId(sandboxId, container.name, attempt),
    sandboxId,
    name: container.name,
    attempt,
    image,
    ...(container.command && { command: container.command.map((text) => expand(text, env)) }),
    ...(container.args && { args: container.args.map((text) => expand(text, env)) }),
    env: [...env].map(([name, value]) => ({ name, value })),
    ...(container.workingDir && { workingDir: container.workingDir }),
    mounts: mounts(input),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    ...(user && { user }),
    ...(security.privileged && { privileged: true }),
    ...(add && { addCapabilities: add }),
    ...(drop && { dropCapabilities: drop }),
    ...(container.securityContext?.readOnlyRootFilesystem && { readOnlyRoot: true }),
    logPath: logPath(stateDir, pod, container.name, attempt),
  };
}

function mounts({ pod, container, attempt, env, dataDir }: ContainerInput): Mount[] {
  const own = volumeMounts(pod, container, dataDir, env);
  const termination = terminationPath(dataDir, container.name, attempt);
  makeFolder(dirname(termination));
  closeSync(openSync(termination, 'a', 0o666));
  const given: Mount[] = [
    { source: etcPath(dataDir, 'hosts'), target: '/etc/hosts', readOnly: false },
    { source: etcPath(dataDir, 'hostname'), target: '/etc/hostname', readOnly: false },
    { source: etcPath(dataDir, 'resolv.conf'), target: '/etc/resolv.conf', readOnly: false },
    { source: termination, target: container.terminationMessagePath ?? '/dev/termination-log', readOnly: false },
  ];
  // What the manifest mounts at the same place goes before; outer mounts before those inside them.
  const all = [...given.filter(({ target }) => !own.some((mount) => mount.target === target)), ...own];
  return all.toSorted((a, b) => a.target.split('/').length - b.target.split('/').length);
}

function userOf(pod: Pod, container: Container, image: ResolvedImage): ContainerSpec['user'] {
  const ofPod = pod.spec.securityContext ?? {};
  const ofContainer = container.securityContext ?? {};
  const runAsUser = ofContainer.runAsUser ?? ofPod.runAsUser;
  const gid = ofContainer.runAsGroup ?? ofPod.runAsGroup;
  const groups = [...(ofPod.supplementalGroups ?? []), ...(ofPod.fsGroup === undefined ? [] : [ofPod.fsGroup])];
  const imageUser = /^\d+/.exec(image.user)?.[0];
  const uid = runAsUser ?? (imageUser === undefined ? undefined : Number(imageUser));
  if ((ofContainer.runAsNonRoot ?? ofPod.runAsNonRoot) && (uid === 0 || (uid === undefined && image.user === ''))) {
    throw new ConfigError(
      `container has runAsNonRoot and image will run as root (pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`,
    );
  }
  if (runAsUser === undefined && gid === undefined && groups.length === 0) return undefined;
  return { uid: uid ?? 0, ...(gid !== undefined && { gid }), ...(groups.length > 0 && { supplementalGids: groups }) };
}
