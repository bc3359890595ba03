// Room runtime: a further process in a running container, for `kubectl exec` and probes. It is our child and ends with us.
import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { PROGRAM_ENV, type Programs, runtimeArgs } from './holder.ts';
import type { OciProcess } from './oci-config.ts';
import type { ContainerPaths, RuntimePaths } from './paths.ts';
import type { ContainerSpec, ExecOptions, ExecProcess } from './runtime.ts';

export async function execIn(
  programs: Programs,
  paths: RuntimePaths,
  container: ContainerPaths,
  spec: ContainerSpec,
  hostname: string,
  options: ExecOptions,
): Promise<ExecProcess> {
  throw new Error('to come');
}
