// Room cni: what a runtime asks: the verb and its variables, each checked as the specification wants.
import { CniError, CODE } from './error.ts';
import type { Host } from './host.ts';

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type Command = (typeof COMMANDS)[number];

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Request {
  readonly command: Command;
  /** Empty when the verb has none. */
  readonly containerID: string;
  readonly ifname: string;
  /** Undefined for DEL when the namespace is gone. */
  readonly netns: string | undefined;
  readonly args: Readonly<Record<string, string>>;
  /** Folders in which delegates are sought. */
  readonly path: readonly string[];
  /** As it came, for delegates. */
  readonly env: Environment;
  readonly host: Host;
}

const REQUIRED: Record<Command, readonly string[]> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  GC: ['CNI_PATH'],
  STATUS: ['CNI_PATH'],
  VERSION: [],
};

/** Names of containers and of networks. */
export const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export function readRequest(env: Environment, host: Host): Request {
  const command = env['CNI_COMMAND'];
  if (!isCommand(command)) {
    throw environment('CNI_COMMAND', command ? `"${command}" is none of ${COMMANDS.join(', ')}` : 'is not set');
  }
  const missing = REQUIRED[command].filter((name) => !env[name]);
  if (missing.length > 0) throw environment(missing.join(', '), `not set, and ${command} needs it`);
  const needs = (name: string) => REQUIRED[command].includes(name);
  const containerID = env['CNI_CONTAINERID'] ?? '';
  const ifname = env['CNI_IFNAME'] ?? '';
  if (needs('CNI_CONTAINERID') && !NAME.test(containerID)) {
    throw environment(
      'CNI_CONTAINERID',
      `"${containerID}" is not letters, digits, "_", "." and "-", first a letter or digit`,
    );
  }
  if (needs('CNI_IFNAME')) checkIfname(ifname);
  return {
    command,
    containerID,
    ifname,
    netns: env['CNI_NETNS'] || undefined,
    args: readArgs(env['CNI_ARGS'] ?? ''),
    path: (env['CNI_PATH'] ?? '').split(':').filter(Boolean),
    env,
    host,
  };
}

function isCommand(text: string | undefined): text is Command {
  return (COMMANDS as readonly (string | undefined)[]).includes(text);
}

/** What the kernel takes as an interface's name (dev_valid_name). */
function checkIfname(name: string): void {
  if (Buffer.byteLength(name) > 15) throw environment('CNI_IFNAME', `"${name}" is longer than 15 bytes`);
  if (name === '.' || name === '..' || /[/:\s]/.test(name)) {
    throw environment('CNI_IFNAME', `"${name}" is not a name for an interface`);
  }
}

/** `KEY=value;KEY=value`. Keys that we do not know are the runtime's business. */
function readArgs(text: string): Record<string, string> {
  const args: Record<string, string> = {};
  for (const pair of text.split(';').filter(Boolean)) {
    const at = pair.indexOf('=');
    if (at < 1) throw environment('CNI_ARGS', `"${pair}" is not KEY=value`);
    args[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return args;
}

export function environment(names: string, why: string): CniError {
  return new CniError(CODE.invalidEnvironment, `${names}: ${why}`);
}

/** For people: `namespace/name` of the pod, where the runtime tells it. */
export function podOf(request: Request): string {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = request.args;
  return name ? `${namespace ?? 'default'}/${name}` : '';
}
