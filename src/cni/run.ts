// Room cni: one call of the plugin from its variables and its standard input to what it prints and how it ends.
import { KernelError } from '../kernel/kernel.ts';
import { SysError } from '../sys/ffi.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { decodeConfig, type NetConfig, readConfig, readConfigToRemove } from './config.ts';
import { del, gc } from './del.ts';
import { CniError, CODE } from './error.ts';
import type { Host } from './host.ts';
import { OurIpam } from './ipam.ts';
import { isObject } from './reader.ts';
import { type Command, type Environment, type Request, readRequest } from './request.ts';
import { type Result, resultJson } from './result.ts';
import { status } from './status.ts';
import { atLeast, type CniVersion, isVersion, NEWEST, VERSIONS } from './version.ts';
import { WITHOUT_AGENT } from './without-agent.ts';

/** `interface` wires containers; `ipam` only gives addresses, to other plugins. */
export type Role = 'interface' | 'ipam';

export interface Outcome {
  readonly exitCode: 0 | 1;
  /** JSON, or nothing. */
  readonly stdout: string;
}

type Verb = (config: NetConfig, request: Request) => void;

export interface Plugin extends Record<Exclude<Command, 'ADD' | 'VERSION'>, Verb> {
  readonly ADD: (config: NetConfig, request: Request) => Promise<Result> | Result;
}

const PLUGINS: Record<Role, Plugin> = {
  interface: { ADD: add, DEL: del, CHECK: check, GC: gc, STATUS: status },
  ipam: {
    ADD: (config, request) => new OurIpam(config, request).add(),
    DEL: (config, request) => new OurIpam(config, request).del(),
    CHECK: (config, request) => new OurIpam(config, request).check(),
    GC: (config, request) => new OurIpam(config, request).gc(),
    STATUS: (config, request) => new OurIpam(config, request).status(),
  },
};

/** The version of the specification in which a verb came. */
const SINCE: Record<Command, CniVersion> = {
  ADD: '0.3.0',
  DEL: '0.3.0',
  VERSION: '0.3.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

/** Never rejects: what goes wrong is an error object on standard output. */
export function run(role: Role, env: Environment, stdin: () => string, host: Host): Promise<Outcome> {
  return runVerb(({ nodeDir }) => (nodeDir === undefined ? PLUGINS[role] : WITHOUT_AGENT), env, stdin, host);
}

/** `choose` gives whoever does the work. */
export async function runVerb(
  choose: (config: NetConfig) => Plugin,
  env: Environment,
  stdin: () => string,
  host: Host,
): Promise<Outcome> {
  let text = '';
  try {
    const request = readRequest(env, host);
    text = stdin();
    return { exitCode: 0, stdout: await answer(choose, request, text) };
  } catch (error) {
    return { exitCode: 1, stdout: JSON.stringify({ cniVersion: versionIn(text), ...errorObject(error) }) };
  }
}

async function answer(choose: (config: NetConfig) => Plugin, request: Request, text: string): Promise<string> {
  const { command } = request;
  if (command === 'VERSION') return JSON.stringify(versions(text));
  const config = command === 'DEL' ? readConfigToRemove(text) : readConfig(text, request.args);
  const { cniVersion } = config;
  if (!atLeast(cniVersion, SINCE[command])) {
    const details = `it came with ${SINCE[command]}`;
    throw new CniError(CODE.incompatibleVersion, `cniVersion: ${cniVersion} has no ${command}`, details);
  }
  const plugin = choose(config);
  if (command === 'ADD') return JSON.stringify(resultJson(await plugin.ADD(config, request), cniVersion));
  plugin[command](config, request);
  return '';
}

function versions(text: string): object {
  const asked = text.trim() === '' ? undefined : decodeConfig(text).value['cniVersion'];
  return { cniVersion: typeof asked === 'string' && asked ? asked : NEWEST, supportedVersions: VERSIONS };
}

/** An error is told in the version that was asked, as far as that can be known. */
function versionIn(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    const version = isObject(value) ? value['cniVersion'] : undefined;
    return typeof version === 'string' && isVersion(version) ? version : NEWEST;
  } catch {
    return NEWEST;
  }
}

/** As the specification has it. */
export interface ErrorObject {
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export function errorObject(error: unknown): ErrorObject {
  if (error instanceof CniError) {
    return { code: error.code, msg: error.message, ...(error.details !== undefined && { details: error.details }) };
  }
  const msg = error instanceof Error ? error.message : String(error);
  if (error instanceof KernelError || error instanceof SysError) return { code: CODE.kernel, msg };
  return { code: CODE.io, msg };
}
