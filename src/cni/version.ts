// Room cni: versions of the specification that we speak, and what differs between them.
import { CniError, CODE } from './error.ts';

export const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof VERSIONS)[number];
export const NEWEST: CniVersion = '1.1.0';

export function isVersion(text: string): text is CniVersion {
  return (VERSIONS as readonly string[]).includes(text);
}

export function atLeast(version: CniVersion, other: CniVersion): boolean {
  return VERSIONS.indexOf(version) >= VERSIONS.indexOf(other);
}

/** An absent version means 0.1.0. */
export function requireVersion(value: unknown): CniVersion {
  const text = value === undefined || value === '' ? '0.1.0' : value;
  if (typeof text === 'string' && isVersion(text)) return text;
  throw new CniError(
    CODE.incompatibleVersion,
    `cniVersion: ${JSON.stringify(text)} is not supported`,
    `supported are ${VERSIONS.join(', ')}`,
  );
}
