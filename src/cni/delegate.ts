// Room cni: another plugin run for us, with what we were asked ourselves.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { CniError, CODE } from './error.ts';
import { isObject, Reader } from './reader.ts';
import type { Command, Request } from './request.ts';
import { type Result, readResult } from './result.ts';
import { requireVersion } from './version.ts';

/** A plugin that hangs must not keep the container for ever. Milliseconds. */
const PATIENCE = 60_000;

export interface Delegation {
  readonly command: Command;
  /** The plugin's name: a file in one of CNI_PATH's folders. */
  readonly type: string;
  readonly request: Request;
  /** The configuration that it reads. */
  readonly input: string;
}

/** Its result, for ADD. Its errors are ours, with their code. */
export function delegate({ command, type, request, input }: Delegation): Result | undefined {
  const program = findPlugin(type, request.path);
  const run = spawnSync(program, {
    input,
    env: { ...request.env, CNI_COMMAND: command },
    encoding: 'utf8',
    timeout: PATIENCE,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // One that ends without reading its input has done its work all the same (EPIPE).
  const unread = run.status !== null && (run.error as NodeJS.ErrnoException | undefined)?.code === 'EPIPE';
  if (run.error && !unread) throw new CniError(CODE.io, `ipam.type: ${program} could not be run: ${run.error.message}`);
  const output = run.stdout.trim();
  if (run.status === 0) return command === 'ADD' ? resultOf(type, output) : undefined;
  const error = parsed(output);
  if (isObject(error) && typeof error['code'] === 'number') {
    // GC and STATUS are younger than most plugins: those who do not know them have nothing to say.
    const young = command === 'GC' || command === 'STATUS';
    if (young && (error['code'] === CODE.invalidEnvironment || error['code'] === CODE.incompatibleVersion))
      return undefined;
    throw new CniError(error['code'], `${type}: ${String(error['msg'])}`, optionalText(error['details']));
  }
  throw new CniError(
    CODE.io,
    `${type}: ended with ${run.signal ?? run.status} and no error object`,
    output.slice(0, 500),
  );
}

function findPlugin(type: string, path: readonly string[]): string {
  if (type.includes('/')) throw new CniError(CODE.invalidConfig, `ipam.type: "${type}" must not have a "/"`);
  for (const folder of path) {
    const file = join(folder, type);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  throw new CniError(
    CODE.invalidConfig,
    `ipam.type: there is no plugin "${type}" in CNI_PATH`,
    path.join(':') || 'CNI_PATH is empty',
  );
}

function resultOf(type: string, output: string): Result {
  const value = parsed(output);
  if (!isObject(value))
    throw new CniError(CODE.decoding, `${type}: its result is not a JSON object`, output.slice(0, 500));
  requireVersion(value['cniVersion']);
  return readResult(new Reader(value, `${type}'s result`));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
