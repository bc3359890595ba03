// Room node: what the kubelet's paths and queries ask for.
import { failure } from '../../objects/status.ts';
import type { ReadLogOptions } from '../logs/log-reader.ts';

export interface Target {
  readonly verb: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly query: URLSearchParams;
}

/** `/containerLogs/shop/web-1/app?follow=true` */
export function parseTarget(url: string): Target {
  const { pathname, searchParams: query } = new URL(url, 'http://kubelet');
  const [, verb = '', namespace = '', pod = '', container = ''] = pathname.split('/').map(decodeURIComponent);
  return { verb, namespace, pod, container, query };
}

export interface LogQuery extends Omit<ReadLogOptions, 'follow'> {
  readonly follow: boolean;
  readonly previous: boolean;
}

/** Throws a StatusError for a number or time that is none. */
export function logQuery(query: URLSearchParams, now: number): LogQuery {
  const sinceSeconds = wholeNumber(query, 'sinceSeconds', 1);
  const sinceTime = query.get('sinceTime') || undefined;
  const since = sinceTime === undefined ? sinceSeconds && now - 1000 * sinceSeconds : Date.parse(sinceTime);
  if (since !== undefined && Number.isNaN(since)) throw invalid('sinceTime', sinceTime ?? '');
  const tailLines = wholeNumber(query, 'tailLines', 0);
  const limitBytes = wholeNumber(query, 'limitBytes', 1);
  return {
    follow: isTrue(query, 'follow'),
    previous: isTrue(query, 'previous'),
    timestamps: isTrue(query, 'timestamps'),
    ...(since !== undefined && { since }),
    ...(tailLines !== undefined && { tailLines }),
    ...(limitBytes !== undefined && { limitBytes }),
  };
}

export interface StreamQuery {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** The kubelet's own names (input, output, error) and those of the API. */
export function streamQuery(query: URLSearchParams): StreamQuery {
  const tty = isTrue(query, 'tty');
  return {
    command: query.getAll('command'),
    stdin: isTrue(query, 'input') || isTrue(query, 'stdin'),
    stdout: isTrue(query, 'output') || isTrue(query, 'stdout'),
    stderr: !tty && (isTrue(query, 'error') || isTrue(query, 'stderr')),
    tty,
  };
}

/** As Go's conversion of query parameters to bool has it. */
function isTrue(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value !== '' && value !== 'false' && value !== '0';
}

function wholeNumber(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) throw invalid(name, text);
  return value;
}

function invalid(name: string, text: string) {
  return failure(400, 'BadRequest', `${name}: Invalid value: "${text}"`);
}
